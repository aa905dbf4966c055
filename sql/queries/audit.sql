-- name: append
-- Appends one line to the audit log, in the caller's transaction.
INSERT INTO audit_log (actor_kind, actor_id, actor_name, action, object_type, object_id,
                       before, after, reason, request_id, source)
VALUES (:actor_kind, :actor_id, :actor_name, :action, :object_type, :object_id,
        CAST(:before AS jsonb), CAST(:after AS jsonb), :reason, :request_id, :source);
