-- name: enqueue
-- Puts a job on the queue in the caller's transaction; nothing when one with the same lock waits already.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args, scheduled_at)
VALUES (:queue, :task, :priority, :queueing_lock, CAST(:args AS jsonb), :scheduled_at)
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING;

-- name: claim_slot
-- Claims one slot of a scheduled job; only the first clock gets a row, and none while the job is paused.
INSERT INTO job_runs (job, slot, enqueued_at)
SELECT :job, :slot, CAST(:now AS timestamptz)
WHERE NOT EXISTS (SELECT FROM job_pauses WHERE job = :job AND ended_at IS NULL AND until > CAST(:now AS timestamptz))
ON CONFLICT (job, slot) DO NOTHING
RETURNING job;

-- name: start_run
-- Marks a claimed slot as running.
UPDATE job_runs SET state = 'running', started_at = :now, worker = :worker
WHERE job = :job AND slot = :slot AND state IN ('enqueued', 'running');

-- name: finish_run
-- Marks a running slot as ended, with what it did or why it failed.
UPDATE job_runs SET state = :state, finished_at = :now, items = :items, error = :error
WHERE job = :job AND slot = :slot AND state = 'running';

-- name: prune_runs
-- Deletes slots older than the given time, a batch at a time; each job keeps its last success and its last failure.
DELETE FROM job_runs WHERE ctid = ANY(ARRAY(
    SELECT r.ctid FROM job_runs r
    LEFT JOIN (SELECT job, state, max(slot) AS slot FROM job_runs GROUP BY job, state) k
        ON k.job = r.job AND k.state = r.state AND k.slot = r.slot
    WHERE r.slot < :before AND k.job IS NULL
    LIMIT 50000
));

-- name: beat
-- Records that a process is alive.
INSERT INTO process_heartbeats (id, role, host, pid, version, started_at, beat_at, detail)
VALUES (:id, :role, :host, :pid, :version, :now, :now, CAST(:detail AS jsonb))
ON CONFLICT (id) DO UPDATE SET beat_at = EXCLUDED.beat_at, detail = EXCLUDED.detail;

-- name: end_process
-- Records that a process has ended in order.
UPDATE process_heartbeats SET detail = detail || '{"ended": true}' WHERE id = :id;

-- name: processes
-- Every process that has beaten since the given time, newest beat first.
SELECT id, role, host, pid, version, started_at, beat_at
FROM process_heartbeats WHERE beat_at >= :since ORDER BY role, beat_at DESC;

-- name: last_beats
-- The newest heartbeat of each role, however old.
SELECT role, max(beat_at) AS beat_at FROM process_heartbeats GROUP BY role;

-- name: prune_beats
-- Forgets processes that have been silent since the given time.
DELETE FROM process_heartbeats WHERE beat_at < :before;

-- name: queue_depth
-- Jobs waiting and running, by queue.
SELECT queue_name, count(*) FILTER (WHERE status = 'todo') AS waiting,
       count(*) FILTER (WHERE status = 'doing') AS running
FROM procrastinate_jobs WHERE status IN ('todo', 'doing') GROUP BY queue_name ORDER BY queue_name;

-- name: prune_jobs
-- Deletes finished jobs of the queue, a batch at a time.
DELETE FROM procrastinate_jobs WHERE id IN (
    SELECT id FROM procrastinate_jobs
    WHERE status IN ('succeeded', 'failed', 'cancelled', 'aborted') AND id < :keep_from
    ORDER BY id LIMIT 20000
);

-- name: newest_job
-- The highest job id handed out so far.
SELECT coalesce(max(id), 0) AS id FROM procrastinate_jobs;

-- name: known_jobs
-- Every job that has a slot, found by a skip scan of the key.
WITH RECURSIVE known AS (
    (SELECT job FROM job_runs ORDER BY job LIMIT 1)
    UNION ALL
    SELECT (SELECT r.job FROM job_runs r WHERE r.job > k.job ORDER BY r.job LIMIT 1)
    FROM known k WHERE k.job IS NOT NULL
)
SELECT job FROM known WHERE job IS NOT NULL ORDER BY job;

-- name: last_runs
-- For each job its newest slot, its last success and its last failure.
SELECT j.job, l.slot, l.state, l.started_at, l.finished_at, l.items,
       s.finished_at AS succeeded_at, f.finished_at AS failed_at, f.error
FROM unnest(CAST(:jobs AS text[])) AS j(job)
LEFT JOIN LATERAL (SELECT * FROM job_runs WHERE job = j.job ORDER BY slot DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT finished_at FROM job_runs WHERE job = j.job AND state = 'succeeded'
                   ORDER BY slot DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (SELECT finished_at, error FROM job_runs WHERE job = j.job AND state = 'failed'
                   ORDER BY slot DESC LIMIT 1) f ON true
ORDER BY j.job;

-- name: reserve_calls
-- Reserves places for calls to a provider, evenly spaced; none when the next free place lies beyond the horizon.
WITH place AS (
    -- A line that is longer than anybody may wait was made by a clock that has been set back since.
    SELECT l.key, l.per_second, l.waiting, t.now,
           CASE WHEN l.next_free_at > t.now + interval '30 s' THEN t.now ELSE greatest(l.next_free_at, t.now) END AS start
    FROM provider_limits l, (SELECT clock_timestamp() AS now) t
    WHERE l.key = :key FOR UPDATE OF l
), grant_ AS (
    SELECT key, per_second, start, now, waiting,
           -- Who has asked in vain for long enough gets one place behind the more urgent, however long the line.
           greatest(
               least(:wanted, greatest(0, floor((:horizon_s - extract(epoch FROM start - now)) * per_second) + 1)),
               CASE WHEN (waiting ->> CAST(:priority AS text))::timestamptz
                         < now - make_interval(secs => CAST(:patience_s AS double precision)) THEN 1 ELSE 0 END
           )::int AS granted
    FROM place
)
UPDATE provider_limits l
SET next_free_at = g.start + make_interval(secs => (g.granted / g.per_second)::double precision),
    waiting = CASE WHEN g.granted > 0 THEN g.waiting - CAST(:priority AS text)
                   ELSE jsonb_build_object(CAST(:priority AS text), g.now) || g.waiting END
FROM grant_ g WHERE l.key = g.key
RETURNING g.granted, extract(epoch FROM g.start - g.now)::double precision AS first_in_s,
          (1 / g.per_second)::double precision AS interval_s;

-- name: define_limit
-- Makes a provider's limit known; an operator's own figure stays.
INSERT INTO provider_limits (key, per_second) VALUES (:key, :per_second) ON CONFLICT (key) DO NOTHING;

-- name: rate
-- How many calls a second a provider's limit grants.
SELECT per_second FROM provider_limits WHERE key = :key;

-- name: take_allowance
-- Grants a caller up to so many requests of what they may still ask, and says how much is left.
INSERT INTO request_allowances AS a (kind, caller, tokens, granted, at)
VALUES (:kind, :caller, CAST(:most AS int) - CAST(:wanted AS int), :wanted, now())
ON CONFLICT (kind, caller) DO UPDATE
SET granted = least(CAST(:wanted AS int), floor(studio_ops_refilled(a, :most, :per_second)))::int,
    tokens = studio_ops_refilled(a, :most, :per_second)
             - least(CAST(:wanted AS int), floor(studio_ops_refilled(a, :most, :per_second))),
    at = greatest(a.at, now())
RETURNING granted, tokens;

-- name: forget_allowances
-- Forgets callers who have asked nothing since then.
DELETE FROM request_allowances WHERE at < :before;
