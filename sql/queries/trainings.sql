-- name: get
-- One run of ours with its LoRA's name.
SELECT r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url, l.training_cost
FROM lora_training_jobs r JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.id = :id AND r.state IS NOT NULL;

-- name: by_request_key
-- The run that a form's nonce already made.
SELECT r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url, l.training_cost
FROM lora_training_jobs r JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.request_key = :request_key;

-- name: lock_creator
-- Has whoever launches for the same creator wait until the transaction ends; a staff id is its account, where it has one.
SELECT pg_advisory_xact_lock(hashtextextended('studio-ops training ' || coalesce(
    (SELECT 'user:' || user_id FROM studio_ops_staff_accounts() WHERE creator_key = CAST(:creator_key AS text)),
    CAST(:creator_key AS text)), 0));

-- name: creators_loras
-- How many LoRAs of the creator, an account and its staff id together, have the name, and how many count in the month: neither failed nor cancelled.
WITH same AS MATERIALIZED (
    SELECT user_id, creator_key FROM studio_ops_staff_accounts()
    WHERE user_id = CAST(:user_id AS uuid) OR creator_key = CAST(:creator_key AS text)
)
SELECT count(*) FILTER (WHERE name = :name) AS names,
       count(*) FILTER (WHERE training_status <> 'failed' AND coalesce(counted_at, created_at) >= :month) AS used
FROM lora_models
WHERE (user_id = ANY(CAST(:user_id AS uuid) || ARRAY(SELECT user_id FROM same))
       OR creator_key = ANY(CAST(:creator_key AS text) || ARRAY(SELECT creator_key FROM same)))
  AND id IS DISTINCT FROM CAST(:except_id AS uuid);

-- name: insert_lora
-- Writes the row of a new LoRA; no row when its id is known already.
INSERT INTO lora_models (id, user_id, creator_key, creator_name, name, description, character_description, trigger_word,
                         triggered_by_job_id, reference_image_urls, training_status, counted_at, usage_count, created_at,
                         updated_at)
VALUES (:id, :user_id, :creator_key, :creator_name, :name, :description, :description, :trigger_word,
        (SELECT id FROM jobs WHERE id = CAST(:job_id AS uuid)), CAST(:reference_urls AS text[]), 'pending', :now, 0, :now,
        :now)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: count_lora
-- Has a LoRA that is there count in the quota from now on, as ours.
UPDATE lora_models
SET counted_at = :now, creator_key = :creator_key, trigger_word = coalesce(trigger_word, :trigger_word),
    training_status = 'pending', updated_at = :now
WHERE id = :id;

-- name: count_lora_again
-- Has a LoRA whose run goes on count in this month's quota.
UPDATE lora_models SET counted_at = :now, updated_at = :now WHERE id = :id;

-- name: hold
-- Has whoever judges the same run wait until the transaction ends.
SELECT id FROM lora_training_jobs WHERE id = :id FOR UPDATE;

-- name: insert_run
-- Writes a run, due at once; no row when its request key is known already.
INSERT INTO lora_training_jobs (id, lora_model_id, user_id, creator_key, creator_name, state, stage, trainer, steps,
                                learning_rate, rank, trigger_word, publish, images, request_key, quoted_usd,
                                expected_usd, reservation_key, reservations, training_progress, estimated_remaining,
                                next_attempt_at, heartbeat_at, started_at, created_at, updated_at)
VALUES (:id, :lora_id, :user_id, :creator_key, :creator_name, 'running', 'initializing', :trainer, :steps,
        :learning_rate, :rank, :trigger_word, :publish, :images, :request_key, :quoted_usd,
        :expected_usd, :reservation_key, 1, 0, :time_left, :now, :now, :now, :now, :now)
ON CONFLICT (request_key) WHERE request_key IS NOT NULL DO NOTHING
RETURNING id;

-- name: insert_refused
-- Writes a run that was refused before it began, with the reason.
INSERT INTO lora_training_jobs (id, lora_model_id, user_id, creator_key, creator_name, state, stage, trainer, steps,
                                trigger_word, error_message, failure_category, failure_retryable, next_action,
                                request_key, training_progress, started_at, completed_at, created_at, updated_at)
VALUES (:id, :lora_id, :user_id, :creator_key, :creator_name, 'failed', 'initializing', :trainer, :steps,
        :trigger_word, :error_message, 'validation', false, :next_action,
        :request_key, 0, :now, :now, :now, :now)
ON CONFLICT (request_key) WHERE request_key IS NOT NULL DO NOTHING
RETURNING id;

-- name: lease
-- Takes one run for this worker unless another holds it; `taken_over` when the last holder never gave it back.
UPDATE lora_training_jobs r
SET lease_until = :lease_until, lease_token = :token, heartbeat_at = :now, updated_at = :now
FROM (SELECT j.id, j.lease_token IS NOT NULL AS taken_over, l.name, l.description, l.storage_path, l.weights_sha256,
             l.file_size, l.huggingface_url, l.training_cost
      FROM lora_training_jobs j JOIN lora_models l ON l.id = j.lora_model_id
      WHERE j.id = :id FOR UPDATE OF j) o
WHERE r.id = o.id AND r.state IN ('running', 'ending') AND (r.lease_until IS NULL OR r.lease_until <= :now)
RETURNING r.*, o.name AS lora_name, o.description, o.storage_path, o.weights_sha256, o.file_size, o.huggingface_url,
          o.training_cost, o.taken_over;

-- name: lease_due
-- Takes due runs that wait for a provider, the longest due first, skipping those that others hold.
WITH due AS (
    SELECT id, lease_token IS NOT NULL AS taken_over FROM lora_training_jobs
    WHERE state IN ('running', 'ending') AND state = 'running' AND stage IN ('training', 'validation')
      AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
    ORDER BY next_attempt_at LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE lora_training_jobs r
SET lease_until = :lease_until, lease_token = gen_random_uuid(), heartbeat_at = :now, updated_at = :now
FROM due, lora_models l WHERE r.id = due.id AND l.id = r.lora_model_id
RETURNING r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url,
          l.training_cost, due.taken_over;

-- name: due_without_job
-- Due runs without a waiting job that no poll takes: at a step of ours, being ended, or without a time.
SELECT id FROM lora_training_jobs r
WHERE state IN ('running', 'ending') AND (lease_until IS NULL OR lease_until <= :now)
  AND (next_attempt_at IS NULL
       OR (next_attempt_at <= :now AND (state = 'ending' OR stage NOT IN ('training', 'validation'))))
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs j
                  WHERE j.queueing_lock = 'train:' || r.id AND j.status = 'todo')
ORDER BY next_attempt_at LIMIT :limit;

-- name: renew_lease
-- Keeps a run while a long step works on it; no row when another worker has taken it over.
UPDATE lora_training_jobs SET lease_until = :lease_until, heartbeat_at = :now
WHERE id = :id AND lease_token = :token RETURNING id;

-- name: release
-- Gives a run back with the time of its next look; who hurried it meanwhile stays heard.
UPDATE lora_training_jobs
SET next_attempt_at = CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                           THEN least(next_attempt_at, CAST(:next_attempt_at AS timestamptz))
                           ELSE CAST(:next_attempt_at AS timestamptz) END,
    lease_until = NULL, lease_token = NULL, heartbeat_at = :now, updated_at = :now
WHERE id = :id AND lease_token = :token;

-- name: move
-- Moves a leased run, once: only its holder, from where it stood; the error and the times follow.
UPDATE lora_training_jobs
SET state = :state, stage = :stage, attempt = 0, next_attempt_at = :next_attempt_at, ends_as = :ends_as,
    ending_since = CASE WHEN CAST(:state AS text) = 'ending' THEN CAST(:now AS timestamptz) END,
    training_progress = greatest(coalesce(training_progress, 0), :progress), estimated_remaining = :time_left,
    queue_position = NULL, usd_per_hour = NULL,
    error_message = :error_message, failure_category = :category, failure_retryable = :retryable,
    failure_words = :words, next_action = :next_action,
    completed_at = CASE WHEN CAST(:over AS boolean) THEN CAST(:now AS timestamptz) END,
    lease_until = CASE WHEN CAST(:keep AS boolean) THEN lease_until END,
    lease_token = CASE WHEN CAST(:keep AS boolean) THEN lease_token END,
    heartbeat_at = :now, updated_at = :now
WHERE id = :id AND lease_token = :token AND state = ANY(CAST(:from_states AS text[])) AND stage = :from_stage
RETURNING id;

-- name: seize
-- Moves a run by a person's word, whoever holds it: the holder records nothing any more.
UPDATE lora_training_jobs
SET state = :state, stage = :stage, attempt = 0, next_attempt_at = :now, ends_as = :ends_as,
    ending_since = CASE WHEN CAST(:state AS text) = 'ending' THEN CAST(:now AS timestamptz) END,
    error_message = :error_message, failure_category = :category, failure_retryable = :retryable,
    failure_words = :words, next_action = :next_action, completed_at = NULL,
    training_progress = CASE WHEN CAST(:progress AS int) IS NULL THEN training_progress ELSE :progress END,
    lease_until = NULL, lease_token = NULL, heartbeat_at = :now, updated_at = :now
WHERE id = :id AND state = :from_state AND stage = :from_stage
RETURNING id;

-- name: try_again
-- Records that a step of ours failed for now, and when it is due again.
UPDATE lora_training_jobs
SET attempt = attempt + 1, next_attempt_at = :next_attempt_at, error_message = :error_message,
    failure_category = :category, failure_retryable = true, failure_words = :words, next_action = :next_action,
    lease_until = NULL, lease_token = NULL, heartbeat_at = :now, updated_at = :now
WHERE id = :id AND lease_token = :token
RETURNING id;

-- name: watched
-- Records what the provider said of an unfinished training, and when to look again; the company's columns follow.
UPDATE lora_training_jobs
SET provider_state = coalesce(:provider_state, provider_state), provider_read_at = :now,
    queue_position = :queue_position, usd_per_hour = :usd_per_hour,
    training_progress = greatest(coalesce(training_progress, 0), :progress), estimated_remaining = :time_left,
    error_message = :error_message, failure_category = :category, failure_retryable = :retryable,
    failure_words = :words, next_action = :next_action,
    next_attempt_at = CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                           THEN least(next_attempt_at, CAST(:next_attempt_at AS timestamptz))
                           ELSE CAST(:next_attempt_at AS timestamptz) END,
    lease_until = NULL, lease_token = NULL, heartbeat_at = :now, updated_at = :now
WHERE id = :id AND lease_token = :token
RETURNING id;

-- name: hurry
-- Makes an active run due now.
UPDATE lora_training_jobs SET next_attempt_at = :now, updated_at = :now
WHERE id = :id AND state IN ('running', 'ending')
RETURNING id;

-- name: set_status
-- Keeps the customers' column in step with the run.
UPDATE lora_models SET training_status = :status, updated_at = :now WHERE id = :lora_id AND training_status <> :status;

-- name: count_month
-- Keeps the company's own count of a user's month in step.
INSERT INTO user_training_limits (user_id, loras_created_this_month, month_reset_date, created_at, updated_at)
SELECT CAST(:user_id AS uuid),
       (SELECT count(*) FROM lora_models
        WHERE (user_id = CAST(:user_id AS uuid)
               OR creator_key = ANY(ARRAY(SELECT creator_key FROM studio_ops_staff_accounts()
                                          WHERE user_id = CAST(:user_id AS uuid))))
          AND training_status <> 'failed' AND coalesce(counted_at, created_at) >= CAST(:month AS timestamptz)),
       CAST(CAST(:month AS timestamptz) AT TIME ZONE 'UTC' AS date), CAST(:now AS timestamptz), CAST(:now AS timestamptz)
ON CONFLICT (user_id) DO UPDATE
SET loras_created_this_month = EXCLUDED.loras_created_this_month, month_reset_date = EXCLUDED.month_reset_date,
    updated_at = EXCLUDED.updated_at;

-- name: references
-- Whose a LoRA is, and the addresses of the images that it is to be trained on.
SELECT id, user_id, reference_image_urls FROM lora_models WHERE id = :lora_id;

-- name: set_images
-- Notes how many images a run is trained on; from then on they stand.
UPDATE lora_training_jobs SET images = :images, updated_at = :now WHERE id = :id AND lease_token = :token;

-- name: set_zip
-- Records where a run's ZIP is, in the transaction of its guarded move.
UPDATE lora_training_jobs
SET zip_bucket = :bucket, zip_path = :path, zip_bytes = :bytes, zip_sha256 = :sha256, images = :images,
    zip_built_at = :now, updated_at = :now
WHERE id = :id;

-- name: set_pod
-- Keeps the company's column of the pod in step with the run's call.
UPDATE lora_training_jobs SET runpod_pod_id = :pod_id, updated_at = :now WHERE id = :id;

-- name: set_trainer
-- Has another trainer do a run of which nothing was paid.
UPDATE lora_training_jobs SET trainer = :trainer, updated_at = :now WHERE id = :id AND lease_token = :token;

-- name: set_reservation
-- Notes the money that is reserved for a run, or none.
UPDATE lora_training_jobs
SET reservation_key = :key, quoted_usd = coalesce(CAST(:quoted_usd AS numeric), quoted_usd),
    expected_usd = coalesce(CAST(:expected_usd AS numeric), expected_usd),
    reservations = CASE WHEN CAST(:key AS text) IS NULL THEN reservations ELSE :number END, updated_at = :now
WHERE id = :id;

-- name: store_weights
-- Records a LoRA's weights; other systems read their address here.
UPDATE lora_models
SET storage_path = :path, storage_url = :url, file_size = :bytes, weights_sha256 = :sha256,
    base_model = coalesce(:base_model, base_model), updated_at = :now
WHERE id = :lora_id;

-- name: add_cost
-- Adds to what a LoRA's training has cost, in the transaction of the ledger's line.
UPDATE lora_models SET training_cost = coalesce(training_cost, 0) + :amount, updated_at = :now WHERE id = :lora_id;

-- name: set_published
-- Records where a LoRA was published.
UPDATE lora_models SET huggingface_url = :url, huggingface_commit = :commit, updated_at = :now WHERE id = :lora_id;

-- name: card_due
-- Has a published LoRA's test images added to its card.
UPDATE lora_training_jobs SET card_due_at = :now, card_attempt = 0, card_error = NULL, updated_at = :now
WHERE id = :id AND state = 'completed' AND publish;

-- name: claim_cards
-- Takes runs whose test images are due for their card; who crashes with one leaves it to a later look.
UPDATE lora_training_jobs r SET card_due_at = :again_at
FROM (SELECT id FROM lora_training_jobs WHERE card_due_at <= :now ORDER BY card_due_at LIMIT :limit
      FOR UPDATE SKIP LOCKED) due, lora_models l
WHERE r.id = due.id AND l.id = r.lora_model_id
RETURNING r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url,
          l.training_cost;

-- name: card_done
-- Records how many test images are on a LoRA's card.
UPDATE lora_training_jobs
SET card_samples = :samples, card_due_at = NULL, card_attempt = 0, card_error = NULL, updated_at = :now WHERE id = :id;

-- name: card_failed
-- Records why test images could not be added to a card, and when it is tried again.
UPDATE lora_training_jobs
SET card_due_at = :due_at, card_attempt = card_attempt + 1, card_error = :error, updated_at = :now WHERE id = :id;

-- name: set_pictures
-- Keeps the addresses of a LoRA's test pictures, and whether it passed.
UPDATE lora_models
SET validation_image_urls = CAST(:urls AS text[]), validation_passed = :passed, updated_at = :now WHERE id = :lora_id;

-- name: complete
-- Has a LoRA count as completed.
UPDATE lora_models
SET training_status = 'completed', validation_passed = true, completed_at = coalesce(completed_at, :now), updated_at = :now
WHERE id = :lora_id;

-- name: insert_call
-- Writes a paid call before it is sent; no row when it is there already.
INSERT INTO training_calls (id, run_id, purpose, n, round, provider, reservation_key, prompt, seed, created_at)
VALUES (:id, :run_id, :purpose, :n, :round, :provider, :reservation_key, :prompt, :seed, :now)
ON CONFLICT DO NOTHING
RETURNING *;

-- name: calls
-- A run's paid calls, the newest round of each last.
SELECT * FROM training_calls WHERE run_id = :run_id ORDER BY purpose DESC, n, round;

-- name: call
-- One paid call by its id.
SELECT * FROM training_calls WHERE id = :id;

-- name: pushed
-- What a pod of ours has written to its progress address last.
SELECT pushed FROM training_calls WHERE id = :id AND pushed IS NOT NULL;

-- name: push
-- Keeps what a pod of ours writes about its progress.
UPDATE training_calls SET pushed = CAST(:pushed AS jsonb), pushed_at = :now
WHERE id = :id AND state IN ('sending', 'accepted', 'unknown');

-- name: call_by_remote
-- A paid call by the provider's id of it.
SELECT * FROM training_calls WHERE provider = :provider AND remote_id = :remote_id;

-- name: begin_sending
-- Makes this process the only one that may send a paid call; no row when another was first, or its run is being ended.
UPDATE training_calls c SET state = 'sending', submitted_at = :now, tries = tries + 1
WHERE id = :id AND state = 'intent'
  AND EXISTS (SELECT 1 FROM lora_training_jobs r WHERE r.id = c.run_id AND r.state = 'running')
RETURNING *;

-- name: bind_call
-- Records the provider's id of a call that was sent, once; one that was given up has something to be stopped there.
UPDATE training_calls
SET remote_id = :remote_id, handle = CAST(:handle AS jsonb), accepted_at = :now, released_at = NULL,
    state = CASE WHEN state IN ('sending', 'unknown') THEN 'accepted' ELSE state END
WHERE id = :id AND remote_id IS NULL AND state IN ('sending', 'unknown', 'not_sent', 'cancelled')
RETURNING *;

-- name: unsend
-- Puts a call back that certainly was not taken; only the process that sent it knows, by its time of sending.
UPDATE training_calls SET state = 'intent', submitted_at = NULL
WHERE id = :id AND state = 'sending' AND submitted_at = :submitted_at AND remote_id IS NULL
RETURNING id;

-- name: refuse_call
-- Ends a call that the provider definitely did not take; only its sender knows, by its time of sending.
UPDATE training_calls
SET state = 'not_sent', ended_at = :now, released_at = :now, failure_category = :category, failure_code = :code,
    failure_retryable = :retryable, failure_words = :words, cost_usd = 0
WHERE id = :id AND state = 'sending' AND submitted_at = :submitted_at AND remote_id IS NULL
RETURNING id;

-- name: lose_call
-- Gives up looking for a call whose answer was lost.
UPDATE training_calls SET state = 'unknown' WHERE id = :id AND state = 'sending' AND remote_id IS NULL RETURNING id;

-- name: search_again
-- Has calls that were given up looked for once more.
UPDATE training_calls SET state = 'sending' WHERE run_id = :run_id AND state = 'unknown' AND remote_id IS NULL;

-- name: declare_unsent
-- A person has looked at the provider: nothing of it runs there.
UPDATE training_calls SET state = 'not_sent', ended_at = :now, released_at = :now, cost_usd = 0
WHERE run_id = :run_id AND state IN ('unknown', 'sending') AND remote_id IS NULL
RETURNING id;

-- name: drop_intents
-- Ends calls that were never begun.
UPDATE training_calls SET state = 'cancelled', ended_at = :now, released_at = :now, cost_usd = 0
WHERE run_id = :run_id AND state = 'intent'
RETURNING id;

-- name: end_call
-- Ends an accepted call, once.
UPDATE training_calls
SET state = :state, ended_at = :now, progress = coalesce(:progress, progress), result_url = :result_url,
    result_kind = :result_kind, failure_category = :category, failure_code = :code, failure_retryable = :retryable,
    failure_words = :words, cost_usd = :cost_usd
WHERE id = :id AND state = 'accepted'
RETURNING id;

-- name: cost_call
-- Notes what a call has cost that was given up and had been taken all the same.
UPDATE training_calls SET cost_usd = :cost_usd WHERE id = :id;

-- name: progress_call
-- Notes how far a call is.
UPDATE training_calls SET progress = greatest(coalesce(progress, 0), :progress), usd_per_hour = :usd_per_hour
WHERE id = :id AND state = 'accepted';

-- name: released_call
-- Notes that nothing of a call can go on costing money.
UPDATE training_calls SET released_at = :now WHERE id = :id AND released_at IS NULL RETURNING id;

-- name: unreleased
-- Calls that are over, or belong to runs that are, and whose provider has not confirmed yet that nothing of them runs.
SELECT c.* FROM training_calls c JOIN lora_training_jobs r ON r.id = c.run_id
WHERE c.remote_id IS NOT NULL AND c.released_at IS NULL
  AND ((c.state IN ('failed', 'cancelled', 'not_sent', 'succeeded') AND c.ended_at <= :before)
       OR (r.state IN ('completed', 'failed', 'cancelled') AND r.updated_at <= :before))
ORDER BY c.ended_at LIMIT :limit;

-- name: unconfirmed_ends
-- Runs that were to end, of which a provider has not confirmed it in time.
SELECT r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url, l.training_cost
FROM lora_training_jobs r JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.state = 'needs_attention' AND r.ends_as IS NOT NULL ORDER BY r.updated_at LIMIT :limit;

-- name: needed_pushes
-- Of these calls, those whose pushed weights are wanted still: under way, or not taken over by a run that may go on.
SELECT c.id FROM training_calls c JOIN lora_training_jobs r ON r.id = c.run_id
JOIN lora_models l ON l.id = r.lora_model_id
WHERE c.id = ANY(CAST(:ids AS uuid[])) AND r.state NOT IN ('completed', 'cancelled') AND l.weights_sha256 IS NULL;

-- name: known_remotes
-- Which of the provider's ids belong to calls of ours, and whether their runs go on.
SELECT c.remote_id, r.state IN ('running', 'ending', 'needs_attention') AND c.released_at IS NULL AS wanted
FROM training_calls c JOIN lora_training_jobs r ON r.id = c.run_id
WHERE c.provider = :provider AND c.remote_id = ANY(CAST(:remote_ids AS text[]));

-- name: known_calls
-- Which of these calls exist and may have something at the provider still.
SELECT id FROM training_calls
WHERE id = ANY(CAST(:ids AS uuid[])) AND remote_id IS NULL AND state IN ('intent', 'sending', 'unknown');

-- name: store_picture
-- Records where a test picture is.
UPDATE training_calls SET bucket = :bucket, path = :path, url = :url WHERE id = :id AND state = 'succeeded' RETURNING id;

-- name: judge
-- A person's word on a test picture; it may be changed until the last one is judged.
UPDATE training_calls SET shows = :shows, judged_by = :by, judged_by_id = :by_id, judged_at = :now WHERE id = :id RETURNING id;

-- name: old_pictures
-- Test pictures made before the given time that are still kept.
SELECT * FROM training_calls
WHERE purpose = 'picture' AND path IS NOT NULL AND ended_at < :before ORDER BY ended_at LIMIT :limit;

-- name: forget_picture
-- A test picture that is no longer kept.
UPDATE training_calls SET bucket = NULL, path = NULL, url = NULL WHERE id = :id;

-- name: forget_urls
-- Takes the addresses of pictures that are no longer kept from their LoRA.
UPDATE lora_models SET validation_image_urls = NULL, updated_at = :now
WHERE id = (SELECT lora_model_id FROM lora_training_jobs WHERE id = :run_id)
  AND NOT EXISTS (SELECT 1 FROM training_calls c JOIN lora_training_jobs r ON r.id = c.run_id
                  WHERE r.lora_model_id = lora_models.id AND c.path IS NOT NULL);

-- name: old_zips
-- ZIPs of runs that were over before the given time, and that no later run is trained on.
SELECT id, zip_bucket, zip_path FROM lora_training_jobs r
WHERE zip_path IS NOT NULL AND state IN ('completed', 'failed', 'cancelled') AND completed_at < :before
  AND NOT EXISTS (SELECT 1 FROM lora_training_jobs o
                  WHERE o.zip_path = r.zip_path AND o.zip_bucket = r.zip_bucket AND o.id <> r.id
                    AND (o.state NOT IN ('completed', 'failed', 'cancelled') OR o.completed_at >= :before))
ORDER BY completed_at LIMIT :limit;

-- name: abandoned_zips
-- ZIPs last used before the given time that no run names, of LoRAs without a run that may be just building one.
SELECT z.lora_model_id, z.bucket, z.path FROM training_zips z
WHERE z.used_at < :before
  AND NOT EXISTS (SELECT 1 FROM lora_training_jobs r WHERE r.zip_path = z.path AND r.zip_bucket = z.bucket)
  AND NOT EXISTS (SELECT 1 FROM lora_training_jobs r WHERE r.lora_model_id = z.lora_model_id
                  AND r.state NOT IN ('completed', 'failed', 'cancelled') AND r.zip_path IS NULL)
ORDER BY z.used_at LIMIT :limit;

-- name: forget_abandoned
-- A ZIP that nobody needed any more and that is gone; one that was used again meanwhile stays known.
DELETE FROM training_zips WHERE lora_model_id = :id AND path = :path AND used_at < :before;

-- name: forget_zip
-- A ZIP that is no longer kept.
UPDATE lora_training_jobs SET zip_path = NULL, zip_bucket = NULL, updated_at = :now WHERE id = :id;

-- name: begin_stage
-- A stage begins, or begins again.
INSERT INTO training_stages (run_id, stage, started_at) VALUES (:run_id, :stage, :now)
ON CONFLICT (run_id, stage) DO UPDATE
SET attempts = training_stages.attempts + 1, ended_at = NULL, outcome = NULL, progress = 0, time_left_s = NULL,
    started_at = CASE WHEN training_stages.ended_at IS NULL THEN training_stages.started_at ELSE EXCLUDED.started_at END,
    error_message = NULL, failure_category = NULL, failure_retryable = NULL, failure_words = NULL, next_action = NULL;

-- name: progress_stage
-- How far a stage is; its error is that of the last try, if any.
UPDATE training_stages
SET progress = greatest(progress, :progress), time_left_s = :time_left, error_message = :error_message,
    failure_category = :category, failure_retryable = :retryable, failure_words = :words, next_action = :next_action
WHERE run_id = :run_id AND stage = :stage AND ended_at IS NULL;

-- name: retry_stage
-- A further attempt of a stage, and why the last one failed.
UPDATE training_stages
SET attempts = attempts + 1, error_message = :error_message, failure_category = :category,
    failure_retryable = :retryable, failure_words = :words, next_action = :next_action
WHERE run_id = :run_id AND stage = :stage AND ended_at IS NULL;

-- name: end_stage
-- How a stage ended.
UPDATE training_stages
SET ended_at = :now, outcome = :outcome, time_left_s = NULL,
    progress = CASE WHEN CAST(:outcome AS text) = 'succeeded' THEN 100 ELSE progress END,
    error_message = :error_message, failure_category = :category, failure_retryable = :retryable,
    failure_words = :words, next_action = :next_action
WHERE run_id = :run_id AND stage = :stage AND ended_at IS NULL;

-- name: stage
-- One stage of a run.
SELECT * FROM training_stages WHERE run_id = :run_id AND stage = :stage;

-- name: stages
-- A run's stages as they began.
SELECT * FROM training_stages WHERE run_id = :run_id ORDER BY started_at;

-- name: add_event
-- Appends a step to a run's timeline.
INSERT INTO training_events (run_id, at, kind, stage, attempt, duration_ms, bytes, error_category, words, detail, request_id)
VALUES (:run_id, :at, :kind, :stage, :attempt, :duration_ms, :bytes, :error_category, :words, CAST(:detail AS jsonb),
        :request_id);

-- name: add_lines
-- Appends lines to a run's log, each once by its key, while it has fewer than the most that are kept.
INSERT INTO training_log (run_id, at, stage, source, level, message, line_key)
SELECT :run_id, e.at, :stage, e.source, e.level, e.message, e.line_key
FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS e(n int, at timestamptz, source text, level text, message text, line_key text)
WHERE (SELECT count(*) FROM training_log WHERE run_id = :run_id) < :most
ORDER BY e.n
ON CONFLICT (run_id, line_key) DO NOTHING;

-- name: log_lines
-- The newest lines of a run's log, oldest first.
SELECT id, at, stage, source, level, message
FROM (SELECT * FROM training_log WHERE run_id = :run_id AND id > :after ORDER BY id DESC LIMIT :limit) newest ORDER BY id;

-- name: timeline
-- The newest steps of a run, oldest first.
SELECT at, kind, stage, attempt, duration_ms, bytes, error_category, words, detail, request_id
FROM (SELECT * FROM training_events WHERE run_id = :run_id ORDER BY id DESC LIMIT :limit) newest ORDER BY id;

-- name: receive_webhook
-- Records a provider's message once by its own id of it; a repeat only counts.
INSERT INTO training_webhooks (provider, delivery_id, call_id, run_id, remote_id, says, received_at)
VALUES (:provider, :delivery_id, :call_id, :run_id, :remote_id, :says, :now)
ON CONFLICT (provider, delivery_id) DO UPDATE SET duplicates = training_webhooks.duplicates + 1
RETURNING duplicates;

-- name: named_by_webhooks
-- The provider's ids that webhooks named for a call whose answer was lost.
SELECT DISTINCT remote_id FROM training_webhooks WHERE call_id = :call_id LIMIT 10;

-- name: webhooks
-- The messages that came for a run, oldest first.
SELECT provider, remote_id, says, received_at, duplicates FROM training_webhooks
WHERE run_id = :run_id ORDER BY id LIMIT 50;

-- name: prune_webhooks
-- Forgets messages received before the given time.
DELETE FROM training_webhooks WHERE received_at < :before;

-- name: own_p50
-- The median seconds of a trainer's last trainings that succeeded, the ninth decile, and how many there were.
SELECT count(*) AS samples, percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50_s,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY s) AS p90_s
FROM (SELECT extract(epoch FROM ended_at - accepted_at) AS s FROM training_calls
      WHERE purpose = 'training' AND provider = :trainer AND state = 'succeeded'
      ORDER BY ended_at DESC LIMIT 100) d;

-- name: foreign_pending
-- LoRAs that other systems want trained: pending, made since the given time, and no run of anybody's.
SELECT l.id, l.user_id, l.name, l.description, l.trigger_word, l.creator_key, l.creator_name, l.reference_image_urls
FROM lora_models l
WHERE l.training_status = 'pending' AND l.created_at >= :since AND l.created_at <= :until
  AND NOT EXISTS (SELECT 1 FROM lora_training_jobs r WHERE r.lora_model_id = l.id)
ORDER BY l.created_at LIMIT :limit;

-- name: foreign_stale
-- LoRAs that other systems want trained and that were made before the given time: pending, and no run of anybody's.
SELECT l.id, l.user_id, l.name, l.description, l.trigger_word, l.creator_key, l.creator_name, l.created_at
FROM lora_models l
WHERE l.training_status = 'pending' AND (l.created_at < :before OR l.created_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM lora_training_jobs r WHERE r.lora_model_id = l.id)
ORDER BY l.created_at DESC NULLS LAST LIMIT :limit;

-- name: runs
-- Runs of ours by what a page asks for, newest first, a page at a time, before the given place.
SELECT r.*, l.name AS lora_name, l.description, l.storage_path, l.weights_sha256, l.file_size, l.huggingface_url, l.training_cost
FROM lora_training_jobs r JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.state IS NOT NULL
  AND (CAST(:states AS text[]) IS NULL OR r.state = ANY(CAST(:states AS text[])))
  AND (CAST(:trainer AS text) IS NULL OR r.trainer = :trainer)
  AND (CAST(:creator_key AS text) IS NULL OR r.creator_key = :creator_key)
  AND (CAST(:lora_id AS uuid) IS NULL OR r.lora_model_id = :lora_id)
  AND (CAST(:since AS timestamptz) IS NULL OR r.created_at >= :since)
  AND (CAST(:silent_before AS timestamptz) IS NULL OR greatest(r.heartbeat_at, r.next_attempt_at) < :silent_before)
  AND (CAST(:unjudged_before AS timestamptz) IS NULL OR r.heartbeat_at < :unjudged_before)
  AND (CAST(:month AS date) IS NULL OR r.id = ANY(ARRAY(
         SELECT CAST(c.key AS uuid) FROM cost_rollup c
         WHERE c.scope = 'trainings' AND c.dimension = 'run' AND c.grain = 'month' AND c.start = :month)))
  AND (NOT CAST(:with_pod AS boolean) OR r.id = ANY(ARRAY(
         SELECT c.run_id FROM training_calls c
         WHERE c.remote_id IS NOT NULL AND c.released_at IS NULL AND c.provider = 'runpod')))
  AND NOT (CAST(:only_real AS boolean) AND studio_ops_is_rehearsed(r.id))
  AND (CAST(:pattern AS text) IS NULL OR l.name ILIKE :pattern)
  AND (CAST(:before_at AS timestamptz) IS NULL OR (r.created_at, r.id) < (:before_at, CAST(:before_id AS uuid)))
ORDER BY r.created_at DESC, r.id DESC LIMIT :limit;

-- name: counts
-- Runs by state, and trainings of the month that succeeded and failed.
SELECT state, count(*) AS n FROM lora_training_jobs
WHERE state IS NOT NULL AND (state NOT IN ('completed', 'failed', 'cancelled') OR created_at >= :since)
GROUP BY state;

-- name: pods
-- Pods that run now and what they cost an hour.
SELECT c.run_id, l.name AS lora_name, c.remote_id, c.accepted_at, c.usd_per_hour
FROM training_calls c JOIN lora_training_jobs r ON r.id = c.run_id JOIN lora_models l ON l.id = r.lora_model_id
WHERE c.remote_id IS NOT NULL AND c.released_at IS NULL AND c.provider = 'runpod'
ORDER BY c.accepted_at LIMIT 100;

-- name: ledger
-- The ledger's lines of a run, and of the images that were generated for it before its launch.
SELECT kind, provider, service, stage, quantity, unit, unit_price, amount_usd, occurred_at, price_version, note
FROM job_costs
WHERE run_id = :run_id
   OR reservation_key = ANY(ARRAY(SELECT d.reservation_key FROM training_drawings d
                                  JOIN lora_training_jobs r ON r.lora_model_id = d.lora_model_id
                                  WHERE r.id = :run_id))
ORDER BY occurred_at, source_key LIMIT 100;

-- name: prune_log
-- Deletes log lines older than the given time from the next ids on, but none of a run that is not over.
WITH batch AS MATERIALIZED (
    SELECT id, run_id, at FROM training_log WHERE id > :after ORDER BY id LIMIT :size
), gone AS (
    DELETE FROM training_log l USING batch b
    WHERE l.id = b.id AND b.at < :before
      -- Asked row by row: a join would read the whole table for each batch.
      AND coalesce((SELECT r.state FROM lora_training_jobs r WHERE r.id = b.run_id), 'completed')
          IN ('completed', 'failed', 'cancelled')
    RETURNING l.id
)
SELECT (SELECT count(*) FROM gone) AS gone, max(id) AS last, count(*) FILTER (WHERE at < :before) AS old FROM batch;

-- name: prune_steps
-- Deletes steps of timelines older than the given time from the next ids on, but none of a run that is not over.
WITH batch AS MATERIALIZED (
    SELECT id, run_id, at FROM training_events WHERE id > :after ORDER BY id LIMIT :size
), gone AS (
    DELETE FROM training_events e USING batch b
    WHERE e.id = b.id AND b.at < :before
      -- Asked row by row: a join would read the whole table for each batch.
      AND coalesce((SELECT r.state FROM lora_training_jobs r WHERE r.id = b.run_id), 'completed')
          IN ('completed', 'failed', 'cancelled')
    RETURNING e.id
)
SELECT (SELECT count(*) FROM gone) AS gone, max(id) AS last, count(*) FILTER (WHERE at < :before) AS old FROM batch;
