-- name: runs_of_month
-- What a month's runs have cost by trainer, state and creator, against what was quoted for those that are over.
SELECT r.trainer, r.state, r.creator_key, max(r.creator_name) AS creator_name, count(*) AS runs,
       sum(c.settled_usd) AS settled_usd, sum(c.reserved_usd) AS reserved_usd,
       coalesce(sum(coalesce(r.expected_usd, r.quoted_usd)) FILTER (WHERE r.state IN ('completed', 'failed', 'cancelled')), 0) AS quoted_usd
FROM cost_rollup c JOIN lora_training_jobs r ON r.id = CAST(c.key AS uuid)
WHERE c.scope = 'trainings' AND c.dimension = 'run' AND c.grain = 'month' AND c.start = :month
GROUP BY r.trainer, r.state, r.creator_key;

-- name: quotas
-- Creators with LoRAs in a month, staff with the account that they have by now, and how many count: neither failed nor cancelled.
SELECT coalesce('user:' || a.user_id, l.creator_key, 'user:' || l.user_id) AS creator, max(l.creator_name) AS name,
       count(*) AS used
FROM lora_models l LEFT JOIN studio_ops_staff_accounts() a ON a.creator_key = l.creator_key
WHERE l.training_status <> 'failed' AND coalesce(l.counted_at, l.created_at) >= CAST(:month AS timestamptz)
  AND coalesce(l.counted_at, l.created_at) < CAST(:next_month AS timestamptz)
  AND coalesce(l.creator_key, CAST(l.user_id AS text)) IS NOT NULL
GROUP BY 1 ORDER BY used DESC, name LIMIT :limit;

-- name: reset_counts
-- Brings the company's own counts into this month, and in step with LoRAs whose runs have moved; how many rows changed.
UPDATE user_training_limits l
SET loras_created_this_month = f.used, month_reset_date = f.month, updated_at = :now
FROM (
    SELECT u.user_id, CAST(CAST(:month AS timestamptz) AT TIME ZONE 'UTC' AS date) AS month,
           (SELECT count(*) FROM lora_models m
            WHERE (m.user_id = u.user_id OR m.creator_key = a.creator_key) AND m.training_status <> 'failed'
              AND coalesce(m.counted_at, m.created_at) >= CAST(:month AS timestamptz)) AS used
    FROM user_training_limits u LEFT JOIN studio_ops_staff_accounts() a ON a.user_id = u.user_id
    WHERE u.month_reset_date < CAST(CAST(:month AS timestamptz) AT TIME ZONE 'UTC' AS date)
       OR a.creator_key IS NOT NULL
       OR EXISTS (SELECT FROM lora_training_jobs r WHERE r.user_id = u.user_id AND r.state IS NOT NULL
                  AND r.updated_at > CAST(:now AS timestamptz) - interval '1 day')
) f
WHERE l.user_id = f.user_id
  AND (l.month_reset_date < f.month OR l.loras_created_this_month IS DISTINCT FROM f.used);

-- name: reset_count
-- Brings the company's own count of one user into this month; nothing where it is there already.
UPDATE user_training_limits l
SET month_reset_date = CAST(CAST(:month AS timestamptz) AT TIME ZONE 'UTC' AS date), updated_at = :now,
    loras_created_this_month = (
        SELECT count(*) FROM lora_models m
        WHERE (m.user_id = l.user_id
               OR m.creator_key = ANY(ARRAY(SELECT a.creator_key FROM studio_ops_staff_accounts() a
                                            WHERE a.user_id = l.user_id)))
          AND m.training_status <> 'failed' AND coalesce(m.counted_at, m.created_at) >= CAST(:month AS timestamptz))
WHERE l.user_id = :user_id AND l.month_reset_date < CAST(CAST(:month AS timestamptz) AT TIME ZONE 'UTC' AS date);

-- name: ended_for
-- Runs that ended lately and whose creator wants to be told by mail.
SELECT r.id, l.name, r.state, r.error_message, l.training_cost, c.email
FROM notification_choices c
JOIN lora_training_jobs r ON r.creator_key IN ('staff:' || c.person, 'user:' || c.person)
JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.state IN ('completed', 'failed', 'cancelled') AND r.created_at > CAST(:now AS timestamptz) - interval '7 days'
  AND r.completed_at >= c.since AND r.completed_at > CAST(:now AS timestamptz) - interval '1 day'
  AND NOT EXISTS (SELECT FROM notifications n WHERE n.key = 'training:' || r.id || ':' || r.state)
LIMIT :limit;

-- name: silent
-- Runs under way whose worker has been silent since the given time, the oldest first; none of a rehearsal.
SELECT count(*)::int AS count, (array_agg(id ORDER BY heartbeat_at))[1: CAST(:named AS int)] AS ids, min(heartbeat_at) AS at
FROM lora_training_jobs
WHERE state IN ('running', 'ending') AND greatest(heartbeat_at, next_attempt_at) < :before
  AND NOT studio_ops_is_rehearsed(id);

-- name: unjudged
-- Runs whose test images have waited for a verdict since before the given time, the longest waiting first.
SELECT count(*)::int AS count, (array_agg(id ORDER BY heartbeat_at))[1: CAST(:named AS int)] AS ids, min(heartbeat_at) AS at
FROM lora_training_jobs
WHERE state = 'awaiting_verdict' AND heartbeat_at < :before;

-- name: ended
-- Of runs that ended since the given time: how many completed, and how many failed; none of a rehearsal.
SELECT count(*) FILTER (WHERE state = 'completed') AS completed, count(*) FILTER (WHERE state = 'failed') AS failed
FROM lora_training_jobs
WHERE state IN ('completed', 'failed') AND created_at >= :since AND NOT studio_ops_is_rehearsed(id);

-- name: note_orphan
-- Notes a pod that belongs to no run; its end when that is known.
INSERT INTO orphan_pods (pod_id, usd_per_hour, seen_at, ended_at)
VALUES (:pod_id, :usd_per_hour, :now, CASE WHEN CAST(:ended AS boolean) THEN CAST(:now AS timestamptz) END)
ON CONFLICT (pod_id) DO UPDATE SET ended_at = coalesce(orphan_pods.ended_at, EXCLUDED.ended_at);

-- name: orphans
-- Pods of ours without a run that have not ended, or did so since the given time.
SELECT pod_id, usd_per_hour, seen_at, ended_at FROM orphan_pods
WHERE ended_at IS NULL OR ended_at > :since ORDER BY ended_at IS NULL DESC, seen_at LIMIT 20;

-- name: orphans_named
-- Pods of ours without a run, by their ids at RunPod: those that run first, then as they were seen.
SELECT pod_id, usd_per_hour, seen_at, ended_at FROM orphan_pods
WHERE pod_id = ANY(CAST(:pods AS text[])) ORDER BY ended_at IS NULL DESC, seen_at, pod_id;

-- name: prune_orphans
-- Forgets pods that ended before the given time.
DELETE FROM orphan_pods WHERE ended_at < :before;

-- name: unbilled_pods
-- Pods whose line no bill has corrected, those not asked about for longest first: ended within the given days, or longer ago and never asked about; with what we wrote for each.
SELECT c.id, c.remote_id, c.created_at AS since, l.id AS line_id, l.amount_usd
FROM training_calls c JOIN job_costs l ON l.source_key = 'training-call:' || c.id AND l.kind = 'settle'
WHERE c.provider = 'runpod' AND c.remote_id IS NOT NULL
  AND c.ended_at < :ended_before
  AND c.ended_at > CAST(:never_asked_after AS timestamptz) AND (c.ended_at > :ended_after OR c.bill_asked_at IS NULL)
  AND NOT EXISTS (SELECT FROM job_costs k WHERE k.source_key = 'correct' || chr(58) || 'bill/' || c.id)
ORDER BY c.bill_asked_at NULLS FIRST, c.ended_at LIMIT :limit;

-- name: bill_asked
-- Notes that RunPod was asked about a pod's bill.
WITH orphan AS (UPDATE orphan_pods SET bill_asked_at = :now WHERE pod_id = :pod_id)
UPDATE training_calls SET bill_asked_at = :now WHERE provider = 'runpod' AND remote_id = :pod_id;

-- name: unbilled_orphans
-- Pods without a run that have no line in the ledger, neither of their own nor a run's, those not asked about for longest first: ended within the given days, or longer ago and never asked about.
SELECT o.pod_id AS remote_id, o.seen_at AS since, o.ended_at FROM orphan_pods o
WHERE o.ended_at < :ended_before
  AND o.ended_at > CAST(:never_asked_after AS timestamptz) AND (o.ended_at > :ended_after OR o.bill_asked_at IS NULL)
  AND NOT EXISTS (SELECT FROM job_costs l WHERE l.source_key = 'orphan-pod' || chr(58) || o.pod_id)
  AND NOT EXISTS (SELECT FROM training_calls c JOIN job_costs l ON l.source_key = 'training-call' || chr(58) || c.id
                  WHERE c.provider = 'runpod' AND c.remote_id = o.pod_id)
ORDER BY o.bill_asked_at NULLS FIRST, o.ended_at LIMIT :limit;
