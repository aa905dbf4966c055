-- name: under_way
-- Deliveries on their way by state, and how many of them were due a minute ago already.
SELECT delivery_state AS state, count(*) AS n,
       count(*) FILTER (WHERE next_attempt_at < CAST(:now AS timestamptz) - interval '1 min'
                          AND (lease_until IS NULL OR lease_until <= :now)) AS overdue,
       min(next_attempt_at) AS oldest_due_at
FROM generations
WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
GROUP BY delivery_state;

-- name: waiting_for_people
-- Deliveries that no rule can finish, by state.
SELECT delivery_state AS state, count(*) AS n FROM generations
WHERE delivery_state IN ('needs_attention', 'lost') GROUP BY delivery_state;

-- name: unhandled_callbacks
-- Callbacks that no delivery has taken up yet, and the oldest of them.
SELECT count(*) AS n, min(received_at) AS oldest_at FROM callback_inbox WHERE handled_at IS NULL;

-- name: limits
-- The calls that each provider's limit allows, and how far ahead its places are taken.
SELECT key, per_second::double precision AS per_second,
       greatest(0, extract(epoch FROM next_free_at - clock_timestamp()))::double precision AS taken_s
FROM provider_limits ORDER BY key;

-- name: trainings
-- When the longest silent of the trainings under way was last in hand, and how many images are being generated.
SELECT (SELECT min(heartbeat_at) FROM lora_training_jobs WHERE state IN ('running', 'ending')) AS oldest_beat_at,
       (SELECT count(*) FROM training_drawings WHERE state IN ('intent', 'sending', 'accepted', 'unknown')) AS drawings;
