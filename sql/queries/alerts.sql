-- name: lost
-- Lost results that ended after those of the last acknowledged alert: how many, the newest ones, the newest loss.
WITH told AS MATERIALIZED (
    SELECT max((evidence ->> 'until')::timestamptz) AS until FROM alerts
    WHERE kind = 'lost_results' AND subject = '' AND resolved_at IS NOT NULL AND acknowledged_at IS NOT NULL
)
SELECT count(*)::int AS count, (array_agg(id ORDER BY provider_read_at DESC))[1: CAST(:named AS int)] AS ids,
       max(provider_read_at) AS at, (SELECT until FROM told) AS since
FROM (SELECT id, provider_read_at FROM generations
      WHERE delivery_state IN ('needs_attention', 'lost') AND delivery_state = 'lost' AND provider_read_at <= :before
        AND provider_read_at > coalesce((SELECT until FROM told), '-infinity')
      ORDER BY updated_at DESC LIMIT 10000) l;

-- name: expiring
-- Results that are finished at the provider, not delivered, and deleted there before the given time, soonest first.
SELECT count(*)::int AS count, (array_agg(id ORDER BY result_expires_at))[1: CAST(:named AS int)] AS ids,
       min(result_expires_at) AS at
FROM generations
WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
  AND delivery_state = 'awaiting_delivery' AND result_expires_at < :until;

-- name: stuck
-- Deliveries under way for longer than one of their model or kind may be, the oldest first.
SELECT count(*)::int AS count, (array_agg(id ORDER BY begun_at))[1: CAST(:named AS int)] AS ids, min(begun_at) AS at
FROM (SELECT id, coalesce(submitted_at, created_at) AS begun_at,
             coalesce((CAST(:limits AS jsonb) ->> model::text)::int,
                      CASE WHEN generation_kind(CAST(kind AS text), CAST(model AS text)) = 'video'
                           THEN CAST(:video AS int) ELSE CAST(:image AS int) END) AS minutes
      FROM generations
      WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')) g
WHERE begun_at < CAST(:now AS timestamptz) - make_interval(mins => minutes);

-- name: storage_refusing
-- Deliveries whose file our own storage refuses, grouped by what it says.
SELECT subject, count(*)::int AS count, (array_agg(id ORDER BY updated_at))[1: CAST(:named AS int)] AS ids,
       min(updated_at) AS at
FROM (SELECT id, updated_at, generation_refusal(CAST(failure_message AS text)) AS subject
      FROM generations
      WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
        AND delivery_state = 'awaiting_delivery' AND failure_code = 'storage_refused') g
GROUP BY subject ORDER BY count DESC LIMIT 10;

-- name: newest_finished
-- Of the newest generations since the given time, with all that were begun with the last of them: how many have ended, how many of those were delivered; films apart; and between when they were begun.
SELECT count(*) FILTER (WHERE delivery_state = 'delivered') AS delivered,
       count(*) FILTER (WHERE delivery_state IN ('delivered', 'failed', 'lost')) AS finished,
       count(*) FILTER (WHERE delivery_state = 'delivered' AND is_film) AS films_delivered,
       count(*) FILTER (WHERE delivery_state IN ('delivered', 'failed', 'lost') AND is_film) AS films_finished,
       min(created_at) AS since, max(created_at) AS until
FROM (SELECT delivery_state, generation_kind(CAST(kind AS text), CAST(model AS text)) = 'video' AS is_film,
             CAST(created_at AS timestamptz) AS created_at
      FROM generations
      WHERE created_at >= greatest(:since, (SELECT created_at FROM generations WHERE created_at >= :since
                                            ORDER BY created_at DESC, id DESC OFFSET CAST(:newest AS int) - 1 LIMIT 1))) g;

-- name: looking
-- The moment, by the clock that all processes share.
SELECT clock_timestamp() AS at;

-- name: record
-- Opens, renews and resolves so that the open alerts of these kinds are the causes given; a grown one is shown again, one that is told once never.
WITH cause AS (
    SELECT * FROM jsonb_to_recordset(CAST(:causes AS jsonb))
        AS c(kind text, subject text, severity text, count int, evidence jsonb, once boolean)
    WHERE NOT (once AND EXISTS (SELECT FROM alerts a WHERE a.kind = c.kind AND a.subject = c.subject
                                AND a.resolved_at IS NOT NULL))
), seen AS (
    INSERT INTO alerts (kind, subject, severity, count, evidence, once, opened_at, last_seen_at, recorded_at)
    SELECT kind, subject, severity, count, evidence, once, CAST(:now AS timestamptz), CAST(:now AS timestamptz),
           clock_timestamp()
    FROM cause
    ORDER BY kind, subject
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO UPDATE
    SET severity = EXCLUDED.severity, count = EXCLUDED.count, evidence = EXCLUDED.evidence,
        last_seen_at = EXCLUDED.last_seen_at, recorded_at = EXCLUDED.recorded_at,
        acknowledged_at = CASE WHEN EXCLUDED.count < 2 * alerts.acknowledged_count THEN alerts.acknowledged_at END
    RETURNING xmax = 0 AS is_new
), gone AS (
    UPDATE alerts a SET resolved_at = :now
    WHERE a.resolved_at IS NULL AND a.kind = ANY(CAST(:kinds AS text[]))
      AND (a.recorded_at IS NULL OR a.recorded_at <= CAST(:looked_at AS timestamptz))
      AND NOT EXISTS (SELECT FROM cause c WHERE c.kind = a.kind AND c.subject = a.subject)
    RETURNING a.id
)
SELECT (SELECT count(*) FROM seen WHERE is_new) AS opened, (SELECT count(*) FROM gone) AS resolved;

-- name: acknowledge
-- Acknowledges an open alert that is as it was seen; those of the closing kinds are resolved with it.
UPDATE alerts
SET acknowledged_at = :now, acknowledged_by = :by, acknowledged_by_id = :by_id, acknowledged_count = count, note = :note,
    resolved_at = CASE WHEN kind = ANY(CAST(:closing AS text[])) THEN CAST(:now AS timestamptz) END
WHERE id = :id AND resolved_at IS NULL AND acknowledged_at IS NULL AND count = :seen_count
RETURNING *;

-- name: prune
-- Forgets alerts that were resolved before the given time; of the closing kinds the last acknowledged one stays.
DELETE FROM alerts a
WHERE resolved_at < :before AND (NOT once OR resolved_at < CAST(:before AS timestamptz) - interval '40 days')
  AND (kind <> ALL(CAST(:closing AS text[]))
       OR EXISTS (SELECT FROM alerts l WHERE l.kind = a.kind AND l.subject = a.subject
                  AND l.resolved_at > a.resolved_at AND l.acknowledged_at IS NOT NULL));

-- name: waiting
-- Open alerts that nobody has acknowledged, worst first.
SELECT * FROM alerts WHERE resolved_at IS NULL AND acknowledged_at IS NULL
ORDER BY severity = 'critical' DESC, severity = 'warning' DESC, opened_at LIMIT :limit;

-- name: acknowledged
-- Open alerts that somebody has seen to, the newest first.
SELECT * FROM alerts WHERE resolved_at IS NULL AND acknowledged_at IS NOT NULL
ORDER BY acknowledged_at DESC LIMIT :limit;

-- name: past
-- Alerts that are over, the newest first, a page at a time before the given place.
SELECT * FROM alerts
WHERE resolved_at IS NOT NULL
  AND (CAST(:before_at AS timestamptz) IS NULL OR (resolved_at, id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY resolved_at DESC, id DESC LIMIT :limit;

-- name: how_many
-- How many alerts are open: those that wait for a person, and those that somebody has seen to; stuck deliveries.
SELECT count(*) FILTER (WHERE acknowledged_at IS NULL) AS waiting,
       count(*) FILTER (WHERE acknowledged_at IS NOT NULL) AS acknowledged,
       coalesce(max(count) FILTER (WHERE kind = 'stuck'), 0) AS stuck
FROM alerts WHERE resolved_at IS NULL;

-- name: tell_alone
-- Has whoever tells next wait until this transaction ends.
SELECT pg_advisory_xact_lock(5920);

-- name: newest_message
-- The message that was written last about alerts.
SELECT message_key AS key FROM alerts WHERE message_key IS NOT NULL AND resolved_at IS NULL
ORDER BY notified_at DESC LIMIT 1;

-- name: told_by
-- The open alerts that a message tells of, the oldest first.
SELECT * FROM alerts WHERE message_key = :key AND resolved_at IS NULL ORDER BY opened_at;

-- name: take_untold
-- Takes the open alerts that nobody has been told of, for this transaction alone; of a rehearsal's money nobody is told.
UPDATE alerts SET notified_at = :now, message_key = :key
WHERE id = ANY(ARRAY(SELECT id FROM alerts WHERE notified_at IS NULL AND resolved_at IS NULL
                     AND NOT (kind = ANY(CAST(:of_money AS text[])) AND EXISTS (SELECT FROM rehearsals))
                     ORDER BY opened_at LIMIT 50 FOR UPDATE SKIP LOCKED));

-- name: wrong_weights
-- LoRAs whose weights are not there, or are not what they were: how many, the first ones, since when.
SELECT count(*)::int AS count, (array_agg(id ORDER BY since))[1: CAST(:named AS int)] AS ids, min(since) AS at,
       coalesce((array_agg(name ORDER BY since))[1], '') AS name,
       count(*) FILTER (WHERE state = 'missing')::int AS missing
FROM (SELECT p.lora_model_id AS id, p.since, p.state, l.name
      FROM lora_weight_proofs p JOIN lora_models l ON l.id = p.lora_model_id
      WHERE p.state <> 'good' ORDER BY p.since, p.lora_model_id LIMIT :most) w;

-- name: library_totals
-- How much the library of LoRAs holds, as counted last.
SELECT loras, bytes, idle_loras, idle_bytes FROM lora_library_totals;
