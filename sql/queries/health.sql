-- name: cells
-- What became of generations begun in a span: counted days and hours, and the rows of what is not counted yet.
WITH live AS MATERIALIZED (
    SELECT CASE WHEN CAST(:every AS boolean) THEN date_trunc('hour', CAST(g.created_at AS timestamptz)) END AS at,
           CASE WHEN CAST(:every AS boolean) OR CAST(:kind AS text) IS NOT NULL
                THEN generation_kind(CAST(g.kind AS text), CAST(g.model AS text)) END AS kind,
           CASE WHEN CAST(:every AS boolean) OR CAST(:model AS text) IS NOT NULL
                THEN left(coalesce(CAST(g.model AS text), ''), 120) END AS model,
           CASE WHEN g.delivery_state IN ('delivered', 'failed', 'lost', 'needs_attention') THEN g.delivery_state
                ELSE 'in_flight' END AS stand,
           CASE WHEN CAST(:every AS boolean) AND g.delivery_state = 'delivered'
                THEN generation_time_bucket(CAST(g.created_at AS timestamptz), g.delivered_at) END AS bucket,
           CASE WHEN CAST(:every AS boolean) AND g.delivery_state IN ('failed', 'lost', 'needs_attention')
                THEN generation_failure(g.delivery_state, g.failure_category, g.failure_code,
                                        coalesce(g.failure_message, CAST(g.error AS text))) END AS failure
    FROM unnest(CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[])) AS r(from_at, until_at)
    CROSS JOIN LATERAL (
        SELECT created_at, kind, model, delivery_state, delivered_at, failure_category, failure_code,
               failure_message, error
        FROM generations
        WHERE created_at >= r.from_at AND created_at < r.until_at AND delivery_state IS NOT NULL
        LIMIT :most
    ) g
    LIMIT :most
), cells AS (
    SELECT measure, start AS at, kind, model, key, n FROM delivery_rollup
    WHERE measure = 'state' AND grain = 'day' AND start = ANY(CAST(:days AS timestamptz[]))
    UNION ALL
    SELECT measure, start, kind, model, key, n FROM delivery_rollup
    WHERE measure = 'state' AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
    UNION ALL
    SELECT measure, NULL, kind, model, key, n FROM delivery_rollup
    WHERE CAST(:every AS boolean) AND measure IN ('time', 'failure') AND grain = 'day'
      AND start = ANY(CAST(:whole_days AS timestamptz[]))
    UNION ALL
    SELECT measure, NULL, kind, model, key, n FROM delivery_rollup
    WHERE CAST(:every AS boolean) AND measure IN ('time', 'failure') AND grain = 'hour'
      AND start = ANY(CAST(:other_hours AS timestamptz[]))
    UNION ALL
    SELECT 'state', at, kind, model, stand, count(*) FROM live GROUP BY at, kind, model, stand
    UNION ALL
    SELECT 'time', NULL, kind, model, CAST(bucket AS text), count(*) FROM live
    WHERE bucket IS NOT NULL GROUP BY kind, model, bucket
    UNION ALL
    SELECT 'failure', NULL, kind, model, failure, count(*) FROM live
    WHERE failure IS NOT NULL GROUP BY kind, model, failure
), bars AS MATERIALIZED (
    SELECT measure, key, kind, model, CAST(sum(n) AS bigint) AS n,
           CASE WHEN CAST(:every AS boolean) THEN date_bin(CAST(:bar AS interval), at, TIMESTAMPTZ '2000-01-01 UTC') END AS bar
    FROM cells
    WHERE (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
    GROUP BY 1, 2, 3, 4, 6
)
SELECT measure, key, bar, kind, model, CAST(sum(n) AS bigint) AS n
FROM bars
GROUP BY GROUPING SETS ((measure, key), (measure, key, bar), (measure, key, kind, model))
HAVING (grouping(bar) = 1 AND grouping(model) = 1) OR (CAST(:every AS boolean) AND (grouping(model) = 0 OR measure = 'state'))
UNION ALL
SELECT 'rows', '', NULL, NULL, NULL, count(*) FROM live;

-- name: under_way
-- What is on its way now, whenever it was begun: all, stuck by its model's or kind's limit, and finished at KIE alone.
WITH active AS (
    SELECT coalesce(g.submitted_at, CAST(g.created_at AS timestamptz)) AS begun, g.delivery_state, g.result_expires_at,
           generation_kind(CAST(g.kind AS text), CAST(g.model AS text)) AS kind, CAST(g.model AS text) AS model
    FROM generations g
    WHERE g.delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
    UNION ALL
    SELECT NULL, g.delivery_state, g.result_expires_at,
           generation_kind(CAST(g.kind AS text), CAST(g.model AS text)), CAST(g.model AS text)
    FROM generations g
    WHERE g.delivery_state IN ('needs_attention', 'lost') AND g.delivery_state = 'needs_attention'
      AND g.result_expires_at > :now
)
SELECT count(*) FILTER (WHERE a.delivery_state <> 'needs_attention') AS in_flight,
       count(*) FILTER (WHERE a.delivery_state <> 'needs_attention' AND a.begun < CAST(:now AS timestamptz)
           - make_interval(mins => coalesce(l.minutes, CASE a.kind WHEN 'video' THEN CAST(:video_minutes AS int)
                                                       ELSE CAST(:image_minutes AS int) END))) AS stuck,
       count(*) FILTER (WHERE a.delivery_state IN ('awaiting_delivery', 'needs_attention')) AS rescue,
       min(a.result_expires_at) FILTER (WHERE a.delivery_state IN ('awaiting_delivery', 'needs_attention')) AS expires_at
FROM active a
LEFT JOIN unnest(CAST(:models AS text[]), CAST(:minutes AS int[])) AS l(model, minutes) ON l.model = a.model
WHERE (CAST(:kind AS text) IS NULL OR a.kind = :kind)
  AND (CAST(:model AS text) IS NULL OR left(coalesce(a.model, ''), 120) = :model);

-- name: under_way_rows
-- The generations that under_way counts at one place, a page at a time; for the rescue clock, those with least time left.
SELECT g.* FROM (
    SELECT * FROM generations
    WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
      AND (CAST(:state AS text) <> 'rescue' OR delivery_state = 'awaiting_delivery')
    UNION ALL
    SELECT * FROM generations
    WHERE CAST(:state AS text) = 'rescue' AND delivery_state IN ('needs_attention', 'lost')
      AND delivery_state = 'needs_attention' AND result_expires_at > :now
) g
LEFT JOIN unnest(CAST(:models AS text[]), CAST(:minutes AS int[])) AS l(model, minutes)
    ON l.model = CAST(g.model AS text)
WHERE (CAST(:state AS text) <> 'stuck' OR coalesce(g.submitted_at, CAST(g.created_at AS timestamptz)) < CAST(:now AS timestamptz)
       - make_interval(mins => coalesce(l.minutes, CASE generation_kind(CAST(g.kind AS text), CAST(g.model AS text))
                                                   WHEN 'video' THEN CAST(:video_minutes AS int) ELSE CAST(:image_minutes AS int) END)))
  AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(g.kind AS text), CAST(g.model AS text)) = :kind)
  AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(g.model AS text), ''), 120) = :model)
  AND (CAST(:before_at AS timestamptz) IS NULL
       OR (coalesce(CAST(g.created_at AS timestamptz), '-infinity'), g.id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY CASE WHEN CAST(:soonest AS boolean) THEN g.result_expires_at END,
         coalesce(CAST(g.created_at AS timestamptz), '-infinity') DESC, g.id DESC
LIMIT :limit;

-- name: failure_named
-- What a failure group's name stands for, of what has been counted in these days and hours.
SELECT model, key FROM (
    SELECT model, key FROM delivery_rollup
    WHERE measure = 'failure' AND grain = 'day' AND start = ANY(CAST(:days AS timestamptz[]))
    UNION
    SELECT model, key FROM delivery_rollup
    WHERE measure = 'failure' AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
) counted
WHERE generation_signature(model, key) = :signature
LIMIT 1;

-- name: places
-- In which counted hours how many generations match, newest hour first.
SELECT start, CAST(sum(n) AS bigint) AS n FROM delivery_rollup
WHERE measure = :measure AND grain = 'hour' AND start = ANY(CAST(:hours AS timestamptz[]))
  AND (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:model AS text) IS NULL OR model = :model)
  AND (CAST(:keys AS text[]) IS NULL OR key = ANY(CAST(:keys AS text[])))
GROUP BY start ORDER BY start DESC;

-- name: matching
-- Generations begun in these spans that match, newest first; those that were not delivered by an index of their own.
SELECT g.* FROM unnest(CAST(:froms AS timestamptz[]), CAST(:untils AS timestamptz[])) AS r(from_at, until_at)
CROSS JOIN LATERAL (
    (SELECT * FROM generations
     WHERE CAST(:not_delivered AS boolean) AND delivery_state IN ('failed', 'lost', 'needs_attention')
       AND delivery_state = ANY(CAST(:states AS text[]))
       AND created_at >= r.from_at AND created_at < r.until_at
       AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
       AND (CAST(:signature AS text) IS NULL OR generation_signature(CAST(model AS text), generation_failure(
                delivery_state, failure_category, failure_code, coalesce(failure_message, CAST(error AS text))))
            = :signature)
     ORDER BY created_at DESC, id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM generations
     WHERE NOT CAST(:not_delivered AS boolean) AND delivery_state = ANY(CAST(:states AS text[]))
       AND created_at >= r.from_at AND created_at < r.until_at
       AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
       AND (CAST(:kind AS text) IS NULL OR generation_kind(CAST(kind AS text), CAST(model AS text)) = :kind)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(CAST(model AS text), ''), 120) = :model)
       AND (NOT CAST(:timed AS boolean) OR generation_time_bucket(CAST(created_at AS timestamptz), delivered_at) IS NOT NULL)
     ORDER BY created_at DESC, id DESC LIMIT :limit)
) g
ORDER BY g.created_at DESC, g.id DESC LIMIT :limit;

-- name: any_generation
-- Whether there is any generation at all.
SELECT (SELECT id FROM generations ORDER BY id LIMIT 1) IS NOT NULL AS found;
