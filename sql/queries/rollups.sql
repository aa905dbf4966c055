-- name: rollup_state
-- How far back all hours have been counted, when last, with their days or not, and which hour was counted again to be sure.
SELECT covered_from, checked_hour, rolled_at, added_at FROM delivery_rollup_state;

-- name: marked_hours
-- Every marked hour of a span, found by a skip scan of the key; and -infinity, when all are.
WITH RECURSIVE marked AS (
    SELECT (SELECT hour FROM delivery_dirty_hours WHERE hour >= :since ORDER BY hour LIMIT 1) AS hour
    UNION ALL
    SELECT (SELECT d.hour FROM delivery_dirty_hours d WHERE d.hour > m.hour ORDER BY d.hour LIMIT 1)
    FROM marked m WHERE m.hour < :until
)
SELECT hour FROM marked WHERE hour < :until
UNION ALL
SELECT hour FROM (SELECT hour FROM delivery_dirty_hours WHERE hour = '-infinity' LIMIT 1) everything;

-- name: dirty_hours
-- The hours whose rows have to be read, because a mark does not say what has changed; and -infinity, when all are.
SELECT DISTINCT hour FROM delivery_dirty_hours
WHERE n IS NULL AND (hour = '-infinity' OR (hour >= :since AND hour < :until));

-- name: take_marks
-- Takes the marks of these hours away, as far as this transaction sees them.
DELETE FROM delivery_dirty_hours WHERE hour = ANY(CAST(:hours AS timestamptz[]));

-- name: drop_old_marks
-- Takes away marks of hours that are no longer counted.
DELETE FROM delivery_dirty_hours WHERE hour < :before AND hour <> '-infinity';

-- name: forget_everything
-- Begins anew: nothing has been counted.
WITH gone AS (DELETE FROM delivery_rollup WHERE measure IN ('state', 'time', 'failure')),
     marks AS (DELETE FROM delivery_dirty_hours WHERE hour = '-infinity')
UPDATE delivery_rollup_state SET covered_from = NULL, checked_hour = NULL;

-- name: mark_future
-- Marks the hours to come that have rows already.
INSERT INTO delivery_dirty_hours (hour)
SELECT DISTINCT date_trunc('hour', CAST(created_at AS timestamptz)) FROM (
    SELECT created_at FROM generations
    WHERE created_at >= :since AND created_at < CAST(:since AS timestamptz) + interval '10 years'
    LIMIT 10000) g;

-- name: count_hours
-- Counts whole hours from their rows, and writes what differs.
WITH rows AS MATERIALIZED (
    SELECT o.*
    FROM unnest(CAST(:hours AS timestamptz[])) AS h(begun)
    CROSS JOIN LATERAL (
        SELECT created_at, kind, model, delivery_state, delivered_at, failure_category, failure_code,
               failure_message, error
        FROM generations
        WHERE created_at >= h.begun AND created_at < h.begun + interval '1 hour' AND delivery_state IS NOT NULL
        OFFSET 0
    ) g
    CROSS JOIN LATERAL generation_outcome(
        CAST(g.created_at AS timestamptz), CAST(g.kind AS text), CAST(g.model AS text), g.delivery_state,
        g.delivered_at, g.failure_category, g.failure_code, coalesce(g.failure_message, CAST(g.error AS text))) o
), counted AS MATERIALIZED (
    SELECT 'state' AS measure, hour AS start, kind, model, stand AS key, count(*) AS n FROM rows
    GROUP BY hour, kind, model, stand
    UNION ALL
    SELECT 'time', hour, kind, model, CAST(bucket AS text), count(*) FROM rows WHERE bucket IS NOT NULL
    GROUP BY hour, kind, model, bucket
    UNION ALL
    SELECT 'failure', hour, kind, model, failure, count(*) FROM rows WHERE failure IS NOT NULL
    GROUP BY hour, kind, model, failure
), gone AS (
    DELETE FROM delivery_rollup r
    WHERE measure IN ('state', 'time', 'failure') AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
      AND NOT EXISTS (SELECT FROM counted c WHERE (c.measure, c.start, c.kind, c.model, c.key)
                                                = (r.measure, r.start, r.kind, r.model, r.key))
)
INSERT INTO delivery_rollup AS r (measure, grain, start, kind, model, key, n)
SELECT measure, 'hour', start, kind, model, key, n FROM counted
ON CONFLICT (measure, grain, start, kind, model, key) DO UPDATE SET n = EXCLUDED.n WHERE r.n <> EXCLUDED.n;

-- name: add_days_up
-- Adds the hours of these days (UTC) up, and writes what differs.
WITH added AS MATERIALIZED (
    SELECT r.measure, d.day AS start, r.kind, r.model, r.key, sum(r.n) AS n
    FROM unnest(CAST(:days AS timestamptz[])) AS d(day), unnest(ARRAY['state', 'time', 'failure']) AS m(measure),
         delivery_rollup r
    WHERE r.measure = m.measure AND r.grain = 'hour' AND r.start >= d.day AND r.start < d.day + interval '1 day'
    GROUP BY r.measure, d.day, r.kind, r.model, r.key
), gone AS (
    DELETE FROM delivery_rollup r
    WHERE measure IN ('state', 'time', 'failure') AND grain = 'day' AND start = ANY(CAST(:days AS timestamptz[]))
      AND NOT EXISTS (SELECT FROM added a WHERE (a.measure, a.start, a.kind, a.model, a.key)
                                              = (r.measure, r.start, r.kind, r.model, r.key))
)
INSERT INTO delivery_rollup AS r (measure, grain, start, kind, model, key, n)
SELECT measure, 'day', start, kind, model, key, n FROM added
ON CONFLICT (measure, grain, start, kind, model, key) DO UPDATE SET n = EXCLUDED.n WHERE r.n <> EXCLUDED.n;

-- name: drop_old
-- Takes away what was counted of times that no page looks at any more.
DELETE FROM delivery_rollup WHERE measure IN ('state', 'time', 'failure') AND grain IN ('hour', 'day') AND start < :before;

-- name: advance
-- Records how far the counting has come.
UPDATE delivery_rollup_state
SET covered_from = :covered_from, checked_hour = :checked_hour, rolled_at = :now, added_at = :now;

-- name: first_row
-- When the oldest generation was begun.
SELECT min(created_at) AS at FROM generations WHERE created_at > '-infinity';
