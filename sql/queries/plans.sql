-- name: by_key
-- The plan that a form's nonce already made.
SELECT * FROM resync_plans WHERE request_key = :request_key;

-- name: get
-- One plan by its id.
SELECT * FROM resync_plans WHERE id = :id;

-- name: insert
-- Writes a new plan's row; no row when its request key is known already.
INSERT INTO resync_plans (id, request_key, name, source, created_by, created_by_id, created_at)
VALUES (:id, :request_key, :name, CAST(:source AS jsonb), :by, :by_id, :now)
ON CONFLICT (request_key) DO NOTHING
RETURNING id;

-- name: insert_items
-- Writes items in their order; a generation that the plan has already is left out.
INSERT INTO resync_items (plan_id, n, generation_id, named, provider, stood, version, sorted, state, sentence)
SELECT CAST(:plan_id AS uuid), i.n, i.generation_id, i.named, i.provider, i.stood, i.version, i.sorted,
       CASE i.sorted WHEN 'eligible' THEN 'waiting' ELSE 'left_out' END, i.sentence
FROM jsonb_to_recordset(CAST(:items AS jsonb))
     AS i(n int, generation_id uuid, named text, provider text, stood text, version text, sorted text, sentence text)
ON CONFLICT DO NOTHING;

-- name: freeze
-- Counts what the dry run has found into its plan, with the calls to each provider and how long they take.
UPDATE resync_plans SET counts = CAST(:counts AS jsonb), reads = CAST(:reads AS jsonb), expected_s = :expected_s
WHERE id = :id
RETURNING *;

-- name: of_user
-- A customer's generations of a span that stand at one of these places, newest first, a page at a time.
SELECT * FROM generations
WHERE user_id = :user_id AND delivery_state = ANY(CAST(:states AS text[]))
  AND created_at >= :since AND created_at < :until
  AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
  AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
  AND (CAST(:signature AS text) IS NULL OR generation_signature(CAST(model AS text), generation_failure(
          delivery_state, failure_category, failure_code, coalesce(failure_message, CAST(error AS text)))) = :signature)
  AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: named
-- Generations by their own ids or by those of their tasks, newest first.
WITH found AS MATERIALIZED (
    SELECT id FROM generations WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT id FROM generations WHERE task_id = ANY(CAST(:tasks AS text[]))
)
SELECT g.* FROM found JOIN generations g ON g.id = found.id
ORDER BY g.created_at DESC NULLS LAST, g.id DESC LIMIT :limit;

-- name: failed_of
-- Generations whose item failed in an earlier plan, in its order, a page at a time.
SELECT g.*, i.n AS item FROM resync_items i JOIN generations g ON g.id = i.generation_id
WHERE i.plan_id = :plan_id AND i.state = 'failed' AND i.n > :after
ORDER BY i.n LIMIT :limit;

-- name: in_other_plans
-- Which of these generations another plan has in work, or waiting while it is not paused, and how that is called.
SELECT DISTINCT ON (i.generation_id) i.generation_id, p.name
FROM resync_items i
JOIN resync_plans p ON p.id = i.plan_id AND p.state IN ('running', 'paused') AND (p.state = 'running' OR i.state = 'working')
WHERE i.generation_id = ANY(CAST(:ids AS uuid[])) AND i.state IN ('waiting', 'working') AND i.plan_id <> :plan_id
ORDER BY i.generation_id, p.created_at;

-- name: start
-- Starts a draft, once.
UPDATE resync_plans
SET state = 'running', started_by = :by, started_by_id = :by_id, started_at = :now, changed_by = :by,
    changed_by_id = :by_id, changed_at = :now, reason = :reason, name = coalesce(CAST(:name AS text), name)
WHERE id = :id AND state = 'draft'
RETURNING *;

-- name: change
-- Moves a plan from one of these states to another, and says who did it.
UPDATE resync_plans
SET state = :state, changed_by = :by, changed_by_id = :by_id, changed_at = :now, lease_until = NULL, lease_token = NULL,
    ended_at = CASE WHEN CAST(:state AS text) IN ('finished', 'aborted') THEN CAST(:now AS timestamptz) END
WHERE id = :id AND state = ANY(CAST(:from_states AS text[]))
RETURNING *;

-- name: drop_waiting
-- Takes the items of an aborted plan off that nobody works on.
UPDATE resync_items SET state = 'not_begun', sentence = :sentence, ended_at = :now, lease_until = NULL, lease_token = NULL
WHERE plan_id = :id AND (state = 'waiting' OR (state = 'working' AND lease_until <= :now));

-- name: put_back
-- Puts items back that a dead worker held in a plan that is paused.
UPDATE resync_items i SET state = 'waiting', lease_until = NULL, lease_token = NULL
FROM resync_plans p
WHERE p.id = i.plan_id AND p.state = 'paused' AND i.state = 'working' AND i.lease_until <= :now;

-- name: unfinished
-- Plans that are aborted and still have an item that a worker holds or held.
SELECT DISTINCT i.plan_id AS id FROM resync_items i JOIN resync_plans p ON p.id = i.plan_id
WHERE i.state = 'working' AND p.state = 'aborted';

-- name: keep_results
-- Keeps the counts of a plan that is over.
UPDATE resync_plans SET results = CAST(:results AS jsonb) WHERE id = :id;

-- name: lease_plan
-- Takes a running plan for this run, unless another works on it.
UPDATE resync_plans SET lease_until = :lease_until, lease_token = :token
WHERE id = :id AND state = 'running' AND (lease_until IS NULL OR lease_until <= :now)
RETURNING id;

-- name: keep_lease
-- Keeps a plan and the items in hand for this run; no row when it is no longer running, or another's.
WITH kept AS (
    UPDATE resync_plans SET lease_until = :lease_until WHERE id = :id AND state = 'running' AND lease_token = :token
    RETURNING id
), items AS (
    UPDATE resync_items SET lease_until = :items_until
    WHERE plan_id = :id AND state = 'working' AND lease_token = :token
)
SELECT id FROM kept;

-- name: release_plan
-- Gives a plan back for the next run.
UPDATE resync_plans SET lease_until = NULL, lease_token = NULL WHERE id = :id AND lease_token = :token;

-- name: waiting
-- Of which providers items of a plan can be begun now, and how many, counted up to a limit.
SELECT p.provider, w.n
FROM (SELECT DISTINCT provider FROM resync_items WHERE plan_id = :id AND state IN ('waiting', 'working')) p
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT 1 FROM resync_items i
        WHERE i.plan_id = :id AND i.provider = p.provider
          AND (i.state = 'waiting' OR (i.state = 'working' AND i.lease_until <= :now))
          AND NOT EXISTS (SELECT 1 FROM resync_items o
                          WHERE o.generation_id = i.generation_id AND o.state = 'working' AND o.plan_id <> i.plan_id)
        LIMIT :limit) c
) w
WHERE w.n > 0 ORDER BY p.provider;

-- name: anything_left
-- Whether an item of a plan waits or is in work.
SELECT EXISTS (SELECT 1 FROM resync_items WHERE plan_id = :id AND state IN ('waiting', 'working')) AS found;

-- name: take_items
-- Takes the next items of a provider while the plan runs, skipping those that others hold or another plan works on.
WITH due AS (
    SELECT i.plan_id, i.n FROM resync_items i
    WHERE i.plan_id = :id AND i.provider = :provider
      AND (i.state = 'waiting' OR (i.state = 'working' AND i.lease_until <= :now))
      AND NOT EXISTS (SELECT 1 FROM resync_items o
                      WHERE o.generation_id = i.generation_id AND o.state = 'working' AND o.plan_id <> i.plan_id)
      AND EXISTS (SELECT 1 FROM resync_plans p WHERE p.id = i.plan_id AND p.state = 'running' AND p.lease_token = :token)
    ORDER BY i.n LIMIT :limit
    FOR UPDATE OF i SKIP LOCKED
)
UPDATE resync_items i
SET state = 'working', tries = i.tries + 1, begun_at = coalesce(i.begun_at, :now), lease_until = :lease_until,
    lease_token = :token
FROM due WHERE i.plan_id = due.plan_id AND i.n = due.n
RETURNING i.plan_id, i.n, i.generation_id, i.version, i.stood, i.tries, i.begun_at;

-- name: done_elsewhere
-- Which other plan has done this generation since the given plan was made.
SELECT p.name, o.ended_at FROM resync_items o JOIN resync_plans p ON p.id = o.plan_id
WHERE o.generation_id = :generation_id AND o.plan_id <> :plan_id AND o.state IN ('delivered', 'answered', 'failed')
  AND o.ended_at >= (SELECT created_at FROM resync_plans WHERE id = :plan_id)
ORDER BY o.ended_at DESC LIMIT 1;

-- name: hold_row
-- The row of an item, held until this transaction ends.
SELECT * FROM generations WHERE id = :id FOR UPDATE;

-- name: take_row
-- Leases a generation for an item; one that has ended stays where it stands.
UPDATE generations
SET next_attempt_at = CASE WHEN delivery_state IN ('awaiting_provider', 'awaiting_delivery')
                           THEN CAST(:now AS timestamptz) ELSE next_attempt_at END,
    attempt_priority = :priority, link_renewed_at = NULL, lease_until = :lease_until, lease_token = :token,
    updated_at = :now
WHERE id = :id
RETURNING *;

-- name: revive
-- Puts a leased generation that has ended on its way again; no row when somebody else did, or has it.
UPDATE generations
SET delivery_state = 'awaiting_provider', next_attempt_at = :now, attempt_priority = :priority, updated_at = :now,
    status = CASE WHEN delivery_state = 'failed'
                  THEN (jsonb_populate_record(NULL::generations, jsonb_build_object('status', 'generating'))).status
                  ELSE status END
WHERE id = :id AND lease_token = :token AND delivery_state = ANY(CAST(:states AS text[]))
RETURNING *;

-- name: last_step
-- The newest step of a generation's timeline since the given time.
SELECT kind, words FROM delivery_events
WHERE generation_id = :generation_id AND at >= :since AND kind <> 'sync_requested' ORDER BY id DESC LIMIT 1;

-- name: note_change
-- Notes that an item's row was another one by the time of its turn.
UPDATE resync_items SET changed = true WHERE plan_id = :plan_id AND n = :n;

-- name: settle
-- Records what became of an item; only whoever holds it, once.
UPDATE resync_items
SET state = :state, sentence = :sentence, ended_at = :now, lease_until = NULL, lease_token = NULL
WHERE plan_id = :plan_id AND n = :n AND state = 'working' AND lease_token = :token
RETURNING n;

-- name: to_run
-- Running plans that nobody works on and that have no job waiting.
SELECT p.id FROM resync_plans p
WHERE p.state = 'running' AND (p.lease_until IS NULL OR p.lease_until <= :now)
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j WHERE j.queueing_lock = 'plan:' || p.id AND j.status = 'todo');

-- name: progress
-- How many items of a plan stand where, and how many were over within the last minute.
SELECT state, count(*) AS n, count(*) FILTER (WHERE ended_at > :minute_ago) AS fresh
FROM resync_items WHERE plan_id = :id GROUP BY state;

-- name: items
-- A page of a plan's items from a place on, of some states or all.
SELECT n, generation_id, named, provider, stood, sorted, state, sentence, tries, changed, begun_at, ended_at
FROM resync_items
WHERE plan_id = :id AND n > :after
  AND (CAST(:states AS text[]) IS NULL OR state = ANY(CAST(:states AS text[])))
  AND (CAST(:sorted AS text[]) IS NULL OR sorted = ANY(CAST(:sorted AS text[])))
ORDER BY n LIMIT :limit;

-- name: newest
-- Plans, newest first, a page at a time; drafts that are over an hour old are left out.
SELECT * FROM resync_plans
WHERE (state <> 'draft' OR created_at > :drafts_since)
  AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: under_way
-- Plans that run or are paused, newest first.
SELECT * FROM resync_plans WHERE state IN ('running', 'paused') ORDER BY created_at DESC LIMIT 20;

-- name: of_failure
-- Plans that were made from a failure group, newest first, once started.
SELECT * FROM resync_plans
WHERE source ->> 'signature' = :signature AND state <> 'draft' ORDER BY created_at DESC LIMIT 5;

-- name: drop_drafts
-- Forgets dry runs that nobody has started since the given time.
DELETE FROM resync_plans WHERE state = 'draft' AND created_at < :before;

-- name: prune
-- Forgets plans that have been over since the given time, some at a time.
DELETE FROM resync_plans WHERE id IN (
    SELECT id FROM resync_plans WHERE state IN ('finished', 'aborted') AND ended_at < :before LIMIT 50);
