-- name: standings
-- Of each job its newest slot of a clock, its last ends, its failures since, and what living workers run of it.
SELECT j.job, l.slot, l.enqueued_at, l.started_at, l.state, s.finished_at AS succeeded_at, s.items,
       f.finished_at AS failed_at, f.error, coalesce(n.failures, 0)::int AS failures,
       coalesce(r.running, 0)::int AS running, r.running_since, r.overlap_since, r.worker,
       coalesce(d.took_s, '{}') AS took_s
FROM unnest(CAST(:jobs AS text[])) AS j(job)
LEFT JOIN LATERAL (SELECT slot, enqueued_at, started_at, state FROM job_runs
                   WHERE job = j.job AND asked_id IS NULL ORDER BY slot DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT slot, finished_at, items FROM job_runs WHERE job = j.job AND state = 'succeeded'
                   ORDER BY slot DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (SELECT finished_at, error FROM job_runs WHERE job = j.job AND state = 'failed'
                   ORDER BY slot DESC LIMIT 1) f ON true
LEFT JOIN LATERAL (SELECT count(*) AS failures
                   FROM (SELECT FROM job_runs WHERE job = j.job AND state = 'failed'
                           AND slot > coalesce(s.slot, '-infinity') LIMIT 1000) x) n ON true
LEFT JOIN LATERAL (SELECT count(*) AS running, min(o.started_at) AS running_since,
                          (array_agg(o.started_at ORDER BY o.started_at))[2] AS overlap_since,
                          min(o.worker) AS worker
                   FROM job_runs o
                   WHERE o.job = j.job AND o.state = 'running'
                     AND EXISTS (SELECT FROM process_heartbeats h
                                 WHERE h.beat_at >= :alive_since AND h.host || ':' || h.pid = o.worker)) r ON true
LEFT JOIN LATERAL (SELECT array_agg(took ORDER BY slot) AS took_s
                   FROM (SELECT slot, extract(epoch FROM finished_at - started_at)::double precision AS took
                         FROM job_runs WHERE job = j.job AND state IN ('succeeded', 'failed')
                         ORDER BY slot DESC LIMIT CAST(:trend AS int)) t WHERE took IS NOT NULL) d ON true;

-- name: recent_runs
-- The newest runs of a job.
SELECT slot, state, enqueued_at, started_at, finished_at, items, error, worker, asked_by, asked_by_id
FROM job_runs WHERE job = :job ORDER BY slot DESC LIMIT :limit;

-- name: pauses
-- The pauses that hold now.
SELECT id, job, reason, paused_by, paused_by_id, paused_at, until, ended_at, ended_by, ended_by_id
FROM job_pauses WHERE ended_at IS NULL AND until > :now ORDER BY job;

-- name: close_expired_pause
-- Ends a job's pause whose time is over, at that time.
UPDATE job_pauses SET ended_at = until WHERE job = :job AND ended_at IS NULL AND until <= :now;

-- name: add_pause
-- Pauses a job; nothing when a pause of it holds, or this very one was written before.
INSERT INTO job_pauses (id, job, reason, paused_by, paused_by_id, paused_at, until)
VALUES (:id, :job, :reason, :by, :by_id, :now, :until)
ON CONFLICT DO NOTHING
RETURNING id, job, reason, paused_by, paused_by_id, paused_at, until, ended_at, ended_by, ended_by_id;

-- name: pause
-- One pause by its id.
SELECT id, job, reason, paused_by, paused_by_id, paused_at, until, ended_at, ended_by, ended_by_id FROM job_pauses WHERE id = :id;

-- name: end_pause
-- Ends a pause that holds.
UPDATE job_pauses SET ended_at = :now, ended_by = :by, ended_by_id = :by_id
WHERE id = :id AND ended_at IS NULL AND until > :now
RETURNING id, job, reason, paused_by, paused_by_id, paused_at, until, ended_at, ended_by, ended_by_id;

-- name: ask_for_run
-- Records a run that a person asks for; nothing when this very one was asked for before.
INSERT INTO job_runs (job, slot, enqueued_at, asked_id, asked_by, asked_by_id)
VALUES (:job, :now, :now, :id, :by, :by_id)
ON CONFLICT DO NOTHING;

-- name: asked_before
-- Whether a run was asked for under this id.
SELECT job FROM job_runs WHERE asked_id = :id;

-- name: processes
-- Every clock and worker since the given time, the living first.
SELECT role, coalesce(host, '') AS host, coalesce(pid, 0) AS pid, coalesce(version, '') AS version,
       coalesce(started_at, beat_at) AS started_at, beat_at, beat_at >= :alive_since AND NOT detail ? 'ended' AS alive, detail ? 'ended' AS ended, detail
FROM process_heartbeats WHERE beat_at >= :since
ORDER BY beat_at >= :alive_since AND NOT detail ? 'ended' DESC, role, beat_at DESC LIMIT 50;

-- name: queues
-- What waits and what is at work, by queue, and since when the first one could have begun.
SELECT q.name, q.waiting, q.running,
       (SELECT coalesce(j.scheduled_at, (SELECT min(e.at) FROM procrastinate_events e
                                         WHERE e.job_id = j.id AND e.type = 'deferred'))
        FROM procrastinate_jobs j WHERE j.id = q.first_id) AS oldest_at
FROM (SELECT queue_name AS name, count(*) FILTER (WHERE status = 'todo')::int AS waiting,
             count(*) FILTER (WHERE status = 'doing')::int AS running,
             min(id) FILTER (WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= :now)) AS first_id
      FROM procrastinate_jobs WHERE status IN ('todo', 'doing') GROUP BY queue_name) q;

-- name: add_takeover
-- Records that work of a dead worker was found, and who had it as far as anybody knows.
INSERT INTO work_takeovers (at, task, queue, subject, lost_by, found_by, begun_anew)
SELECT CAST(:now AS timestamptz), :task, :queue, :subject,
       coalesce((SELECT r.worker FROM job_runs r WHERE r.job = :task AND r.slot = CAST(:slot AS timestamptz)
                   AND r.state = 'running'),
                (SELECT min(h.host || ':' || h.pid) FROM process_heartbeats h
                 WHERE h.role = 'worker' AND NOT h.detail ? 'ended' AND h.beat_at < CAST(:now AS timestamptz) - interval '20 s'
                   AND h.beat_at > CAST(:now AS timestamptz) - interval '10 min' HAVING count(*) = 1)),
       :found_by, :begun_anew;

-- name: give_up_run
-- Ends the run of a dead worker that nobody begins anew.
UPDATE job_runs SET state = 'failed', finished_at = :now, error = :error
WHERE job = :job AND slot = :slot AND state IN ('enqueued', 'running');

-- name: takeovers
-- The newest takeovers since the given time.
SELECT at, task, queue, subject, lost_by, found_by, begun_anew
FROM work_takeovers WHERE at >= :since ORDER BY id DESC LIMIT :limit;

-- name: prune_takeovers
-- Forgets takeovers from before the given time.
DELETE FROM work_takeovers WHERE at < :before;
