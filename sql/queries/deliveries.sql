-- name: insert
-- Writes the row of a new generation before anything is sent; no row when its request key is known already.
INSERT INTO generations (id, user_id, provider, kind, model, prompt, input, status, delivery_state,
                         request_key, next_attempt_at, attempt_priority, created_at, updated_at,
                         lora_model_id, lora_way, frame_id, frame_for, frame_size)
VALUES (:id, :user_id, :provider, :kind, :model, :prompt, CAST(:input AS jsonb), 'queued', 'intent',
        :request_key, :next_attempt_at, 1, :now, :now,
        CAST(:lora_id AS uuid), CAST(:lora_way AS text), CAST(:frame_id AS uuid), CAST(:frame_for AS uuid),
        CAST(:frame_size AS text))
ON CONFLICT (request_key) WHERE request_key IS NOT NULL DO NOTHING
RETURNING *;

-- name: get
-- One generation by its id.
SELECT * FROM generations WHERE id = :id;

-- name: by_request_key
-- The generation that a form's nonce already made.
SELECT * FROM generations WHERE request_key = :request_key;

-- name: by_task
-- Generations with a provider's task id; the company's data has duplicates, newest first.
SELECT * FROM generations WHERE task_id = :task_id ORDER BY created_at DESC, id DESC LIMIT 20;

-- name: begin_sending
-- Makes this process the only one that may send the paid request; no row when another was first.
UPDATE generations
SET delivery_state = 'sending', submitted_at = :now, lease_token = :token, lease_until = :lease_until,
    next_attempt_at = :next_attempt_at, updated_at = :now
WHERE id = :id AND delivery_state = 'intent' AND (frame_id IS NULL OR frame_ready_at IS NOT NULL)
RETURNING *;

-- name: frame_ready
-- Hands a first frame to the generation that waits for it, with the pictures of its input; once.
UPDATE generations
SET input = input || CAST(:pictures AS jsonb), frame_ready_at = :now, updated_at = :now
WHERE id = :id AND delivery_state = 'intent' AND frame_ready_at IS NULL
RETURNING *;

-- name: frame_again
-- Has a generation wait for another first frame in the place of one that failed; no row when it does not wait for that.
UPDATE generations SET frame_id = :frame_id, updated_at = :now
WHERE id = :id AND delivery_state = 'intent' AND frame_ready_at IS NULL AND frame_id = :failed_id
RETURNING id;

-- name: wake_framed
-- Makes the generation due that waits for this first frame, when that is over; its id.
UPDATE generations m SET next_attempt_at = :now
FROM generations f
WHERE f.id = :frame_id AND f.delivery_state IN ('delivered', 'failed', 'lost', 'needs_attention')
  AND m.id = f.frame_for AND m.delivery_state = 'intent' AND m.frame_ready_at IS NULL
RETURNING m.id;

-- name: lora_weights
-- Where the weights of a LoRA lie.
SELECT storage_path, storage_url FROM lora_models WHERE id = :id;

-- name: lora_references
-- The pictures that a LoRA is or was trained from: ours in their order, and the addresses that its row names.
SELECT coalesce((SELECT array_agg(i.bucket || '/' || i.path ORDER BY i.n) FROM training_images i
                 WHERE i.lora_model_id = l.id AND i.removed_at IS NULL AND i.stored_at IS NOT NULL
                   AND i.bucket IS NOT NULL AND i.approved IS NOT FALSE), '{}') AS ours,
       coalesce(l.reference_image_urls, '{}') AS named
FROM lora_models l WHERE l.id = :id;

-- name: frame_times
-- What the first frames of the last generations added to them in seconds, and how much of it was not fal's.
SELECT count(*)::int AS samples,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY added_s) AS p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY added_s) AS p95_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ours_s) AS ours_p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY ours_s) AS ours_p95_s
FROM (SELECT extract(epoch FROM m.submitted_at - m.created_at)::float8 AS added_s,
             extract(epoch FROM (f.submitted_at - m.created_at) + (m.submitted_at - coalesce(
                 (SELECT min(c.received_at) FROM callback_inbox c WHERE c.generation_id = f.id),
                 f.submitted_at + make_interval(secs => f.provider_ms / 1000.0))))::float8 AS ours_s
      FROM generations m JOIN generations f ON f.id = m.frame_id
      WHERE m.frame_ready_at IS NOT NULL AND m.submitted_at IS NOT NULL AND f.submitted_at IS NOT NULL
      ORDER BY m.frame_ready_at DESC LIMIT 100) t;

-- name: to_make_with_lora
-- The newest generations since then from references of LoRAs that are completed by now, and not made with them yet.
SELECT g.* FROM generations g JOIN lora_models l ON l.id = g.lora_model_id
WHERE g.lora_way = 'references' AND g.created_at >= :since AND g.delivery_state = 'delivered'
  AND l.training_status = 'completed' AND l.hidden_at IS NULL AND l.archived_at IS NULL
  AND NOT EXISTS (SELECT FROM generations a WHERE a.request_key = 'with-lora:' || g.id)
ORDER BY g.created_at DESC LIMIT :limit;

-- name: bind_task
-- Records the task id of a request that was sent, due at once when its callback was first; no row when one is bound.
UPDATE generations
SET delivery_state = 'awaiting_provider', task_id = CAST(:task_id AS text),
    task_addresses = CAST(:task_addresses AS jsonb),
    next_attempt_at = CASE WHEN EXISTS (SELECT 1 FROM callback_inbox c WHERE c.generation_id = :id
                                        AND c.task_id = CAST(:task_id AS text) AND c.handled_at IS NULL)
                           THEN CAST(:now AS timestamptz) ELSE CAST(:next_attempt_at AS timestamptz) END,
    attempt_priority = 2, lease_until = NULL, lease_token = NULL, attempt = 0,
    failure_category = NULL, failure_code = NULL, failure_message = NULL, updated_at = :now
WHERE id = :id AND delivery_state IN ('sending', 'needs_attention') AND task_id IS NULL
RETURNING *;

-- name: lease
-- Takes one row for this worker unless another holds it.
UPDATE generations
SET lease_until = :lease_until, lease_token = :token, updated_at = :now
WHERE id = :id AND delivery_state = ANY(CAST(:states AS text[]))
  AND (lease_until IS NULL OR lease_until <= :now)
RETURNING *;

-- name: lease_due
-- Takes due rows that wait for this provider, most urgent first, skipping those that others hold.
WITH due AS (
    SELECT id FROM generations
    WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
      AND delivery_state = 'awaiting_provider' AND task_id IS NOT NULL
      AND lower(coalesce(provider::text, 'kie')) = :provider
      AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
    ORDER BY attempt_priority, next_attempt_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE generations g
SET lease_until = :lease_until, lease_token = gen_random_uuid(), updated_at = :now
FROM due WHERE g.id = due.id
RETURNING g.*;

-- name: count_due
-- How many rows wait for a poll of this provider now, counted up to a limit.
SELECT count(*) AS due FROM (
    SELECT 1 FROM generations
    WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
      AND delivery_state = 'awaiting_provider' AND task_id IS NOT NULL
      AND lower(coalesce(provider::text, 'kie')) = :provider
      AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
    LIMIT :limit
) d;

-- name: due_without_job
-- Due rows without a waiting job that no poll takes: to be sent, to be delivered, answer lost, or without a time or task.
SELECT id FROM generations g
WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
  AND (lease_until IS NULL OR lease_until <= :now)
  AND (next_attempt_at IS NULL
       OR (next_attempt_at <= :now AND (delivery_state <> 'awaiting_provider' OR task_id IS NULL)))
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j
                  WHERE j.queueing_lock = 'deliver:' || g.id AND j.status = 'todo')
ORDER BY attempt_priority, next_attempt_at LIMIT :limit;

-- name: adopt
-- Follows rows of other systems that the trigger did not see, among those made since the given time.
UPDATE generations g
SET delivery_state = d.state, updated_at = :now,
    next_attempt_at = CASE WHEN d.state IN ('awaiting_provider', 'awaiting_delivery') THEN CAST(:now AS timestamptz) END
FROM (SELECT id, generation_delivery_state(provider::text, status::text, task_id::text, asset_url::text) AS state
      FROM generations WHERE created_at >= :since AND delivery_state IS NULL) d
WHERE g.id = d.id AND d.state IS NOT NULL AND g.delivery_state IS NULL;

-- name: restore_status
-- Sets the status back that other systems wrote over an ended delivery before the given time, and says so on its timeline.
WITH differing AS (
    SELECT id, status::text AS was, generation_ended_status(delivery_state, asset_url::text) AS word
    FROM generations WHERE status_differs_at <= :before
    ORDER BY status_differs_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
), restored AS (
    UPDATE generations g
    SET status = (jsonb_populate_record(NULL::generations, jsonb_build_object('status', d.word))).status,
        status_differs_at = NULL, updated_at = :now
    FROM differing d WHERE g.id = d.id AND d.word IS NOT NULL
    RETURNING g.id, d.was, d.word
)
INSERT INTO delivery_events (generation_id, at, kind, detail, request_id)
SELECT id, CAST(:now AS timestamptz), 'status_restored', jsonb_build_object('was', left(was, 40), 'is', word),
       CAST(:request_id AS text)
FROM restored;

-- name: renew_lease
-- Keeps a row while its file streams; no row when another worker has taken it over.
UPDATE generations SET lease_until = :lease_until WHERE id = :id AND lease_token = :token RETURNING id;

-- name: release
-- Gives a row back with the time of its next attempt; who hurried or moved it meanwhile stays heard.
UPDATE generations
SET next_attempt_at = CASE WHEN delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery')
                           THEN CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                                          OR CAST(:next_attempt_at AS timestamptz) IS NULL
                                     THEN least(next_attempt_at, :next_attempt_at) ELSE :next_attempt_at END END,
    lease_until = NULL, lease_token = NULL, updated_at = :now
WHERE id = :id AND lease_token = :token;

-- name: polled
-- Records what the provider said of an unfinished task, and when to ask again; who hurried it meanwhile stays heard.
WITH moved AS (
    UPDATE generations
    SET delivery_state = 'awaiting_provider',
        provider_state = coalesce(:provider_state, provider_state), provider_read_at = :now,
        status = coalesce(:status, status),
        next_attempt_at = CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                               THEN least(next_attempt_at, :next_attempt_at) ELSE :next_attempt_at END,
        attempt_priority = CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                                THEN attempt_priority ELSE 2 END,
        lease_until = NULL, lease_token = NULL, updated_at = :now
    WHERE id = :id AND lease_token = :token AND delivery_state IN ('awaiting_provider', 'awaiting_delivery')
    RETURNING id
)
INSERT INTO delivery_events (generation_id, at, request_id, kind, attempt, duration_ms, bytes, error_category, words, detail)
SELECT moved.id, :now, CAST(:request_id AS text), e.kind, e.attempt, e.duration_ms, e.bytes, e.error_category, e.words,
       e.detail
FROM moved, jsonb_to_recordset(CAST(:events AS jsonb))
     AS e(n int, kind text, attempt int, duration_ms int, bytes bigint, error_category text, words text, detail jsonb)
ORDER BY e.n;

-- name: ready
-- Records that the provider finished, where its temporary files are, and what a task of ours cost, once; the lease stays.
WITH moved AS (
    UPDATE generations
    SET delivery_state = 'awaiting_delivery', status = 'generating', provider_state = :provider_state,
        provider_read_at = :now, provider_ms = :provider_ms, result_expires_at = :result_expires_at,
        next_attempt_at = least(coalesce(next_attempt_at, :now), :now), attempt = 0, link_renewed_at = NULL,
        result_urls = (jsonb_populate_record(NULL::generations,
                       jsonb_build_object('result_urls', CAST(:result_urls AS jsonb)))).result_urls,
        updated_at = :now
    WHERE id = :id AND lease_token = :token AND delivery_state IN ('awaiting_provider', 'awaiting_delivery')
    RETURNING *
), noted AS (
    INSERT INTO delivery_events (generation_id, at, request_id, kind, attempt, duration_ms, bytes, error_category, words, detail)
    SELECT moved.id, :now, CAST(:request_id AS text), e.kind, e.attempt, e.duration_ms, e.bytes, e.error_category, e.words,
           e.detail
    FROM moved, jsonb_to_recordset(CAST(:events AS jsonb))
         AS e(n int, kind text, attempt int, duration_ms int, bytes bigint, error_category text, words text, detail jsonb)
    ORDER BY e.n
), charged AS (
    INSERT INTO job_costs (kind, scope, month, provider, service, model, user_id, generation_id, stage, quantity, unit,
                           unit_price, price_version, amount_usd, occurred_at, source_key, flagged, note)
    SELECT 'settle', 'deliveries', CAST(date_trunc('month', CAST(:now AS timestamptz) AT TIME ZONE 'UTC') AS date),
           lower(coalesce(CAST(moved.provider AS text), 'kie')), 'generation', moved.model, moved.user_id, moved.id, 'generate',
           c.quantity, c.unit, c.unit_price, c.price_version, c.amount_usd, :now, c.source_key,
           coalesce(c.flagged, false), c.note
    FROM moved, jsonb_to_recordset(CAST(:costs AS jsonb)) AS c(quantity numeric, unit text, unit_price numeric,
                                                               price_version text, amount_usd numeric, source_key text,
                                                               flagged boolean, note text)
    ON CONFLICT (source_key) WHERE source_key IS NOT NULL DO NOTHING
)
SELECT * FROM moved;

-- name: delivered
-- Records the permanent files and the end of the delivery in one statement; only the holder of the lease, once.
WITH moved AS (
    UPDATE generations
    SET delivery_state = 'delivered', status = 'success', asset_url = :asset_url, delivered_at = coalesce(delivered_at, :now),
        next_attempt_at = NULL, lease_until = NULL, lease_token = NULL,
        failure_category = NULL, failure_code = NULL, failure_message = NULL, updated_at = :now
    WHERE id = :id AND lease_token = :token AND delivery_state = 'awaiting_delivery'
    RETURNING id
), kept AS (
    INSERT INTO stored_files (bucket, path, generation_id, n, bytes, sha256, content_type, url, stored_at)
    SELECT f.bucket, f.path, moved.id, f.n, f.bytes, f.sha256, f.content_type, f.url, :now
    FROM moved, jsonb_to_recordset(CAST(:files AS jsonb))
         AS f(bucket text, path text, n int, bytes bigint, sha256 text, content_type text, url text)
    ON CONFLICT (bucket, path) DO UPDATE
    SET bytes = EXCLUDED.bytes, sha256 = EXCLUDED.sha256, content_type = EXCLUDED.content_type, url = EXCLUDED.url,
        stored_at = EXCLUDED.stored_at
), noted AS (
    INSERT INTO delivery_events (generation_id, at, request_id, kind, attempt, duration_ms, bytes, error_category, words, detail)
    SELECT moved.id, :now, CAST(:request_id AS text), e.kind, e.attempt, e.duration_ms, e.bytes, e.error_category, e.words,
           e.detail
    FROM moved, jsonb_to_recordset(CAST(:events AS jsonb))
         AS e(n int, kind text, attempt int, duration_ms int, bytes bigint, error_category text, words text, detail jsonb)
    ORDER BY e.n
), answered AS (
    UPDATE callback_inbox c SET handled_at = :now, outcome = 'delivered' FROM moved
    WHERE c.handled_at IS NULL AND c.generation_id = moved.id
)
SELECT id FROM moved;

-- name: retry_download
-- Records a failed download and when to try again.
UPDATE generations
SET attempt = attempt + 1, next_attempt_at = :next_attempt_at, lease_until = NULL, lease_token = NULL,
    failure_category = :category, failure_code = :code, failure_message = :message,
    link_renewed_at = CASE WHEN CAST(:link_renewed AS boolean) THEN :now ELSE link_renewed_at END, updated_at = :now
WHERE id = :id AND lease_token = :token AND delivery_state = 'awaiting_delivery'
RETURNING id;

-- name: end
-- Ends a delivery without a file: failed, lost, or for a person; not when a callback came after the lease was taken.
UPDATE generations
SET delivery_state = :state, status = coalesce(:status, status), next_attempt_at = NULL,
    provider_state = coalesce(:provider_state, provider_state), provider_read_at = :now,
    failure_category = :category, failure_code = :code, failure_message = :message,
    lease_until = NULL, lease_token = NULL, updated_at = :now
WHERE id = :id AND lease_token = :token AND delivery_state = ANY(CAST(:from_states AS text[]))
  AND next_attempt_at IS NOT DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
RETURNING id;

-- name: charge
-- What a generation that failed cost all the same, once.
INSERT INTO job_costs (kind, provider, service, model, user_id, generation_id, stage, quantity, unit, unit_price,
                       price_version, amount_usd, occurred_at, source_key)
SELECT 'settle', lower(coalesce(g.provider::text, 'kie')), 'generation', g.model, g.user_id, g.id, 'generate', c.quantity,
       c.unit, c.unit_price, c.price_version, c.amount_usd, :now, c.source_key
FROM generations g, jsonb_to_recordset(CAST(:costs AS jsonb)) AS c(quantity numeric, unit text, unit_price numeric,
                                                                   price_version text, amount_usd numeric, source_key text)
WHERE g.id = :id
ON CONFLICT (source_key) WHERE source_key IS NOT NULL DO NOTHING;

-- name: unsend
-- Puts a request back that certainly was not taken; only the process that sent it knows, by its time of sending.
UPDATE generations
SET delivery_state = 'intent', submitted_at = NULL, next_attempt_at = :next_attempt_at, attempt = attempt + 1,
    failure_category = :category, failure_message = :message,
    lease_until = NULL, lease_token = NULL, updated_at = :now
WHERE id = :id AND submitted_at = :submitted_at AND delivery_state = 'sending' AND task_id IS NULL;

-- name: refuse
-- Ends a request that the provider definitely refused.
UPDATE generations
SET delivery_state = 'failed', status = 'failed', next_attempt_at = NULL,
    failure_category = :category, failure_code = :code, failure_message = :message,
    lease_until = NULL, lease_token = NULL, updated_at = :now
WHERE id = :id AND submitted_at = :submitted_at AND delivery_state = 'sending' AND task_id IS NULL;

-- name: postpone_intent
-- Puts a request off that found no place under the provider's limit.
UPDATE generations SET next_attempt_at = :next_attempt_at WHERE id = :id AND delivery_state = 'intent'
RETURNING *;

-- name: hurry
-- A person wants it now: due at once, and an ended one that may change is looked at again.
UPDATE generations
SET delivery_state = CASE WHEN delivery_state IN ('failed', 'lost', 'needs_attention') AND task_id IS NOT NULL
                          THEN 'awaiting_provider' ELSE delivery_state END,
    status = CASE WHEN delivery_state IN ('failed', 'lost') AND task_id IS NOT NULL THEN 'generating' ELSE status END,
    next_attempt_at = :now, attempt_priority = 0, link_renewed_at = NULL, updated_at = :now
WHERE id = :id AND delivery_state <> 'delivered' AND (lease_until IS NULL OR lease_until <= :now)
RETURNING *;

-- name: fetch_again
-- Has a delivered generation whose file storage lost fetched anew; its address and its time of delivery stay.
UPDATE generations
SET delivery_state = 'awaiting_provider', status = 'generating', attempt = 0, next_attempt_at = :now,
    attempt_priority = 0, link_renewed_at = NULL, updated_at = :now
WHERE id = :id AND delivery_state = 'delivered' AND task_id IS NOT NULL
  AND (lease_until IS NULL OR lease_until <= :now)
RETURNING *;

-- name: watch
-- A person watches: polls come every few seconds until the given time.
UPDATE generations
SET watched_until = :until, next_attempt_at = least(next_attempt_at, :next_attempt_at)
WHERE id = ANY(CAST(:ids AS uuid[])) AND delivery_state = 'awaiting_provider'
  AND (watched_until IS NULL OR watched_until < :until);

-- name: own_p50
-- The median seconds that the provider took for a model's last 100 deliveries, and how many there were.
SELECT count(*) AS samples, percentile_cont(0.5) WITHIN GROUP (ORDER BY provider_ms) / 1000 AS p50_s
FROM (SELECT provider_ms FROM generations
      WHERE model = :model AND delivered_at IS NOT NULL AND provider_ms IS NOT NULL
      ORDER BY delivered_at DESC LIMIT 100) d;

-- name: add_event
-- Appends a step to a delivery's timeline.
INSERT INTO delivery_events (generation_id, at, kind, attempt, duration_ms, bytes, error_category, words,
                             detail, request_id)
VALUES (:generation_id, :at, :kind, :attempt, :duration_ms, :bytes, :error_category, :words,
        CAST(:detail AS jsonb), :request_id);

-- name: receive_callback
-- Records a callback once by the hash of its body, and makes its delivery due now with a job; a repeat only counts.
WITH target AS (
    SELECT id, delivery_state FROM (
        SELECT id, delivery_state, 0 AS rank, created_at FROM generations WHERE id = CAST(:generation_id AS uuid)
        UNION ALL
        (SELECT id, delivery_state, 1, created_at FROM generations WHERE task_id = :task_id
         ORDER BY created_at DESC, id DESC LIMIT 1)
    ) found ORDER BY rank LIMIT 1
), received AS (
    INSERT INTO callback_inbox (provider, body_sha256, task_id, generation_id, received_at, body, signed,
                                handled_at, outcome)
    SELECT CAST(:provider AS text), CAST(:body_sha256 AS text), CAST(:task_id AS text), id, CAST(:now AS timestamptz),
           CAST(:body AS jsonb), CAST(:signed AS boolean),
           CASE WHEN delivery_state = 'delivered' THEN CAST(:now AS timestamptz) END,
           CASE WHEN delivery_state = 'delivered' THEN 'delivered' END
    FROM target
    ON CONFLICT (provider, body_sha256) DO UPDATE SET duplicates = callback_inbox.duplicates + 1
    RETURNING duplicates
), fresh AS (
    SELECT target.* FROM target, received WHERE duplicates = 0
), noted AS (
    INSERT INTO delivery_events (generation_id, at, kind, detail, request_id)
    SELECT id, CAST(:now AS timestamptz), 'callback', CAST(:detail AS jsonb), CAST(:request_id AS text) FROM fresh
), hurried AS (
    UPDATE generations g
    SET delivery_state = CASE WHEN g.delivery_state IN ('failed', 'lost')
                                   OR (g.delivery_state = 'needs_attention' AND g.task_id IS NOT NULL)
                              THEN 'awaiting_provider' ELSE g.delivery_state END,
        status = CASE WHEN g.delivery_state IN ('failed', 'lost') THEN 'generating' ELSE g.status END,
        next_attempt_at = :now, attempt_priority = least(g.attempt_priority, 1), updated_at = :now
    FROM fresh
    WHERE g.id = fresh.id AND lower(coalesce(g.provider, 'kie')) = CAST(:provider AS text)
      AND (g.delivery_state IN ('sending', 'awaiting_provider', 'awaiting_delivery', 'needs_attention')
           OR (g.delivery_state IN ('failed', 'lost') AND CAST(:says_success AS boolean) AND g.task_id IS NOT NULL))
    RETURNING g.id
), job AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args)
    SELECT 'deliveries', 'deliver', CAST(:job_priority AS int), 'deliver:' || id, jsonb_build_object('generation_id', id)
    FROM hurried
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
)
SELECT target.id, target.delivery_state, received.duplicates FROM target, received;

-- name: candidates
-- Task ids that callbacks named for a generation whose answer was lost.
SELECT DISTINCT task_id FROM callback_inbox
WHERE generation_id = :generation_id AND task_id IS NOT NULL LIMIT 10;

-- name: handle_callbacks
-- Stamps a generation's callbacks as handled.
UPDATE callback_inbox SET handled_at = :now, outcome = :outcome
WHERE handled_at IS NULL AND generation_id = :generation_id;

-- name: prune_events
-- Deletes events older than the given time from the next ids on, but none of a delivery that is not over.
WITH batch AS MATERIALIZED (
    SELECT id, generation_id, at FROM delivery_events WHERE id > :after ORDER BY id LIMIT :size
), gone AS (
    DELETE FROM delivery_events e USING batch b
    WHERE e.id = b.id AND b.at < :before
      -- Asked row by row: a join would read the whole table for each batch.
      AND coalesce((SELECT g.delivery_state FROM generations g WHERE g.id = b.generation_id), 'delivered')
          IN ('delivered', 'failed')
    RETURNING e.id
)
SELECT (SELECT count(*) FROM gone) AS gone, max(id) AS last, count(*) FILTER (WHERE at < :before) AS old FROM batch;

-- name: prune_callbacks
-- Deletes callbacks received before the given time from the next ids on, but none of a delivery that is not over.
WITH batch AS MATERIALIZED (
    SELECT id, generation_id, received_at FROM callback_inbox WHERE id > :after ORDER BY id LIMIT :size
), gone AS (
    DELETE FROM callback_inbox c USING batch b
    WHERE c.id = b.id AND b.received_at < :before
      -- Asked row by row: a join would read the whole table for each batch.
      AND coalesce((SELECT g.delivery_state FROM generations g WHERE g.id = b.generation_id), 'delivered')
          IN ('delivered', 'failed')
    RETURNING c.id
)
SELECT (SELECT count(*) FROM gone) AS gone, max(id) AS last, count(*) FILTER (WHERE received_at < :before) AS old
FROM batch;

-- name: timeline
-- The newest steps of one delivery, oldest first.
SELECT at, kind, attempt, duration_ms, bytes, error_category, words, detail, request_id
FROM (SELECT * FROM delivery_events WHERE generation_id = :generation_id ORDER BY id DESC LIMIT :limit) newest
ORDER BY id;

-- name: files
-- The stored files of one generation's last delivery, in order; those of tasks before it stay in storage.
SELECT bucket, path, n, bytes, sha256, content_type, url, stored_at
FROM stored_files f WHERE generation_id = :generation_id
  AND stored_at = (SELECT max(stored_at) FROM stored_files l WHERE l.generation_id = f.generation_id)
ORDER BY n, path;

-- name: callbacks
-- The callbacks of one generation, oldest first.
SELECT task_id, received_at, signed, handled_at, outcome, duplicates, body
FROM callback_inbox WHERE generation_id = :generation_id ORDER BY id LIMIT 50;

-- name: costs
-- The ledger lines of one generation.
SELECT kind, quantity, unit, unit_price, amount_usd, occurred_at, price_version
FROM job_costs WHERE generation_id = :generation_id ORDER BY occurred_at LIMIT 50;

-- name: recent
-- The newest generations, a page at a time, before the given place.
SELECT * FROM generations
WHERE (CAST(:kind AS text) IS NULL OR kind = :kind)
  AND (CAST(:test_only AS boolean) IS NOT TRUE OR request_key IS NOT NULL) AND frame_for IS NULL
  AND (CAST(:before_at AS timestamptz) IS NULL OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: overview
-- Generations of a span by where they stand, from their rows: while most of them are not counted yet.
SELECT CASE WHEN delivery_state IN ('delivered', 'failed', 'lost', 'needs_attention') THEN delivery_state
            ELSE 'in_flight' END AS stand, count(*) AS n
FROM generations WHERE created_at >= :since AND created_at < :until AND delivery_state IS NOT NULL GROUP BY 1;

-- name: needs_person
-- Deliveries that wait for a person's decision, newest first; lost ones are told by their alert.
SELECT * FROM generations
WHERE delivery_state IN ('needs_attention', 'lost') AND delivery_state = 'needs_attention'
ORDER BY updated_at DESC LIMIT :limit;

-- name: any
-- Whether there is any generation at all.
SELECT EXISTS (SELECT 1 FROM generations) AS found;
