-- name: cells
-- What became of generations begun in a span: what was counted, what marks say has changed since, and rows of hours that are not counted.
WITH live AS MATERIALIZED (
    SELECT hour, kind, model, stand, bucket, failure, n, false AS is_row FROM delivery_dirty_hours
    WHERE hour >= :marked_since AND hour < :until AND n IS NOT NULL AND hour <> ALL(CAST(:dirty AS timestamptz[]))
    UNION ALL
    (SELECT o.*, 1, true
     FROM unnest(CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[])) AS r(from_at, until_at)
     CROSS JOIN LATERAL (
         SELECT created_at, kind, model, delivery_state, delivered_at, failure_category, failure_code,
                failure_message, error
         FROM generations
         WHERE created_at >= r.from_at AND created_at < r.until_at AND delivery_state IS NOT NULL
         LIMIT :most
     ) g
     CROSS JOIN LATERAL generation_outcome(
         CAST(g.created_at AS timestamptz), CAST(g.kind AS text), CAST(g.model AS text), g.delivery_state,
         g.delivered_at, g.failure_category, g.failure_code, coalesce(g.failure_message, CAST(g.error AS text))) o
     LIMIT :most)
), states AS MATERIALIZED (
    SELECT * FROM (
        SELECT start AS at, kind, model, key, n FROM delivery_rollup
        WHERE measure = 'state' AND grain = 'day' AND start = ANY(CAST(:days AS timestamptz[]))
        UNION ALL
        SELECT start, kind, model, key, n FROM delivery_rollup
        WHERE measure = 'state' AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
        UNION ALL
        SELECT hour, kind, model, stand, n FROM live
    ) s
    WHERE (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
), parts AS (
    SELECT 'state' AS measure, kind, model, key, n FROM states WHERE at >= :parts_since AND at < :parts_until
    UNION ALL
    SELECT measure, kind, model, key, n FROM delivery_rollup
    WHERE measure IN ('time', 'failure') AND grain = 'day' AND start = ANY(CAST(:parts_days AS timestamptz[]))
    UNION ALL
    SELECT measure, kind, model, key, n FROM delivery_rollup
    WHERE measure IN ('time', 'failure') AND grain = 'hour' AND start = ANY(CAST(:parts_hours AS timestamptz[]))
    UNION ALL
    SELECT 'time', kind, model, CAST(bucket AS text), n FROM live
    WHERE hour >= :parts_since AND hour < :parts_until AND bucket IS NOT NULL
    UNION ALL
    SELECT 'failure', kind, model, failure, n FROM live
    WHERE hour >= :parts_since AND hour < :parts_until AND failure IS NOT NULL
)
SELECT 'course' AS measure, at, NULL AS kind, NULL AS model, key, CAST(sum(n) AS bigint) AS n
FROM states GROUP BY at, key HAVING sum(n) <> 0
UNION ALL
SELECT measure, NULL, kind, model, key, CAST(sum(n) AS bigint)
FROM parts
WHERE (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
GROUP BY measure, kind, model, key HAVING sum(n) <> 0
UNION ALL
SELECT 'rows', NULL, NULL, NULL, '', count(*) FROM live WHERE is_row;

-- name: under_way
-- What is on its way now, whenever it was begun: all, stuck by its model's or kind's limit, and finished at KIE alone.
WITH active AS (
    SELECT count(*) AS in_flight,
           count(*) FILTER (WHERE coalesce(g.submitted_at, CAST(g.created_at AS timestamptz)) < coalesce(
               l.late, CASE generation_kind(CAST(g.kind AS text), CAST(g.model AS text))
                       WHEN 'video' THEN CAST(:video_late AS timestamptz) ELSE CAST(:image_late AS timestamptz) END)) AS stuck,
           count(*) FILTER (WHERE g.delivery_state = 'awaiting_delivery') AS rescue,
           min(g.result_expires_at) FILTER (WHERE g.delivery_state = 'awaiting_delivery') AS expires_at
    FROM generations g
    LEFT JOIN unnest(CAST(:models AS text[]), CAST(:late AS timestamptz[])) AS l(model, late) ON l.model = CAST(g.model AS text)
    WHERE g.delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
      AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(g.kind AS text), CAST(g.model AS text)) = :kind)
      AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(g.model AS text), ''), 120) = :model)
), waiting AS (
    SELECT count(*) AS rescue, min(result_expires_at) AS expires_at FROM generations
    WHERE delivery_state IN ('needs_attention', 'lost') AND delivery_state = 'needs_attention'
      AND result_expires_at > :now
      AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
      AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
)
SELECT a.in_flight, a.stuck, a.rescue + w.rescue AS rescue, least(a.expires_at, w.expires_at) AS expires_at
FROM active a, waiting w;

-- name: under_way_rows
-- The generations that under_way counts at one place, or those of a span, a page at a time; for the rescue clock, those with least time left.
SELECT g.* FROM (
    SELECT a.id, a.begun, a.result_expires_at FROM (
        SELECT id, coalesce(CAST(created_at AS timestamptz), '-infinity') AS begun, result_expires_at,
               coalesce(submitted_at, CAST(created_at AS timestamptz)) AS sent, CAST(kind AS text) AS kind,
               CAST(model AS text) AS model
        FROM generations
        WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
          AND (CAST(:state AS text) <> 'rescue' OR delivery_state = 'awaiting_delivery')
        UNION ALL
        SELECT id, coalesce(CAST(created_at AS timestamptz), '-infinity'), result_expires_at,
               coalesce(submitted_at, CAST(created_at AS timestamptz)), CAST(kind AS text), CAST(model AS text)
        FROM generations
        WHERE CAST(:state AS text) = 'rescue' AND delivery_state IN ('needs_attention', 'lost')
          AND delivery_state = 'needs_attention' AND result_expires_at > :now
    ) a
    LEFT JOIN unnest(CAST(:models AS text[]), CAST(:late AS timestamptz[])) AS l(model, late) ON l.model = a.model
    WHERE (CAST(:state AS text) <> 'stuck' OR a.sent < coalesce(
               l.late, CASE generation_kind(a.kind, a.model)
                       WHEN 'video' THEN CAST(:video_late AS timestamptz) ELSE CAST(:image_late AS timestamptz) END))
      AND (CAST(:kind AS text) IS NULL OR generation_kind(a.kind, a.model) = :kind)
      AND (CAST(:model AS text) IS NULL OR left(coalesce(a.model, ''), 120) = :model)
      AND (CAST(:since AS timestamptz) IS NULL OR (a.begun >= :since AND a.begun < :until))
      AND (CAST(:before_at AS timestamptz) IS NULL OR (a.begun, a.id) < (:before_at, CAST(:before_id AS uuid)))
    ORDER BY CASE WHEN CAST(:soonest AS boolean) THEN a.result_expires_at END, a.begun DESC, a.id DESC
    LIMIT :limit
) page
JOIN generations g ON g.id = page.id
ORDER BY CASE WHEN CAST(:soonest AS boolean) THEN page.result_expires_at END, page.begun DESC, page.id DESC;

-- name: places
-- In which counted hours how many generations stand at one of these places, newest hour first; those whose time is known have a bucket.
SELECT start, CAST(sum(n) AS bigint) AS n FROM (
    SELECT start, kind, model, key, n FROM delivery_rollup
    WHERE measure = CASE WHEN CAST(:timed AS boolean) THEN 'time' ELSE 'state' END AND grain = 'hour'
      AND start = ANY(CAST(:hours AS timestamptz[])) AND (CAST(:timed AS boolean) OR key = ANY(CAST(:keys AS text[])))
    UNION ALL
    SELECT hour, kind, model, stand, n FROM delivery_dirty_hours
    WHERE hour = ANY(CAST(:hours AS timestamptz[])) AND n IS NOT NULL AND stand = ANY(CAST(:keys AS text[]))
      AND (NOT CAST(:timed AS boolean) OR bucket IS NOT NULL)
) placed
WHERE (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
GROUP BY start HAVING sum(n) > 0 ORDER BY start DESC;

-- name: matching
-- Generations begun in these spans that match, newest first; those of a model, and those that were not delivered, by indexes of their own.
SELECT g.* FROM unnest(CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[])) AS r(from_at, until_at)
CROSS JOIN LATERAL (
    (SELECT * FROM generations
     WHERE CAST(:not_delivered AS boolean) AND delivery_state IN ('failed', 'lost', 'needs_attention')
       AND delivery_state = ANY(CAST(:states AS text[]))
       AND created_at >= r.from_at AND created_at < r.until_at
       AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
     ORDER BY created_at DESC, id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM generations
     WHERE NOT CAST(:not_delivered AS boolean) AND left(coalesce(CAST(model AS text), ''), 120) = CAST(:model AS text)
       AND delivery_state = ANY(CAST(:states AS text[]))
       AND created_at >= r.from_at AND created_at < r.until_at
       AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (NOT CAST(:timed AS boolean) OR generation_time_bucket(CAST(created_at AS timestamptz), delivered_at) IS NOT NULL)
     ORDER BY created_at DESC, id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM generations
     WHERE NOT CAST(:not_delivered AS boolean) AND CAST(:model AS text) IS NULL
       AND delivery_state = ANY(CAST(:states AS text[]))
       AND created_at >= r.from_at AND created_at < r.until_at
       AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (NOT CAST(:timed AS boolean) OR generation_time_bucket(CAST(created_at AS timestamptz), delivered_at) IS NOT NULL)
     ORDER BY created_at DESC, id DESC LIMIT :limit)
) g
ORDER BY g.created_at DESC, g.id DESC LIMIT :limit;

-- name: counted_by_alert
-- What an alert has counted, newest first: failed or lost ones begun, or lost ones seen to be, between two moments, results that KIE deletes before one, files that storage refuses; with how many there are in all.
WITH counted AS MATERIALIZED (
    (SELECT id, coalesce(CAST(created_at AS timestamptz), '-infinity') AS begun FROM generations
     WHERE CAST(:state AS text) = 'missed' AND delivery_state IN ('failed', 'lost', 'needs_attention')
       AND delivery_state <> 'needs_attention'
       AND created_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
       AND created_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
     ORDER BY created_at DESC LIMIT 100000)
    UNION ALL
    (SELECT id, coalesce(CAST(created_at AS timestamptz), '-infinity') FROM generations
     WHERE CAST(:state AS text) = 'lost_lately' AND delivery_state IN ('needs_attention', 'lost') AND delivery_state = 'lost'
       AND provider_read_at > coalesce(CAST(:since AS timestamptz), '-infinity')
       AND provider_read_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
     LIMIT 100000)
    UNION ALL
    (SELECT id, coalesce(CAST(created_at AS timestamptz), '-infinity') FROM generations
     WHERE CAST(:state AS text) IN ('expiring', 'refused')
       AND delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
       AND delivery_state = 'awaiting_delivery'
       AND CASE CAST(:state AS text)
           WHEN 'expiring' THEN result_expires_at < coalesce(CAST(:until AS timestamptz), 'infinity')
           ELSE failure_code = 'storage_refused'
                AND left(md5(generation_refusal(failure_message)), 12) = CAST(:signature AS text) END
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
     LIMIT 100000)
)
SELECT g.*, page.in_all FROM (
    SELECT id, begun, (SELECT count(*) FROM counted) AS in_all FROM counted
    WHERE CAST(:before_at AS timestamptz) IS NULL OR (begun, id) < (:before_at, CAST(:before_id AS uuid))
    ORDER BY begun DESC, id DESC LIMIT :limit
) page
JOIN generations g ON g.id = page.id
ORDER BY page.begun DESC, page.id DESC;

-- name: of_a_failure
-- Generations of a failure group begun in a span, newest first.
SELECT * FROM generations
WHERE delivery_state IN ('failed', 'lost', 'needs_attention') AND delivery_state = ANY(CAST(:states AS text[]))
  AND generation_signature(CAST(model AS text), generation_failure(
          delivery_state, failure_category, failure_code, coalesce(failure_message, CAST(error AS text)))) = :signature
  AND created_at >= :since AND created_at < :until
  AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
  AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
  AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: any_generation
-- Whether there is any generation at all.
SELECT (SELECT id FROM generations ORDER BY id LIMIT 1) IS NOT NULL AS found;

-- name: times_counted
-- How many took how long, of whole counted days and hours.
SELECT key, CAST(sum(n) AS bigint) AS n FROM (
    SELECT kind, model, key, n FROM delivery_rollup
    WHERE measure = 'time' AND grain = 'day' AND start = ANY(CAST(:days AS timestamptz[]))
    UNION ALL
    SELECT kind, model, key, n FROM delivery_rollup
    WHERE measure = 'time' AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
) counted
WHERE (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
GROUP BY key;
