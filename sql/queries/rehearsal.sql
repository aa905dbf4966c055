-- name: standing
-- The rehearsal that stands here, if one does.
SELECT state, seed, days, generations, done, total, begun_at, begun_by, filled_at, usage_taken_at, traffic_per_minute, traffic_since, traffic_until
FROM rehearsals;

-- name: begin
-- Records that a rehearsal is being filled; no row when one stands already.
INSERT INTO rehearsals (id, state, seed, days, generations, total, begun_at, begun_by)
VALUES (1, 'filling', :seed, :days, :generations, :generations, :now, :begun_by)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: set_state
-- Moves the rehearsal; one that is being cleared makes no traffic.
UPDATE rehearsals
SET state = :state, filled_at = CASE WHEN :state = 'ready' THEN CAST(:now AS timestamptz) ELSE filled_at END,
    traffic_until = CASE WHEN :state = 'clearing' THEN NULL ELSE traffic_until END,
    traffic_per_minute = CASE WHEN :state = 'clearing' THEN 0 ELSE traffic_per_minute END,
    done = 0, total = :total;

-- name: note_progress
-- How far filling or clearing has come.
UPDATE rehearsals SET done = :done, total = :total;

-- name: note_usage
-- Remembers which counts of storage belong to the rehearsal.
UPDATE rehearsals SET usage_taken_at = CAST(:taken AS timestamptz[]);

-- name: set_traffic
-- How many live generations are made a minute, and until when; only while the rehearsal is ready.
UPDATE rehearsals
SET traffic_per_minute = :per_minute, traffic_until = :until, traffic_since = :now
WHERE state = 'ready'
RETURNING id;

-- name: claim_traffic
-- Claims the live generations that are due since the last claim, at most so many; what is missed is not made up for.
WITH due AS (
    SELECT id, least(:now, traffic_until) AS up_to,
           floor(extract(epoch FROM least(:now, traffic_until) - traffic_since) * traffic_per_minute / 60)::int AS n
    FROM rehearsals
    WHERE state = 'ready' AND traffic_per_minute > 0 AND traffic_since < least(:now, traffic_until)
    FOR UPDATE
)
UPDATE rehearsals r
SET traffic_since = CASE WHEN due.n > :most THEN due.up_to
                         ELSE r.traffic_since + make_interval(secs => due.n * 60.0 / r.traffic_per_minute) END
FROM due WHERE r.id = due.id AND due.n > 0
RETURNING least(due.n, :most) AS made;

-- name: end
-- The rehearsal is gone.
DELETE FROM rehearsals;

-- name: add_customers
-- The customers of the history, as the company's sign-up would have made them.
INSERT INTO auth.users (id, email, raw_user_meta_data, created_at)
SELECT c.id, c.email, jsonb_build_object('full_name', c.name), :since
FROM jsonb_to_recordset(CAST(:customers AS jsonb)) AS c (id uuid, email text, name text)
ON CONFLICT (id) DO NOTHING;

-- name: fill
-- Writes a batch of hours: generations, ledger lines, and of the newest days callbacks and timelines too.
WITH hour AS (
    SELECT * FROM jsonb_to_recordset(CAST(:hours AS jsonb))
        AS h(start timestamptz, first bigint, n int, span_s float8, fails float8, slow float8, outage boolean)
), variant AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:variants AS jsonb))
        AS v(model text, kind text, input jsonb, usd numeric, credits numeric, p50_s float8, extension text,
             above float8, below float8)
), ending AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:endings AS jsonb))
        AS e(outage boolean, state text, status text, event text, category text, code text, message text,
             refused boolean, paid boolean, above float8, below float8)
), drawn AS (
    -- Each number has draws of its own, the same for the same seed.
    SELECT h.first + i AS n, h.start + make_interval(secs => (i + d.r[1]) * h.span_s / h.n) AS created_at,
           h.fails, h.slow, h.outage, d.r
    FROM hour h, generate_series(0, h.n - 1) i,
         LATERAL (SELECT ARRAY(SELECT (hashint8extended((h.first + i) * 16 + k, CAST(:seed AS bigint)) & 1048575) / 1048576::float8
                               FROM generate_series(1, 9) k) AS r) d
), made AS MATERIALIZED (
    SELECT w.n, w.created_at, w.r, t.submitted_at, v.*,
           t.submitted_at + make_interval(secs => p.provider_s) AS finished_at,
           t.submitted_at + make_interval(secs => p.provider_s + p.store_s) AS delivered_at,
           p.provider_s, p.store_s,
           (CAST(:id_head AS text) || lpad(to_hex(w.n), 12, '0'))::uuid AS id,
           (CAST(:customer_head AS text) || lpad(to_hex(floor(w.r[4] ^ 2.2 * CAST(:customers AS int))::int), 12, '0'))::uuid AS user_id,
           'task_' || md5(CAST(:seed AS bigint) || ' ' || w.n) AS task,
           (CAST(:prompts AS text[]))[1 + floor(w.r[5] * cardinality(CAST(:prompts AS text[])))::int] AS prompt,
           coalesce(e.state, 'delivered') AS state, coalesce(e.status, 'success') AS status, e.event, e.category,
           e.code, e.message, coalesce(e.refused, false) AS refused, coalesce(e.paid, e.state IS NULL) AS paid,
           e.state IS NULL AS arrived
    FROM drawn w
    JOIN variant v ON w.r[2] >= v.above AND w.r[2] < v.below
    LEFT JOIN ending e ON w.r[3] < w.fails AND e.outage = w.outage
                      AND w.r[3] / w.fails >= e.above AND w.r[3] / w.fails < e.below
    CROSS JOIN LATERAL (SELECT w.created_at + make_interval(secs => 0.2 + w.r[6]) AS submitted_at) t
    CROSS JOIN LATERAL (
        SELECT v.p50_s * w.slow * (0.65 + 0.8 * w.r[7] ^ 2 + CASE WHEN w.r[8] > 0.985 THEN 4 * w.r[9] ELSE 0 END)
                   AS provider_s,
               (0.3 + 1.4 * w.r[9]) * CASE v.kind WHEN 'video' THEN 2.5 ELSE 1 END AS store_s
    ) p
), rows AS (
    INSERT INTO generations (id, user_id, provider, kind, model, prompt, input, status, delivery_state, task_id,
                             asset_url, submitted_at, provider_state, provider_read_at, provider_ms,
                             result_expires_at, failure_category, failure_code, failure_message, delivered_at,
                             created_at, updated_at)
    SELECT id, user_id, 'kie', kind, model, prompt, input || jsonb_build_object('prompt', prompt), status, state,
           CASE WHEN NOT refused THEN task END,
           CASE WHEN arrived THEN (CAST(:pictures AS jsonb) -> kind
                                   ->> (n % jsonb_array_length(CAST(:pictures AS jsonb) -> kind))::int) || '&of=' || id END,
           submitted_at, CASE WHEN refused THEN NULL WHEN paid THEN 'success' ELSE 'fail' END,
           CASE WHEN NOT refused THEN finished_at END, CASE WHEN paid THEN provider_s * 1000 END,
           CASE WHEN paid THEN finished_at + interval '14 days' END, category, code, message,
           CASE WHEN arrived THEN delivered_at END, created_at, delivered_at
    FROM made ORDER BY n
), costs AS (
    INSERT INTO job_costs (kind, scope, month, provider, service, model, user_id, generation_id, stage, quantity, unit,
                           unit_price, price_version, amount_usd, occurred_at, source_key)
    SELECT 'settle', 'deliveries', CAST(date_trunc('month', CAST(finished_at AS timestamptz) AT TIME ZONE 'UTC') AS date),
           'kie', 'generation', model, user_id, id, 'generate', credits, 'credit',
           CAST(:usd_per_credit AS numeric), :price_version, usd, finished_at, 'kie:' || task
    FROM made WHERE paid ORDER BY n
), called AS (
    INSERT INTO callback_inbox (provider, body_sha256, task_id, generation_id, received_at, body, signed,
                                handled_at, outcome, duplicates)
    SELECT 'kie', encode(sha256(id::text::bytea), 'hex'), task, id, finished_at,
           jsonb_build_object('code', CASE WHEN paid THEN 200 ELSE 501 END, 'data', jsonb_build_object(
               'taskId', task, 'state', CASE WHEN paid THEN 'success' ELSE 'fail' END, 'model', model)),
           false, delivered_at, state, CASE WHEN r[9] > 0.97 THEN 1 ELSE 0 END
    FROM made WHERE created_at >= :kept_from AND NOT refused AND r[8] < 0.93 ORDER BY n
)
INSERT INTO delivery_events (generation_id, at, kind, attempt, duration_ms, bytes, error_category, words, detail)
SELECT m.id, s.at, s.kind, s.attempt, s.duration_ms, s.bytes, s.category, s.words, s.detail
FROM made m CROSS JOIN LATERAL (VALUES
    (1, true, m.created_at, 'created', NULL::int, NULL::float8, NULL::float8, NULL::text, NULL::text,
     jsonb_build_object('by', 'the studio''s application')),
    (2, true, m.submitted_at, 'submitted', 1, NULL, NULL, NULL, NULL, '{}'),
    (3, NOT m.refused, m.submitted_at + interval '0.4 s', 'accepted', NULL, 200 + 500 * m.r[6], NULL, NULL, NULL,
     jsonb_build_object('task_id', m.task)),
    (4, NOT m.refused AND m.r[8] >= 0.93, m.submitted_at + make_interval(secs => m.provider_s * 0.7), 'polled', NULL,
     60 + 90 * m.r[7], NULL, NULL, NULL, jsonb_build_object('says', 'generating')),
    (5, NOT m.refused AND m.r[8] < 0.93, m.finished_at, 'callback', NULL, NULL, NULL, NULL, NULL,
     jsonb_build_object('says', CASE WHEN m.paid THEN 'success' ELSE 'fail' END, 'task_id', m.task)),
    (6, m.paid, m.finished_at + interval '0.1 s', 'result_ready', NULL, 60 + 90 * m.r[7], NULL, NULL, NULL,
     jsonb_build_object('says', 'success', 'files', 1)),
    (7, m.paid AND (NOT m.arrived OR m.r[7] > 0.98), m.finished_at + interval '0.2 s', 'download_failed', 1,
     180, NULL, coalesce(m.category, 'network'), coalesce(m.message, 'The connection was closed while the file came in.'),
     '{}'),
    (8, m.arrived, m.delivered_at, 'stored', NULL, m.store_s * 900,
     CASE m.kind WHEN 'video' THEN 1.5e6 + 6e6 * m.r[5] ELSE 1.2e5 + 4e5 * m.r[5] END, NULL, NULL, '{}'),
    (9, m.arrived, m.delivered_at, 'delivered', 1, extract(epoch FROM m.delivered_at - m.submitted_at) * 1000, NULL,
     NULL, NULL, '{}'),
    (10, NOT m.arrived, m.delivered_at, m.event, NULL, NULL, NULL, m.category, m.message,
     jsonb_build_object('code', m.code))
) AS s(step, happened, at, kind, attempt, duration_ms, bytes, category, words, detail)
WHERE m.created_at >= :kept_from AND s.happened
ORDER BY m.n, s.step;

-- name: newest_delivered
-- The newest delivered generations of the history, which get files of their own.
SELECT id, user_id, kind, created_at, delivered_at FROM generations
WHERE id BETWEEN :first AND :last AND delivery_state = 'delivered'
ORDER BY created_at DESC LIMIT :limit;

-- name: give_files
-- Records the files that generations of the history were given.
WITH file AS (
    SELECT * FROM jsonb_to_recordset(CAST(:files AS jsonb))
        AS f(generation_id uuid, bucket text, path text, bytes bigint, sha256 text, content_type text, url text,
             stored_at timestamptz)
), kept AS (
    INSERT INTO stored_files (bucket, path, generation_id, n, bytes, sha256, content_type, url, stored_at)
    SELECT bucket, path, generation_id, 0, bytes, sha256, content_type, url, stored_at FROM file
    ON CONFLICT (bucket, path) DO NOTHING
)
UPDATE generations g SET asset_url = file.url FROM file WHERE g.id = file.generation_id;

-- name: usage_curve
-- The counts of storage of the history's days, growing to what is stored now; the times that were written.
WITH day AS (
    SELECT CAST(:now AS timestamptz) - make_interval(days => d) - interval '20 min' AS taken_at,
           0.25 + 0.75 * (1 - d::float8 / :days) ^ 1.3 AS part
    FROM generate_series(CAST(:days AS int), 0, -1) d
)
INSERT INTO storage_usage (taken_at, bucket, purpose, files, bytes)
SELECT day.taken_at, c.bucket, c.purpose, ceil(c.files * day.part), ceil(c.bytes * day.part)
FROM day, jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(bucket text, purpose text, files bigint, bytes bigint)
ON CONFLICT (taken_at, bucket, purpose) DO NOTHING
RETURNING taken_at;

-- name: sizes
-- How many rows of each kind belong to the rehearsal.
SELECT (SELECT count(*) FROM generations WHERE id BETWEEN :first AND :last) AS generations,
       (SELECT count(*) FROM delivery_events WHERE generation_id BETWEEN :first AND :last) AS events,
       (SELECT count(*) FROM callback_inbox WHERE generation_id BETWEEN :first AND :last) AS callbacks,
       (SELECT count(*) FROM job_costs WHERE generation_id BETWEEN :first AND :last)
           + (SELECT count(*) FROM job_costs WHERE run_id BETWEEN :first AND :last) AS costs,
       (SELECT count(*) FROM stored_files WHERE generation_id BETWEEN :first AND :last) AS files,
       (SELECT count(*) FROM lora_training_jobs WHERE id BETWEEN :first AND :last) AS trainings,
       (SELECT count(*) FROM auth.users WHERE id BETWEEN :first AND :last) AS customers;

-- name: working
-- How many of its generations and trainings a worker has in hand.
SELECT (SELECT count(*) FROM generations
        WHERE id BETWEEN :first AND :last AND lease_until > :now
          AND delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery', 'needs_attention'))
     + (SELECT count(*) FROM lora_training_jobs WHERE id BETWEEN :first AND :last AND lease_until > :now)
     + (SELECT count(*) FROM resync_items
        WHERE generation_id BETWEEN :first AND :last AND state = 'working' AND lease_until > :now) AS n;

-- name: hold_still
-- Nothing of the rehearsal is due any more.
UPDATE generations SET next_attempt_at = 'infinity', watched_until = NULL
WHERE id BETWEEN :first AND :last
  AND delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery');

-- name: hold_trainings_still
-- No training of it is due any more.
UPDATE lora_training_jobs SET next_attempt_at = :never
WHERE id BETWEEN :first AND :last AND state IN ('running', 'ending');

-- name: hold_plans_still
-- No plan begins with a generation of it any more; what a worker has in hand is waited for.
DELETE FROM resync_items
WHERE generation_id BETWEEN :first AND :last AND state <> 'working' AND EXISTS (SELECT FROM rehearsals);

-- name: clear_plan_items
-- Items of its generations in people's plans.
DELETE FROM resync_items WHERE generation_id BETWEEN :first AND :last AND EXISTS (SELECT FROM rehearsals);

-- name: clear_plans
-- Plans whose items were all of the rehearsal: no other plan has counted items and has none. With their next runs.
WITH gone AS (
    DELETE FROM resync_plans p
    WHERE EXISTS (SELECT FROM rehearsals)
      AND (SELECT sum(CAST(c.n AS int)) FROM jsonb_each_text(p.counts) AS c(sorted, n)) > 0
      AND NOT EXISTS (SELECT FROM resync_items i WHERE i.plan_id = p.id)
    RETURNING p.id
)
DELETE FROM procrastinate_jobs
WHERE status = 'todo' AND queueing_lock IN (SELECT 'plan:' || id FROM gone);

-- name: recount_plans
-- The counts of plans that have lost some of their items, of those that they have; each takes one call at the most.
WITH line AS (
    SELECT plan_id, provider, sorted, state, count(*) AS n FROM resync_items GROUP BY plan_id, provider, sorted, state
)
UPDATE resync_plans p
SET counts = (SELECT jsonb_object_agg(s.sorted, s.n)
              FROM (SELECT sorted, sum(n) AS n FROM line WHERE plan_id = p.id GROUP BY sorted) s),
    reads = coalesce((SELECT jsonb_object_agg(r.provider, least(CAST(r.n AS int), e.n))
                      FROM jsonb_each_text(p.reads) AS r(provider, n)
                      JOIN (SELECT provider, sum(n) AS n FROM line
                            WHERE plan_id = p.id AND sorted = 'eligible' GROUP BY provider) e USING (provider)), '{}'),
    results = CASE WHEN p.results IS NOT NULL THEN coalesce((
        SELECT jsonb_object_agg(s.state, s.n)
        FROM (SELECT state, sum(n) AS n FROM line WHERE plan_id = p.id AND state <> 'left_out' GROUP BY state) s), '{}') END
WHERE (SELECT sum(n) FROM line WHERE plan_id = p.id)
      < (SELECT sum(CAST(c.n AS int)) FROM jsonb_each_text(p.counts) AS c(sorted, n));

-- name: clear_rates
-- What a credit cost on the days since it began, where nothing but the rehearsal was paid by it.
DELETE FROM credit_rates r
WHERE r.provider = 'kie' AND r.day >= CAST(CAST(:since AS timestamptz) AT TIME ZONE 'UTC' AS date)
  AND NOT EXISTS (SELECT FROM job_costs c
                  WHERE c.scope IN ('deliveries', 'trainings', 'other') AND c.provider = 'kie'
                    AND c.month BETWEEN date_trunc('month', r.day - interval '1 day') AND r.day + 1
                    AND c.occurred_at >= r.day - interval '1 day' AND c.occurred_at < r.day + interval '2 days');

-- name: clear_failure_groups
-- Failures that people have seen to since it began, never before, and that no generation has any more.
DELETE FROM failure_groups f
WHERE f.changed_at >= :since
  AND NOT EXISTS (SELECT FROM audit_log a
                  WHERE a.object_type = 'failure' AND a.object_id = f.signature AND a.at < CAST(:since AS timestamptz))
  AND NOT EXISTS (SELECT FROM generations g
                  WHERE g.delivery_state IN ('failed', 'lost', 'needs_attention')
                    AND generation_signature(CAST(g.model AS text), generation_failure(
                            g.delivery_state, g.failure_category, g.failure_code,
                            coalesce(g.failure_message, CAST(g.error AS text)))) = f.signature);

-- name: clear_jobs
-- Takes its next steps off the queue; one that a worker has begun finds no row and ends.
DELETE FROM procrastinate_jobs
WHERE status = 'todo'
  AND (task_name = 'deliver' AND args ->> 'generation_id' LIKE CAST(:mark AS text) || '%'
       OR queueing_lock LIKE 'train:' || CAST(:mark AS text) || '%');

-- name: clear_events
-- A batch of its timelines.
DELETE FROM delivery_events WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM delivery_events WHERE generation_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_callbacks
-- A batch of its callbacks.
DELETE FROM callback_inbox WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM callback_inbox WHERE generation_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_costs
-- A batch of its ledger lines.
DELETE FROM job_costs WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM job_costs WHERE generation_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_training_costs
-- What its trainings cost, and the running totals that hold it.
WITH gone AS (
    DELETE FROM job_costs WHERE run_id BETWEEN :first AND :last RETURNING scope, month, kind, amount_usd
), summed AS (
    SELECT scope, month, coalesce(sum(amount_usd) FILTER (WHERE kind IN ('settle', 'correct')), 0) AS settled_usd,
           coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0) AS reserved_usd
    FROM gone GROUP BY scope, month
)
UPDATE budget_totals b
SET settled_usd = b.settled_usd - s.settled_usd, reserved_usd = b.reserved_usd - s.reserved_usd
FROM summed s WHERE b.scope = s.scope AND b.month = s.month AND CAST(:limit AS int) > 0;

-- name: clear_sums
-- Sums and running totals in which nothing is left.
WITH totals AS (
    DELETE FROM budget_totals WHERE settled_usd = 0 AND reserved_usd = 0
)
DELETE FROM cost_rollup WHERE lines = 0 AND settled_usd = 0 AND reserved_usd = 0;

-- name: fill_trainings
-- What trainings of the history have cost, with the running totals.
WITH written AS (
    INSERT INTO job_costs (kind, scope, month, reservation_key, provider, service, user_id, lora_model_id, run_id, stage,
                           quantity, unit, unit_price, price_version, amount_usd, occurred_at, source_key)
    SELECT kind, 'trainings', month, reservation_key, provider, service, user_id, lora_model_id, run_id, stage,
           quantity, unit, unit_price, price_version, amount_usd, occurred_at, source_key
    FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l(
        kind text, month date, reservation_key text, provider text, service text, user_id uuid, lora_model_id uuid,
        run_id uuid, stage text, quantity numeric, unit text, unit_price numeric, price_version text, amount_usd numeric,
        occurred_at timestamptz, source_key text)
    ON CONFLICT (source_key) WHERE source_key IS NOT NULL DO NOTHING
    RETURNING scope, month, kind, amount_usd
)
INSERT INTO budget_totals AS b (scope, month, settled_usd, reserved_usd)
SELECT scope, month, coalesce(sum(amount_usd) FILTER (WHERE kind = 'settle'), 0),
       coalesce(sum(amount_usd) FILTER (WHERE kind <> 'settle'), 0)
FROM written GROUP BY scope, month
ON CONFLICT (scope, month) DO UPDATE
SET settled_usd = b.settled_usd + EXCLUDED.settled_usd, reserved_usd = b.reserved_usd + EXCLUDED.reserved_usd;

-- name: clear_files
-- A batch of its files' rows.
DELETE FROM stored_files WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM stored_files WHERE generation_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_generations
-- A batch of its generations.
DELETE FROM generations WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM generations WHERE id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_customers
-- Deletes the customers that a rehearsal made up.
DELETE FROM auth.users WHERE id BETWEEN :first AND :last;

-- name: clear_usage
-- Its counts of storage, and those that counted its files with the others.
DELETE FROM storage_usage WHERE taken_at = ANY(CAST(:taken AS timestamptz[])) OR taken_at >= :since;

-- name: try_lock
-- Takes the lock that lets one process at a time fill or clear.
SELECT pg_try_advisory_lock(5918) AS taken;

-- name: unlock
-- Gives the lock of a filling or clearing back.
SELECT pg_advisory_unlock(5918) AS given;

-- name: plant
-- Writes the generations under way, whose tasks stand at the sandbox, with their timelines and costs.
WITH row_ AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS p(id uuid, user_id uuid, kind text, model text, prompt text, input jsonb, status text, state text,
             task_id text, result_urls jsonb, submitted_at timestamptz, provider_state text,
             provider_read_at timestamptz, result_expires_at timestamptz, category text, code text, message text, attempt int,
             next_attempt_at timestamptz, updated_at timestamptz, usd numeric, credits numeric,
             usd_per_credit numeric, price_version text, end_event text)
), made AS (
    INSERT INTO generations (id, user_id, provider, kind, model, prompt, input, status, delivery_state, task_id,
                             result_urls, submitted_at, provider_state, provider_read_at, result_expires_at,
                             failure_category, failure_code, failure_message, attempt, next_attempt_at, created_at, updated_at)
    SELECT id, user_id, 'kie', kind, model, prompt, input, status, state, task_id,
           (jsonb_populate_record(NULL::generations, jsonb_build_object('result_urls', result_urls))).result_urls, submitted_at,
           provider_state, provider_read_at, result_expires_at, category, code, message, attempt, next_attempt_at,
           submitted_at - interval '0.5 s', updated_at
    FROM row_
), charged AS (
    INSERT INTO job_costs (kind, scope, month, provider, service, model, user_id, generation_id, stage, quantity, unit,
                           unit_price, price_version, amount_usd, occurred_at, source_key)
    SELECT 'settle', 'deliveries', CAST(date_trunc('month', submitted_at AT TIME ZONE 'UTC') AS date),
           'kie', 'generation', model, user_id, id, 'generate', credits, 'credit', usd_per_credit,
           price_version, usd, submitted_at, 'kie:' || task_id
    FROM row_ WHERE usd IS NOT NULL
)
INSERT INTO delivery_events (generation_id, at, kind, attempt, duration_ms, error_category, words, detail)
SELECT r.id, s.at, s.kind, s.attempt, s.duration_ms, s.category, s.words, s.detail
FROM row_ r CROSS JOIN LATERAL (VALUES
    (1, true, r.submitted_at - interval '0.5 s', 'created', NULL::int, NULL::int, NULL::text, NULL::text,
     jsonb_build_object('by', 'the studio''s application')),
    (2, true, r.submitted_at, 'submitted', 1, NULL, NULL, NULL, '{}'),
    (3, r.task_id IS NOT NULL, r.submitted_at + interval '0.4 s', 'accepted', NULL, 410, NULL, NULL,
     jsonb_build_object('task_id', r.task_id)),
    (4, r.usd IS NOT NULL, r.provider_read_at, 'result_ready', NULL, 90, NULL, NULL,
     jsonb_build_object('says', 'success', 'files', 1)),
    (5, r.usd IS NULL AND r.task_id IS NOT NULL, r.provider_read_at, 'polled', NULL, 80, NULL, NULL,
     jsonb_build_object('says', r.provider_state)),
    (6, r.end_event IS NOT NULL, r.updated_at, r.end_event, r.attempt, NULL, r.category, r.message, '{}')
) AS s(step, happened, at, kind, attempt, duration_ms, category, words, detail)
WHERE s.happened ORDER BY r.id, s.step;

-- name: traffic_goes_on
-- Whether more live generations are to be made.
SELECT EXISTS (SELECT FROM rehearsals WHERE state = 'ready' AND traffic_per_minute > 0 AND traffic_until > :now) AS goes_on;

-- name: invariants
-- Counts what must never be, among what was begun since the rehearsal began and what it planted or made; with examples.
WITH ours AS (
    SELECT id, status, delivery_state, asset_url, next_attempt_at, lease_until, delivered_at, created_at FROM generations
    WHERE id BETWEEN :first_live AND :last_live OR created_at >= :since
), broken(name, id) AS (
    SELECT 'no_file', g.id FROM ours g
    WHERE (g.delivery_state = 'delivered' OR g.status = 'success')
      AND (coalesce(btrim(g.asset_url), '') = ''
           OR NOT EXISTS (SELECT FROM stored_files f WHERE f.generation_id = g.id))
    UNION ALL
    SELECT 'delivered_twice', g.id FROM ours g
    WHERE (SELECT count(*) FROM delivery_events e WHERE e.generation_id = g.id AND e.kind = 'delivered') > 1
    UNION ALL
    SELECT 'paid_twice', g.id FROM ours g
    WHERE (SELECT count(*) FROM job_costs c WHERE c.generation_id = g.id AND c.kind = 'settle') > 1
    UNION ALL
    SELECT 'forgotten', g.id FROM ours g
    WHERE g.delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
      AND (g.lease_until IS NULL OR g.lease_until <= :now)
      AND (g.next_attempt_at IS NULL OR g.next_attempt_at < :overdue)
    UNION ALL
    SELECT 'forgotten', p.id FROM unnest(CAST(:paid AS uuid[])) AS p(id)
    WHERE NOT EXISTS (SELECT FROM generations g WHERE g.id = p.id)
)
SELECT n.name, (SELECT count(*) FROM broken b WHERE b.name = n.name) AS broken,
       ARRAY(SELECT b.id FROM broken b WHERE b.name = n.name LIMIT 5) AS examples,
       (SELECT count(*) FROM ours WHERE n.name NOT IN ('no_file', 'delivered_twice') OR delivery_state = 'delivered')
           AS checked
FROM unnest(ARRAY['no_file', 'paid_twice', 'delivered_twice', 'forgotten']) AS n(name);

-- name: live
-- Where the live generations stand.
SELECT delivery_state, count(*) AS n FROM generations
WHERE id BETWEEN :first_live AND :last_live GROUP BY delivery_state;

-- name: clear_alerts
-- Alerts that its generations have raised, told by the ids that they name or by their kind.
DELETE FROM alerts
WHERE opened_at >= :since
  AND (evidence::text LIKE '%' || CAST(:mark AS text) || '%' OR kind = ANY(CAST(:kinds AS text[])));

-- name: fill_moments
-- What was on its way at each full hour of the history, as far as nobody looked: what was begun and not yet delivered then.
WITH hour AS (
    SELECT h AS at FROM generate_series(date_trunc('hour', CAST(:since AS timestamptz)), CAST(:until AS timestamptz),
                                        interval '1 hour') h
    WHERE NOT EXISTS (SELECT FROM delivery_rollup WHERE measure = 'moment' AND grain = 'hour' AND start = h)
), open AS (
    SELECT h.at, g.kind, left(g.model, 120) AS model, count(*) AS n,
           count(*) FILTER (WHERE g.created_at < h.at - CASE g.kind WHEN 'video' THEN interval '20 min'
                                                        ELSE interval '10 min' END) AS stuck
    FROM hour h JOIN generations g
      ON g.created_at >= h.at - interval '40 min' AND g.created_at < h.at AND g.updated_at >= h.at
    WHERE g.id BETWEEN :first AND :last
    GROUP BY 1, 2, 3
)
INSERT INTO delivery_rollup (measure, grain, start, kind, model, key, n)
SELECT 'moment', 'hour', at, '', '', 'looked', 1 FROM hour
UNION ALL
SELECT 'moment', 'hour', at, '', '', :mark, 1 FROM hour
UNION ALL
SELECT 'moment', 'hour', o.at, o.kind, o.model, k.key, CASE k.key WHEN 'stuck' THEN o.stuck ELSE o.n END
FROM open o, unnest(ARRAY['in_flight', 'stuck']) AS k(key)
WHERE k.key = 'in_flight' OR o.stuck > 0
ON CONFLICT (measure, grain, start, kind, model, key) DO NOTHING;

-- name: clear_moments
-- What was written down as on its way since it began, its own among it, and what it made up of before.
DELETE FROM delivery_rollup r
WHERE r.measure = 'moment' AND r.grain = 'hour'
  AND (r.start >= CAST(:since AS timestamptz)
       OR EXISTS (SELECT FROM delivery_rollup m WHERE m.measure = 'moment' AND m.grain = 'hour'
                  AND m.start = r.start AND m.kind = '' AND m.model = '' AND m.key = :mark));

-- name: fill_loras
-- The LoRAs of the history's trainings.
INSERT INTO lora_models (id, user_id, creator_key, name, description, tags, base_model, trigger_word, training_status, storage_path,
                         storage_url, file_size, weights_sha256, validation_image_urls, validation_passed, training_cost,
                         counted_at, usage_count, created_at, updated_at, completed_at)
SELECT id, user_id, 'user:' || user_id, name, description, tags, 'FLUX.1', trigger_word, training_status, storage_path,
       storage_url, file_size, weights_sha256, CASE WHEN cardinality(validation_image_urls) > 0 THEN validation_image_urls END,
       passed, cost, created_at, 0, created_at, coalesce(completed_at, created_at), completed_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    id uuid, user_id uuid, name text, description text, tags text[], trigger_word text, training_status text, storage_path text, storage_url text,
    file_size bigint, weights_sha256 text, validation_image_urls text[], passed boolean, cost numeric,
    created_at timestamptz, completed_at timestamptz);

-- name: fill_runs
-- Its runs; those under way are due when no job comes.
INSERT INTO lora_training_jobs (id, lora_model_id, user_id, creator_key, state, stage, trainer, steps, trigger_word, images,
                                publish, quoted_usd, reservation_key, reservations, training_progress,
                                estimated_remaining, next_attempt_at, ends_as, ending_since, provider_state,
                                provider_read_at, queue_position, usd_per_hour, failure_category,
                                failure_retryable, failure_words, error_message, next_action, heartbeat_at,
                                created_at, started_at, updated_at, completed_at)
SELECT id, lora_id, user_id, 'user:' || user_id, state, stage, trainer, steps, trigger_word, images,
       publish, quoted_usd, reservation_key, 1, progress, time_left, next_attempt_at, ends_as,
       CASE WHEN ends_as IS NOT NULL THEN stopped_at END, says, CASE WHEN says IS NOT NULL THEN stopped_at END,
       queue_position, usd_per_hour, category, retryable, words, message, next_action, stopped_at,
       created_at, created_at, stopped_at, completed_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    id uuid, lora_id uuid, user_id uuid, state text, stage text, trainer text, steps int, trigger_word text,
    images int, publish boolean, quoted_usd numeric, reservation_key text, progress int, time_left int,
    next_attempt_at timestamptz, ends_as text, says text, queue_position int, usd_per_hour numeric, category text,
    retryable boolean, words text, message text, next_action text, stopped_at timestamptz, created_at timestamptz, completed_at timestamptz);

-- name: fill_calls
-- The paid calls of its runs; of those that are over nothing can go on costing money.
INSERT INTO training_calls (id, run_id, purpose, n, provider, reservation_key, state, prompt, tries, remote_id, created_at,
                            submitted_at, accepted_at, ended_at, released_at, progress, usd_per_hour, bucket, path, url,
                            failure_words, cost_usd, shows, judged_by, judged_at)
SELECT id, run_id, purpose, n, provider, reservation_key, state, prompt, 1, remote_id, submitted_at,
       submitted_at, accepted_at, ended_at, ended_at, progress, usd_per_hour, bucket, path, url, words, cost, shows,
       CASE WHEN shows THEN 'Studio' END, CASE WHEN shows THEN ended_at END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    id uuid, run_id uuid, purpose text, n int, provider text, reservation_key text, state text, prompt text,
    remote_id text, submitted_at timestamptz, accepted_at timestamptz, ended_at timestamptz, progress int,
    usd_per_hour numeric, bucket text, path text, url text, words text, cost numeric, shows boolean);

-- name: fill_stages
-- What became of each stage of its runs.
INSERT INTO training_stages (run_id, stage, started_at, ended_at, progress, outcome, error_message, failure_category,
                             failure_retryable, failure_words, next_action)
SELECT run_id, stage, started_at, ended_at, progress, outcome, message, category, retryable, words, next_action
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    run_id uuid, stage text, started_at timestamptz, ended_at timestamptz, progress int, outcome text, message text,
    category text, retryable boolean, words text, next_action text);

-- name: fill_steps
-- The timelines and logs of its runs.
WITH step AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
        run_id uuid, n int, at timestamptz, kind text, stage text, message text, level text, category text, words text)
), logged AS (
    INSERT INTO training_log (run_id, at, stage, source, level, message, line_key)
    SELECT run_id, at, stage, 'studio', level, message, 'step ' || n FROM step ORDER BY run_id, n
)
INSERT INTO training_events (run_id, at, kind, stage, error_category, words)
SELECT run_id, at, kind, stage, category, words FROM step ORDER BY run_id, n;

-- name: fill_images
-- The images of its newest trainings.
INSERT INTO training_images (lora_model_id, n, owner, source, original_name, original_sha256, bucket, path, sha256, bytes, width,
                             height, format, verdict, thumbnail, added_by, created_at, stored_at)
SELECT lora_id, n, owner, 'file', name, sha256, bucket, path, sha256, bytes, side, side, 'jpg', 'fits', decode(thumbnail, 'hex'),
       owner, created_at, created_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    lora_id uuid, n int, owner text, name text, bucket text, path text, side int, sha256 text, bytes bigint, thumbnail text, created_at timestamptz);

-- name: clear_trainings
-- A batch of its runs, with all that belongs to them.
WITH run AS MATERIALIZED (
    SELECT id FROM lora_training_jobs WHERE id BETWEEN :first AND :last LIMIT :limit
), calls AS (DELETE FROM training_calls WHERE run_id IN (SELECT id FROM run)),
     stages AS (DELETE FROM training_stages WHERE run_id IN (SELECT id FROM run)),
     logged AS (DELETE FROM training_log WHERE run_id IN (SELECT id FROM run)),
     steps AS (DELETE FROM training_events WHERE run_id IN (SELECT id FROM run)),
     seen AS (DELETE FROM training_webhooks WHERE run_id IN (SELECT id FROM run))
DELETE FROM lora_training_jobs WHERE id IN (SELECT id FROM run);

-- name: clear_images
-- A batch of what its LoRAs were trained with.
DELETE FROM training_images WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM training_images WHERE lora_model_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_drawings
-- A batch of images that were generated for its LoRAs.
DELETE FROM training_drawings WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM training_drawings WHERE lora_model_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_zips
-- A batch of what is known of its LoRAs' ZIPs.
DELETE FROM training_zips WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM training_zips WHERE lora_model_id BETWEEN :first AND :last LIMIT :limit));

-- name: clear_loras
-- Its LoRAs, with all that the library has of them; no other can go this way.
SELECT studio_ops_clear_rehearsed_loras() AS cleared;

-- name: clear_limits
-- The company's own counts of its customers.
DELETE FROM user_training_limits WHERE user_id BETWEEN :first AND :last;

-- name: library_counted
-- Whether the library's counts have been made, so that they have to be made again.
SELECT EXISTS (SELECT FROM lora_library_totals) AS counted;

-- name: fill_ratings
-- What its customers think of its LoRAs.
INSERT INTO lora_ratings (lora_model_id, rated_by, stars, rated_at)
SELECT lora_id, 'user:' || user_id, stars, at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(lora_id uuid, user_id uuid, stars int, at timestamptz);

-- name: fill_versions
-- Which of its LoRAs are versions of one character.
INSERT INTO lora_versions (lora_model_id, parent_id, character_id, made_by, made_at)
SELECT lora_id, parent_id, character_id, 'user:' || user_id, at
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(lora_id uuid, parent_id uuid, character_id uuid, user_id uuid, at timestamptz);

-- name: fill_uses
-- What was made with its completed LoRAs: a share of the pictures and films, each with one that was there then.
WITH lora AS MATERIALIZED (
    SELECT l.id, l.completed_at, l.trigger_word, row_number() OVER (ORDER BY l.completed_at) AS n
    FROM lora_models l
    WHERE l.id BETWEEN :first AND :last AND l.training_status = 'completed' AND l.archived_at IS NULL
), made AS MATERIALIZED (
    SELECT g.id, g.user_id, g.model, g.created_at, d.r
    FROM generations g
    CROSS JOIN LATERAL (
        SELECT (hashint8extended(CAST('x' || right(g.id::text, 12) AS bit(48))::bigint, CAST(:seed AS bigint)) & 1048575)
               / 1048576::float8 AS r) d
    WHERE g.id BETWEEN :first AND :last AND g.created_at > CAST(:since AS timestamptz) AND d.r < :share
), used AS (
    SELECT g.id, g.user_id, g.created_at, l.id AS lora_id,
           CASE WHEN g.model LIKE 'kling%' OR g.model LIKE '%image-to-image' THEN 'first_frame' ELSE 'references' END AS way
    FROM made g
    CROSS JOIN LATERAL (SELECT count(*) AS there FROM lora WHERE completed_at < g.created_at) t
    -- The newest ones are used most.
    JOIN lora l ON l.n = t.there - floor(least(t.there, 24) * (g.r / :share) ^ 2)
    WHERE t.there > 0
)
INSERT INTO lora_uses (generation_id, lora_model_id, way, used_by, used_at)
SELECT u.id, u.lora_id, u.way, coalesce(c.raw_user_meta_data ->> 'full_name', ''), u.created_at
FROM used u LEFT JOIN auth.users c ON c.id = u.user_id
ORDER BY u.created_at;

-- name: fill_standing
-- One of its LoRAs that is its creator's alone, one that is hidden, one that is archived, and one that somebody reported.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(lora_id uuid, what text, why text, who text, at timestamptz)
), stands AS (
    UPDATE lora_models l
    SET is_private = g.what = 'private', hidden_at = CASE g.what WHEN 'hidden' THEN g.at END,
        archived_at = CASE g.what WHEN 'archived' THEN g.at END
    FROM given g WHERE l.id = g.lora_id AND g.what <> 'reported'
), reasons AS (
    INSERT INTO lora_standing (lora_model_id, hidden_reason, hidden_by, archived_reason, archived_by)
    SELECT lora_id, CASE what WHEN 'hidden' THEN why END, CASE what WHEN 'hidden' THEN who END,
           CASE what WHEN 'archived' THEN why END, CASE what WHEN 'archived' THEN who END
    FROM given WHERE what IN ('hidden', 'archived')
)
INSERT INTO lora_reports (lora_model_id, reported_by, reporter_name, reason, note, reported_at)
SELECT lora_id, 'rehearsal', who, why, NULL, at FROM given WHERE what = 'reported';
