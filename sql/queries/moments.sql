-- name: record
-- Writes down what is on its way at an hour, by kind and model, unless that hour has its line already; one says that it was looked at.
WITH due AS MATERIALIZED (
    SELECT NOT EXISTS (SELECT FROM delivery_rollup
                       WHERE measure = 'moment' AND grain = 'hour' AND start = :hour) AS is_due
)
INSERT INTO delivery_rollup (measure, grain, start, kind, model, key, n)
SELECT 'moment', 'hour', :hour, s.kind, s.model, s.key, s.n
FROM due CROSS JOIN LATERAL (
    SELECT '' AS kind, '' AS model, 'looked' AS key, CAST(1 AS bigint) AS n
    UNION ALL
    SELECT p.kind, p.model, k.key, CASE k.key WHEN 'stuck' THEN p.stuck ELSE p.in_flight END
    FROM (
        SELECT generation_kind(CAST(g.kind AS text), CAST(g.model AS text)) AS kind,
               left(coalesce(CAST(g.model AS text), ''), 120) AS model, count(*) AS in_flight,
               count(*) FILTER (WHERE coalesce(g.submitted_at, CAST(g.created_at AS timestamptz)) < coalesce(
                   l.late, CASE generation_kind(CAST(g.kind AS text), CAST(g.model AS text))
                           WHEN 'video' THEN CAST(:video_late AS timestamptz) ELSE CAST(:image_late AS timestamptz) END)) AS stuck
        FROM generations g
        LEFT JOIN unnest(CAST(:models AS text[]), CAST(:late AS timestamptz[])) AS l(model, late) ON l.model = CAST(g.model AS text)
        WHERE g.delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
        GROUP BY 1, 2
    ) p, unnest(ARRAY['in_flight', 'stuck']) AS k(key)
) s
WHERE due.is_due AND s.n > 0
ON CONFLICT (measure, grain, start, kind, model, key) DO NOTHING;

-- name: forget
-- Takes away moments that no trend looks at any more.
DELETE FROM delivery_rollup WHERE measure = 'moment' AND grain = 'hour' AND start < :before;

-- name: oldest_since
-- What was on its way at the oldest moment of a span; no time when nobody looked within it.
WITH oldest AS MATERIALIZED (
    SELECT min(start) AS at FROM delivery_rollup
    WHERE measure = 'moment' AND grain = 'hour' AND start >= :since AND start < :until
)
SELECT o.at, CAST(coalesce(sum(r.n) FILTER (WHERE r.key = 'in_flight'), 0) AS bigint) AS in_flight,
       CAST(coalesce(sum(r.n) FILTER (WHERE r.key = 'stuck'), 0) AS bigint) AS stuck
FROM oldest o
LEFT JOIN delivery_rollup r ON r.measure = 'moment' AND r.grain = 'hour' AND r.start = o.at
    AND (CAST(:kind AS text) IS NULL OR r.kind = :kind) AND (CAST(:model AS text) IS NULL OR r.model = :model)
GROUP BY o.at;
