-- name: append
-- Appends one line to the audit log, in the caller's transaction.
INSERT INTO audit_log (actor_kind, actor_id, actor_name, action, object_type, object_id,
                       before, after, reason, request_id, source, address)
VALUES (:actor_kind, :actor_id, :actor_name, :action, :object_type, :object_id,
        CAST(:before AS jsonb), CAST(:after AS jsonb), :reason, :request_id, :source, :address);

-- name: lines
-- Lines of the audit log that every given filter matches, newest first, from a place on.
SELECT id, at, actor_kind, actor_id, actor_name, action, object_type, object_id, before, after, reason,
       request_id, source, address
FROM audit_log
WHERE (CAST(:who AS text) IS NULL OR actor_name = :who)
  AND (CAST(:what AS text) IS NULL OR action = :what)
  AND (CAST(:which AS text[]) IS NULL OR object_id = ANY (CAST(:which AS text[])))
  AND (CAST(:source AS text) IS NULL OR source = :source)
  AND at >= :since AND at < :until AND (at, id) < (:before_at, :before_id)
ORDER BY at DESC, id DESC
LIMIT :limit;

-- name: names
-- Everybody who stands in the audit log, each found by a step through the index.
WITH RECURSIVE step AS (
    (SELECT actor_name AS word FROM audit_log WHERE actor_name IS NOT NULL ORDER BY actor_name LIMIT 1)
    UNION ALL
    SELECT (SELECT l.actor_name FROM audit_log l WHERE l.actor_name > step.word ORDER BY l.actor_name LIMIT 1)
    FROM step WHERE step.word IS NOT NULL
)
SELECT word FROM step WHERE word IS NOT NULL LIMIT :most;

-- name: actions
-- Everything that was ever done, each found by a step through the index.
WITH RECURSIVE step AS (
    (SELECT action AS word FROM audit_log WHERE action IS NOT NULL ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT l.action FROM audit_log l WHERE l.action > step.word ORDER BY l.action LIMIT 1)
    FROM step WHERE step.word IS NOT NULL
)
SELECT word FROM step WHERE word IS NOT NULL LIMIT :most;
