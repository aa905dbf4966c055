-- name: insert
-- Writes a drawing before it is sent, due at once; no row when its place in the batch is known already.
INSERT INTO training_drawings (id, lora_model_id, batch, n, owner, asked_by, provider, model, view, prompt, from_images,
                               after_id, reservation_key, created_at, next_attempt_at)
VALUES (:id, :draft_id, :batch, :n, :owner, :asked_by, :provider, :model, :view, :prompt, CAST(:from_images AS int[]),
        :after_id, :reservation_key, :now, :now)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: of_draft
-- A draft's drawings in the order that they were asked for.
SELECT * FROM training_drawings WHERE lora_model_id = :draft_id ORDER BY batch, n;

-- name: get
-- One drawing by its id.
SELECT * FROM training_drawings WHERE id = :id;

-- name: lease_due
-- Takes due drawings for this worker, the longest due first, skipping those that others hold.
UPDATE training_drawings d SET lease_until = :lease_until, lease_token = gen_random_uuid()
FROM (SELECT id FROM training_drawings
      WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
      ORDER BY next_attempt_at, batch, n LIMIT :limit
      FOR UPDATE SKIP LOCKED) due
WHERE d.id = due.id
RETURNING d.*;

-- name: release
-- Gives a drawing back with the time of its next look and what stands in its way; who hurried it stays heard.
UPDATE training_drawings
SET next_attempt_at = CASE WHEN next_attempt_at IS DISTINCT FROM CAST(:seen_next_attempt_at AS timestamptz)
                           THEN least(next_attempt_at, CAST(:next_attempt_at AS timestamptz))
                           ELSE CAST(:next_attempt_at AS timestamptz) END,
    attempt = :attempt, failure_words = :words, lease_until = NULL, lease_token = NULL
WHERE id = :id AND lease_token = :token;

-- name: begin_sending
-- Makes this process the only one that may send a drawing; no row when another was first.
UPDATE training_drawings SET state = 'sending', submitted_at = :now, tries = tries + 1
WHERE id = :id AND state = 'intent' AND lease_token = :token
RETURNING *;

-- name: unsend
-- Puts a drawing back that certainly was not taken; only the process that sent it knows, by its time of sending.
UPDATE training_drawings
SET state = 'intent', submitted_at = NULL, next_attempt_at = :next_attempt_at, failure_words = :words,
    lease_until = NULL, lease_token = NULL
WHERE id = :id AND state = 'sending' AND submitted_at = :submitted_at AND remote_id IS NULL
RETURNING id;

-- name: refuse
-- Ends a drawing that the provider definitely did not take; only its sender knows, by its time of sending.
UPDATE training_drawings
SET state = 'not_sent', ended_at = :now, next_attempt_at = NULL, failure_category = :category, failure_code = :code,
    failure_words = :words, cost_usd = 0
WHERE id = :id AND state = 'sending' AND submitted_at = :submitted_at AND remote_id IS NULL
RETURNING id;

-- name: bind
-- Records the provider's id of a drawing that was sent, once; also of one that was given up meanwhile.
UPDATE training_drawings
SET remote_id = :remote_id, accepted_at = :now, next_attempt_at = :next_attempt_at, failure_words = NULL,
    state = 'accepted', ended_at = NULL, cost_usd = NULL, lease_until = NULL, lease_token = NULL
WHERE id = :id AND remote_id IS NULL AND state IN ('sending', 'unknown', 'not_sent')
RETURNING *;

-- name: lose
-- Gives up looking for a drawing whose answer was lost: a person must say.
UPDATE training_drawings
SET state = 'unknown', next_attempt_at = NULL, lease_until = NULL, lease_token = NULL
WHERE id = :id AND state = 'sending' AND remote_id IS NULL
RETURNING id;

-- name: end
-- Ends a drawing that the provider took, once; a success is due at once to be stored.
UPDATE training_drawings
SET state = :state, ended_at = :now, result_url = :result_url, failure_category = :category, failure_code = :code,
    failure_words = :words, cost_usd = :cost_usd, attempt = 0,
    next_attempt_at = CASE WHEN CAST(:result_url AS text) IS NOT NULL THEN CAST(:now AS timestamptz) END
WHERE id = :id AND state = 'accepted'
RETURNING *;

-- name: cancel
-- Ends a drawing that was never begun.
UPDATE training_drawings
SET state = 'cancelled', ended_at = :now, next_attempt_at = NULL, failure_words = :words, cost_usd = 0,
    lease_until = NULL, lease_token = NULL
WHERE id = :id AND state = 'intent'
RETURNING id;

-- name: stored
-- Notes under which number a drawing's image stands in its draft.
UPDATE training_drawings
SET image_n = :image_n, next_attempt_at = NULL, failure_words = NULL, lease_until = NULL, lease_token = NULL
WHERE id = :id AND state = 'succeeded' AND image_n IS NULL
RETURNING id;

-- name: hold_batch
-- Has whoever ends another drawing of the same money wait until the transaction ends.
SELECT id FROM training_drawings WHERE reservation_key = :reservation_key ORDER BY id FOR UPDATE;

-- name: open_in_batch
-- How many drawings of the same money may still cost something.
SELECT count(*) AS n FROM training_drawings
WHERE reservation_key = :reservation_key AND state IN ('intent', 'sending', 'accepted', 'unknown');

-- name: hurry
-- Makes a drawing due now that its provider tells of, also one that was given up: it is looked for once more.
UPDATE training_drawings
SET next_attempt_at = :now, state = CASE WHEN state IN ('unknown', 'not_sent') THEN 'sending' ELSE state END
WHERE id = :id AND (state IN ('intent', 'sending', 'accepted', 'unknown') OR (state = 'not_sent' AND remote_id IS NULL))
RETURNING id;

-- name: look_again
-- Has a draft's drawings in doubt looked for once more, and images that could not be stored fetched again.
UPDATE training_drawings
SET next_attempt_at = :now, attempt = 0, state = CASE WHEN state = 'unknown' THEN 'sending' ELSE state END
WHERE lora_model_id = :draft_id AND next_attempt_at IS NULL
  AND (state = 'unknown' OR (state = 'succeeded' AND image_n IS NULL))
RETURNING id;

-- name: declare_unsent
-- A person has looked at the provider: it has none of a draft's drawings in doubt.
UPDATE training_drawings
SET state = 'not_sent', ended_at = :now, next_attempt_at = NULL, cost_usd = 0
WHERE lora_model_id = :draft_id AND state = 'unknown' AND remote_id IS NULL
RETURNING id;

-- name: forget_unstored
-- A person gives up images that are paid and cannot be had.
UPDATE training_drawings SET image_n = 0
WHERE lora_model_id = :draft_id AND state = 'succeeded' AND image_n IS NULL AND next_attempt_at IS NULL
RETURNING id;

-- name: in_doubt
-- Drafts with drawings that only a person gets on, the longest waiting first.
SELECT lora_model_id AS draft_id, count(*) AS drawings, min(submitted_at) AS since FROM training_drawings
WHERE state = 'unknown' GROUP BY lora_model_id ORDER BY min(submitted_at) LIMIT :limit;

-- name: paid
-- What a draft's drawings have cost so far.
SELECT coalesce(sum(cost_usd), 0) AS usd FROM training_drawings WHERE lora_model_id = :draft_id;
