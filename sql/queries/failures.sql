-- name: count_groups
-- Keeps the numbers of every failure group as the hourly and daily counts have them; how many changed.
WITH lines AS MATERIALIZED (
    SELECT generation_signature(model, key) AS signature, model, key, start, n, grain FROM delivery_rollup
    WHERE measure = 'failure'
      AND ((grain = 'day' AND start >= :since) OR (grain = 'hour' AND start >= :day_before))
), counted AS (
    SELECT l.signature, min(l.model) AS model, min(l.key) AS key,
           coalesce(sum(l.n) FILTER (WHERE l.grain = 'day'), 0) AS n,
           coalesce(sum(l.n) FILTER (WHERE l.grain = 'hour' AND l.start >= :day_since), 0) AS n_day,
           coalesce(sum(l.n) FILTER (WHERE l.grain = 'hour' AND l.start < :day_since), 0) AS n_day_before,
           min(l.start) AS first_at, max(l.start) AS last_at
    FROM lines l GROUP BY l.signature
), courses AS (
    SELECT c.signature, array_agg(coalesce(d.n, 0) ORDER BY s.day) AS days
    FROM counted c
    CROSS JOIN generate_series(CAST(:course_since AS timestamptz), CAST(:today AS timestamptz), interval '1 day') AS s(day)
    LEFT JOIN (SELECT signature, start, sum(n) AS n FROM lines WHERE grain = 'day' GROUP BY signature, start) d
           ON d.signature = c.signature AND d.start = s.day
    GROUP BY c.signature
), kept AS (
    INSERT INTO failure_groups AS f (signature, model, stands, category, code, message, n, n_day, n_day_before, days,
                                     first_seen_at, newest_at)
    SELECT c.signature, c.model, split_part(c.key, chr(31), 1), split_part(c.key, chr(31), 2),
           split_part(c.key, chr(31), 3), split_part(c.key, chr(31), 4), c.n, c.n_day, c.n_day_before, o.days,
           c.first_at, c.last_at
    FROM counted c JOIN courses o USING (signature)
    ON CONFLICT (signature) DO UPDATE
    SET n = EXCLUDED.n, n_day = EXCLUDED.n_day, n_day_before = EXCLUDED.n_day_before, days = EXCLUDED.days,
        first_seen_at = CASE WHEN EXCLUDED.first_seen_at + interval '1 day' <= f.first_seen_at
                             THEN EXCLUDED.first_seen_at ELSE f.first_seen_at END
    WHERE (f.n, f.n_day, f.n_day_before, f.days) IS DISTINCT FROM
          (EXCLUDED.n, EXCLUDED.n_day, EXCLUDED.n_day_before, EXCLUDED.days)
    RETURNING 1
), emptied AS (
    UPDATE failure_groups f SET n = 0, n_day = 0, n_day_before = 0, days = '{}'
    WHERE n > 0 AND NOT EXISTS (SELECT 1 FROM counted c WHERE c.signature = f.signature)
    RETURNING 1
)
SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM emptied) AS changed;

-- name: look_at_rows
-- Looks at rows of groups whose numbers have changed: when the newest was begun, and the first of a new group, and how many customers the newest are of.
WITH due AS (
    SELECT signature, n FROM failure_groups WHERE looked_at_n IS DISTINCT FROM n
    ORDER BY n_day DESC, signature LIMIT :groups
), seen AS (
    SELECT d.signature, d.n, max(r.created_at) AS newest_at, count(DISTINCT r.user_id) AS users,
           count(r.created_at) AS of,
           (SELECT CAST(g.created_at AS timestamptz) FROM generations g
            WHERE g.delivery_state IN ('failed', 'lost', 'needs_attention')
              AND generation_signature(CAST(g.model AS text), generation_failure(
                      g.delivery_state, g.failure_category, g.failure_code,
                      coalesce(g.failure_message, CAST(g.error AS text)))) = d.signature
            ORDER BY g.created_at, g.id LIMIT 1) AS oldest_at
    FROM due d
    LEFT JOIN LATERAL (
        SELECT CAST(g.created_at AS timestamptz) AS created_at, g.user_id FROM generations g
        WHERE g.delivery_state IN ('failed', 'lost', 'needs_attention')
          AND generation_signature(CAST(g.model AS text), generation_failure(
                  g.delivery_state, g.failure_category, g.failure_code,
                  coalesce(g.failure_message, CAST(g.error AS text)))) = d.signature
        ORDER BY g.created_at DESC, g.id DESC LIMIT :rows
    ) r ON true
    GROUP BY d.signature, d.n
)
UPDATE failure_groups f
SET newest_at = greatest(f.newest_at, s.newest_at),
    first_seen_at = CASE WHEN f.looked_at_n IS NULL THEN coalesce(s.oldest_at, f.first_seen_at) ELSE f.first_seen_at END,
    users = s.users, users_of = s.of, looked_at_n = s.n
FROM seen s WHERE f.signature = s.signature;

-- name: reopen_due
-- Opens groups again that came back: after they were resolved, or after the time for which they were ignored.
UPDATE failure_groups
SET state = 'open', reopened_at = :now, ignored_until = NULL
WHERE (state = 'resolved' AND newest_at > changed_at)
   OR (state = 'ignored' AND ignored_until <= :now AND newest_at > ignored_until)
RETURNING signature;

-- name: drop_gone
-- Forgets groups that have no row any more, that nobody has touched and no plan was made for.
DELETE FROM failure_groups f
WHERE n = 0 AND changed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM resync_plans p WHERE p.source ->> 'signature' = f.signature AND p.state <> 'draft');

-- name: get
-- One failure group.
SELECT * FROM failure_groups WHERE signature = :signature;

-- name: list
-- Failure groups of these states, new ones first, then by how many failed within a day, a page at a time.
SELECT * FROM failure_groups
WHERE state = ANY(CAST(:states AS text[])) AND (CAST(:model AS text) IS NULL OR model = :model)
  AND (CAST(:before_signature AS text) IS NULL
       OR (first_seen_at >= :new_since, n_day, n, signature)
          < (CAST(:before_new AS boolean), CAST(:before_day AS bigint), CAST(:before_n AS bigint), :before_signature))
ORDER BY (first_seen_at >= :new_since) DESC, n_day DESC, n DESC, signature DESC LIMIT :limit;

-- name: counts
-- How many failure groups there are of each state.
SELECT state, count(*) AS n FROM failure_groups GROUP BY state;

-- name: models
-- The models that failure groups are of.
SELECT DISTINCT model FROM failure_groups ORDER BY model LIMIT 200;

-- name: counting
-- When failures were last grouped, and whether there are any that no count has taken up: those that a mark tells of, those of hours that are to be counted, and counted ones while there is no group.
SELECT (SELECT finished_at FROM job_runs WHERE job = 'failure_groups' AND state = 'succeeded'
        ORDER BY slot DESC LIMIT 1) AS at,
       EXISTS (SELECT FROM delivery_dirty_hours WHERE failure IS NOT NULL AND n > 0)
       OR EXISTS (SELECT FROM delivery_dirty_hours d JOIN generations g
                  ON g.created_at >= d.hour
                 AND g.created_at < CASE d.hour WHEN '-infinity' THEN 'infinity' ELSE d.hour + interval '1 hour' END
                  WHERE d.n IS NULL AND g.delivery_state IN ('failed', 'lost', 'needs_attention')
                    AND g.created_at >= :since)
       OR EXISTS (SELECT FROM delivery_rollup_state s JOIN generations g
                  ON g.created_at < coalesce(s.covered_from, 'infinity')
                  WHERE g.delivery_state IN ('failed', 'lost', 'needs_attention') AND g.created_at >= :since)
       OR (NOT EXISTS (SELECT FROM failure_groups)
           AND EXISTS (SELECT FROM delivery_rollup WHERE measure = 'failure' AND grain = 'day' AND start >= :since))
       AS more;

-- name: change
-- Moves a failure group from one of these states to another, by a person.
UPDATE failure_groups
SET state = :state, ignored_until = :ignored_until, owner = :owner, owner_id = :owner_id, note = :note, changed_by = :by,
    changed_by_id = :by_id, changed_at = :now
WHERE signature = :signature AND state = ANY(CAST(:from_states AS text[]))
RETURNING *;
