-- name: beginning
-- The words of the library that begin with each of these, at most so many of each.
SELECT asked.n, found.word
FROM unnest(CAST(:beginnings AS text[])) WITH ORDINALITY AS asked(beginning, n),
     LATERAL (SELECT v.word FROM lora_vocabulary v
              WHERE v.word >= lower(asked.beginning) COLLATE "C"
                AND v.word < (lower(asked.beginning) || chr(1114111)) COLLATE "C"
              ORDER BY v.word LIMIT :most) found
ORDER BY asked.n, found.word;

-- name: near
-- LoRAs that have the text within their words, or a name nearly like it; none without pg_trgm.
SELECT studio_ops_loras_near(CAST(:text AS text), CAST(:most AS int)) AS ids;

-- name: count
-- How many LoRAs fit, counted up to a limit, and about how many there are; less than 1 while nobody knows.
SELECT count(*)::int AS n,
       (SELECT reltuples::bigint FROM pg_class WHERE oid = 'public.lora_library'::regclass) AS library
FROM (
    SELECT FROM lora_library e
    WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
    LIMIT :most) found;

-- name: few_down
-- A page of some thousand LoRAs that fit, sorted after they were found: most used or best rated first.
WITH found AS MATERIALIZED (
    SELECT e.lora_model_id AS id,
           CASE CAST(:sort AS text) WHEN 'popular' THEN e.uses ELSE e.rating_score END AS number
    FROM lora_library e
    WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[])))
SELECT id, number AS place FROM found
WHERE CAST(:after AS numeric) IS NULL OR (number, id) < (CAST(:after AS numeric), CAST(:after_id AS uuid))
ORDER BY number DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: few_recent
-- A page of some thousand LoRAs that fit, sorted after they were found, the newest first.
WITH found AS MATERIALIZED (
    SELECT e.lora_model_id AS id, e.created_at FROM lora_library e
    WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[])))
SELECT id, created_at AS place FROM found
WHERE CAST(:after AS timestamptz) IS NULL
   OR (created_at, id) < (CAST(:after AS timestamptz), CAST(:after_id AS uuid))
ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: few_up
-- A page of some thousand LoRAs that fit, sorted after they were found, the least used first.
WITH found AS MATERIALIZED (
    SELECT e.lora_model_id AS id, e.uses::numeric AS number FROM lora_library e
    WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[])))
SELECT id, number AS place FROM found
WHERE CAST(:after AS numeric) IS NULL OR (number, id) > (CAST(:after AS numeric), CAST(:after_id AS uuid))
ORDER BY number, id LIMIT :limit OFFSET :offset;

-- name: few_by_name
-- A page of some thousand LoRAs that fit, sorted after they were found, by name.
WITH found AS MATERIALIZED (
    SELECT e.lora_model_id AS id, e.name_key FROM lora_library e
    WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[])))
SELECT id, name_key AS place FROM found
WHERE CAST(:after AS text) IS NULL OR (name_key, id) > (CAST(:after AS text), CAST(:after_id AS uuid))
ORDER BY name_key, id LIMIT :limit OFFSET :offset;

-- name: many_popular
-- A page of many LoRAs that fit, read in their order, the most used first.
SELECT e.lora_model_id AS id, e.uses AS place FROM lora_library e
WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
  AND (CAST(:after AS bigint) IS NULL OR (e.uses, e.lora_model_id) < (CAST(:after AS bigint), CAST(:after_id AS uuid)))
ORDER BY e.uses DESC, e.lora_model_id DESC LIMIT :limit OFFSET :offset;

-- name: many_least_used
-- A page of many LoRAs that fit, read in their order, the least used first.
SELECT e.lora_model_id AS id, e.uses AS place FROM lora_library e
WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
  AND (CAST(:after AS bigint) IS NULL OR (e.uses, e.lora_model_id) > (CAST(:after AS bigint), CAST(:after_id AS uuid)))
ORDER BY e.uses, e.lora_model_id LIMIT :limit OFFSET :offset;

-- name: many_recent
-- A page of many LoRAs that fit, read in their order, the newest first.
SELECT e.lora_model_id AS id, e.created_at AS place FROM lora_library e
WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
  AND (CAST(:after AS timestamptz) IS NULL OR (e.created_at, e.lora_model_id) < (CAST(:after AS timestamptz), CAST(:after_id AS uuid)))
ORDER BY e.created_at DESC, e.lora_model_id DESC LIMIT :limit OFFSET :offset;

-- name: many_name
-- A page of many LoRAs that fit, read in their order, by name.
SELECT e.lora_model_id AS id, e.name_key AS place FROM lora_library e
WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
  AND (CAST(:after AS text) IS NULL OR (e.name_key, e.lora_model_id) > (CAST(:after AS text), CAST(:after_id AS uuid)))
ORDER BY e.name_key, e.lora_model_id LIMIT :limit OFFSET :offset;

-- name: many_rating
-- A page of many LoRAs that fit, read in their order, the best rated first.
SELECT e.lora_model_id AS id, e.rating_score AS place FROM lora_library e
WHERE studio_ops_lora_fits(
      e, CAST(:sees_all AS boolean), CAST(:viewer AS uuid), CAST(:viewer_key AS text), CAST(:archived AS boolean),
      CAST(lower(CAST(:words AS text)) AS tsquery), CAST(:near AS uuid[]), CAST(:status AS text),
      lower(CAST(:creator AS text)), CAST(:mine AS boolean), CAST(:since AS timestamptz), CAST(:until AS timestamptz),
      CAST(:base_model AS text), CAST(:tag AS text), CAST(:rating AS numeric), CAST(:published AS boolean),
      CAST(:restricted AS boolean), CAST(:among AS uuid[]))
  AND (CAST(:after AS numeric) IS NULL OR (e.rating_score, e.lora_model_id) < (CAST(:after AS numeric), CAST(:after_id AS uuid)))
ORDER BY e.rating_score DESC, e.lora_model_id DESC LIMIT :limit OFFSET :offset;

-- name: cards
-- What a list shows of these LoRAs, in the order of a card's fields.
SELECT l.id, l.name, l.creator_name, l.creator_key, l.user_id, l.description, l.training_status, l.base_model,
       l.trigger_word, l.validation_image_urls, l.file_size, l.huggingface_url, l.tags, l.is_private, l.hidden_at,
       l.archived_at, l.created_at, l.updated_at, l.completed_at, coalesce(l.usage_count, 0) AS uses,
       e.rating_count, e.rating_average, e.rating_score, e.is_popular, e.recent_uses, e.last_used_at
FROM lora_library e JOIN lora_models l ON l.id = e.lora_model_id
WHERE e.lora_model_id = ANY(CAST(:ids AS uuid[]));

-- name: told
-- What the API's lists tell of these LoRAs, in the order of the ids, as one JSON array.
SELECT '[' || coalesce(string_agg(CAST(json_build_object(
           'id', l.id, 'name', l.name, 'description', l.description, 'training_status', l.training_status,
           'created_at', CASE WHEN l.created_at BETWEEN '0001-01-01Z' AND '9999-12-31Z' THEN l.created_at END,
           'created_by', coalesce(nullif(l.creator_name, ''), 'unknown'), 'created_by_id', l.user_id,
           'usage_count', coalesce(l.usage_count, 0), 'base_model', l.base_model, 'trigger_word', l.trigger_word,
           'tags', l.tags, 'rating', json_build_object('average', e.rating_average, 'count', e.rating_count),
           'is_private', l.is_private, 'published_url', l.huggingface_url) AS text), ',' ORDER BY asked.place), '') || ']'
       AS loras
FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS asked(id, place)
JOIN lora_models l ON l.id = asked.id JOIN lora_library e ON e.lora_model_id = l.id;

-- name: get
-- Everything known of one LoRA, if the viewer may see it.
SELECT l.id, l.name, l.creator_name, l.creator_key, l.user_id, l.description, l.training_status, l.base_model,
       l.trigger_word, l.validation_image_urls, l.validation_passed, l.file_size, l.huggingface_url,
       l.huggingface_commit, l.tags, l.is_private, l.hidden_at, l.archived_at, l.created_at, l.updated_at,
       l.completed_at, l.storage_path, l.storage_url, l.weights_sha256, l.training_cost, l.reference_image_urls,
       l.character_description, l.triggered_by_job_id, coalesce(l.usage_count, 0) AS uses,
       e.rating_count, e.rating_average, e.rating_score, e.is_popular, e.recent_uses, e.last_used_at,
       s.hidden_reason, s.hidden_by, s.hidden_by_id, s.archived_reason, s.archived_by, s.archived_by_id, v.parent_id, v.character_id,
       p.state AS proof_state, p.checked_at AS proof_checked_at, p.found_sha256 AS proof_sha256,
       j.training_progress, j.estimated_remaining, j.error_message
FROM lora_models l
JOIN lora_library e ON e.lora_model_id = l.id
LEFT JOIN lora_standing s ON s.lora_model_id = l.id
LEFT JOIN lora_versions v ON v.lora_model_id = l.id
LEFT JOIN lora_weight_proofs p ON p.lora_model_id = l.id
LEFT JOIN LATERAL (SELECT training_progress, estimated_remaining, error_message FROM lora_training_jobs
                   WHERE lora_model_id = l.id ORDER BY created_at DESC NULLS LAST LIMIT 1) j ON true
WHERE l.id = :id
  AND (CAST(:sees_all AS boolean) OR e.is_listed OR l.user_id = CAST(:viewer AS uuid)
       OR e.creator_key = CAST(:viewer_key AS text));

-- name: statuses
-- How far these LoRAs are, and who may see them.
SELECT l.id, l.training_status, l.user_id, l.creator_key, NOT l.is_private AND l.hidden_at IS NULL AS is_listed,
       j.training_progress, j.estimated_remaining, j.error_message
FROM lora_models l
LEFT JOIN LATERAL (SELECT training_progress, estimated_remaining, error_message FROM lora_training_jobs
                   WHERE lora_model_id = l.id ORDER BY created_at DESC NULLS LAST LIMIT 1) j ON true
WHERE l.id = ANY(CAST(:ids AS uuid[]));

-- name: account
-- The user that a verified address belongs to; NULL for none.
SELECT studio_ops_user_of_address(CAST(:address AS text)) AS id;

-- name: hold
-- One LoRA with what its changes are decided by, held until the transaction ends.
SELECT l.id, l.name, l.user_id, l.creator_key, l.description, l.tags, l.is_private, l.hidden_at, l.archived_at,
       l.training_status
FROM lora_models l WHERE l.id = :id FOR UPDATE;

-- name: describe
-- Changes a LoRA's name and description.
UPDATE lora_models SET name = :name, description = :description, updated_at = :now WHERE id = :id;

-- name: set_tags
-- Changes a LoRA's tags; a trigger tidies them.
UPDATE lora_models SET tags = CAST(:tags AS text[]), updated_at = :now WHERE id = :id RETURNING tags;

-- name: set_private
-- Takes a LoRA out of other people's sight, or shares it.
UPDATE lora_models SET is_private = :private, updated_at = :now WHERE id = :id AND is_private <> :private;

-- name: set_hidden
-- Hides a LoRA, or shows it again (NULL); nothing when it is so already.
UPDATE lora_models SET hidden_at = CAST(:at AS timestamptz), updated_at = :now
WHERE id = :id AND (hidden_at IS NULL) = (CAST(:at AS timestamptz) IS NOT NULL);

-- name: set_archived
-- Archives a LoRA, or takes it back (NULL); nothing when it is so already.
UPDATE lora_models SET archived_at = CAST(:at AS timestamptz), updated_at = :now
WHERE id = :id AND (archived_at IS NULL) = (CAST(:at AS timestamptz) IS NOT NULL);

-- name: note_hidden
-- Keeps why a LoRA is hidden and who did it; NULL once it is not.
INSERT INTO lora_standing (lora_model_id, hidden_reason, hidden_by, hidden_by_id) VALUES (:id, :reason, :by, :by_id)
ON CONFLICT (lora_model_id) DO UPDATE
SET hidden_reason = EXCLUDED.hidden_reason, hidden_by = EXCLUDED.hidden_by, hidden_by_id = EXCLUDED.hidden_by_id;

-- name: note_archived
-- Keeps why a LoRA is archived and who did it; NULL once it is not.
INSERT INTO lora_standing (lora_model_id, archived_reason, archived_by, archived_by_id)
VALUES (:id, :reason, :by, :by_id)
ON CONFLICT (lora_model_id) DO UPDATE
SET archived_reason = EXCLUDED.archived_reason, archived_by = EXCLUDED.archived_by,
    archived_by_id = EXCLUDED.archived_by_id;

-- name: rate
-- A person's rating, in the place of an earlier one of theirs.
INSERT INTO lora_ratings (lora_model_id, rated_by, stars, rated_at) VALUES (:id, :by, :stars, :now)
ON CONFLICT (lora_model_id, rated_by) DO UPDATE SET stars = EXCLUDED.stars, rated_at = EXCLUDED.rated_at;

-- name: take_rating_back
-- Forgets a person's rating.
DELETE FROM lora_ratings WHERE lora_model_id = :id AND rated_by = :by;

-- name: own_rating
-- A person's rating of a LoRA.
SELECT stars FROM lora_ratings WHERE lora_model_id = :id AND rated_by = :by;

-- name: report
-- A person's report; nothing while an earlier one of theirs waits.
INSERT INTO lora_reports (lora_model_id, reported_by, reporter_name, reason, note, reported_at)
VALUES (:id, :by, :by_name, :reason, :note, :now)
ON CONFLICT (lora_model_id, reported_by) WHERE outcome IS NULL DO NOTHING
RETURNING id;

-- name: decide_reports
-- Closes the reports of a LoRA that wait.
UPDATE lora_reports SET outcome = :outcome, decided_by = :by, decided_at = :now, decision_note = :note
WHERE lora_model_id = :id AND outcome IS NULL;

-- name: queue
-- LoRAs with reports that wait, the oldest first, with what was said.
SELECT r.lora_model_id AS id, l.name, l.creator_name, l.hidden_at, count(*)::int AS reports,
       min(r.reported_at) AS since, array_agg(r.reason ORDER BY r.reported_at) AS reasons,
       array_agg(coalesce(r.note, '') ORDER BY r.reported_at) AS notes,
       array_agg(r.reporter_name ORDER BY r.reported_at) AS reporters
FROM (SELECT * FROM lora_reports WHERE outcome IS NULL ORDER BY reported_at LIMIT 1000) r
JOIN lora_models l ON l.id = r.lora_model_id
GROUP BY r.lora_model_id, l.name, l.creator_name, l.hidden_at ORDER BY since LIMIT :limit;

-- name: reports_of
-- What was said of one LoRA and waits for a decision, in the words of the queue.
SELECT l.id, l.name, l.creator_name, l.hidden_at, count(*)::int AS reports,
       min(r.reported_at) AS since, array_agg(r.reason ORDER BY r.reported_at) AS reasons,
       array_agg(coalesce(r.note, '') ORDER BY r.reported_at) AS notes,
       array_agg(r.reporter_name ORDER BY r.reported_at) AS reporters
FROM lora_reports r JOIN lora_models l ON l.id = r.lora_model_id
WHERE r.lora_model_id = :id AND r.outcome IS NULL
GROUP BY l.id, l.name, l.creator_name, l.hidden_at;

-- name: waiting_reports
-- Whether the person's own report of this LoRA waits, and how many wait in all.
SELECT count(*)::int AS n, count(*) FILTER (WHERE reported_by = :by)::int AS own
FROM lora_reports WHERE lora_model_id = :id AND outcome IS NULL;

-- name: add_version
-- Notes that a draft is a new version of a LoRA's character; once.
INSERT INTO lora_versions (lora_model_id, parent_id, character_id, made_by, made_at)
SELECT CAST(:draft_id AS uuid), CAST(:parent_id AS uuid),
       coalesce((SELECT character_id FROM lora_versions WHERE lora_model_id = CAST(:parent_id AS uuid)),
                CAST(:parent_id AS uuid)), :by, :now
ON CONFLICT (lora_model_id) DO NOTHING;

-- name: versions
-- The LoRAs of one character that the viewer may see, the first one first.
SELECT l.id, l.name, l.creator_name, l.training_status, l.created_at, e.rating_average, e.rating_count,
       coalesce(l.usage_count, 0) AS uses, v.parent_id
FROM lora_models l
JOIN lora_library e ON e.lora_model_id = l.id
LEFT JOIN lora_versions v ON v.lora_model_id = l.id
WHERE (l.id = CAST(:character_id AS uuid)
       OR l.id IN (SELECT lora_model_id FROM lora_versions WHERE character_id = CAST(:character_id AS uuid)))
  AND (CAST(:sees_all AS boolean) OR e.is_listed OR l.user_id = CAST(:viewer AS uuid)
       OR e.creator_key = CAST(:viewer_key AS text))
ORDER BY l.created_at, l.id LIMIT 100;

-- name: use
-- Notes that a generation is made with a LoRA; nothing when that is known. Its counts follow by trigger.
INSERT INTO lora_uses (generation_id, lora_model_id, way, used_by, used_at)
VALUES (:generation_id, :id, :way, :by, :now)
ON CONFLICT (generation_id, lora_model_id) DO NOTHING
RETURNING generation_id;

-- name: of_generation
-- The LoRAs that a generation was made with.
SELECT u.lora_model_id AS id, l.name, l.creator_name, u.way, u.used_at
FROM lora_uses u JOIN lora_models l ON l.id = u.lora_model_id
WHERE u.generation_id = :generation_id ORDER BY u.used_at;

-- name: uses_by_day
-- A LoRA's uses by the day since then.
SELECT day, uses FROM lora_uses_daily WHERE lora_model_id = :id AND day >= :since ORDER BY day;

-- name: newest_uses
-- The newest generations made with a LoRA, and what became of them.
SELECT u.generation_id, u.way, u.used_at, g.status::text AS status, g.model::text AS model,
       left(g.prompt::text, 200) AS prompt, g.asset_url::text AS asset_url, g.kind::text AS kind
FROM lora_uses u LEFT JOIN generations g ON g.id = u.generation_id
WHERE u.lora_model_id = :id ORDER BY u.used_at DESC, u.generation_id DESC LIMIT :limit;

-- name: success_of_uses
-- Of a LoRA's newest uses: how many succeeded and how many failed.
SELECT count(*) FILTER (WHERE g.status::text = 'success')::int AS succeeded,
       count(*) FILTER (WHERE g.status::text = 'failed')::int AS failed
FROM (SELECT generation_id FROM lora_uses WHERE lora_model_id = :id
      ORDER BY used_at DESC, generation_id DESC LIMIT :newest) u
JOIN generations g ON g.id = u.generation_id;

-- name: base_models
-- The base models that there are.
WITH RECURSIVE known AS (
    (SELECT base_model FROM lora_library ORDER BY base_model LIMIT 1)
    UNION ALL
    SELECT (SELECT e.base_model FROM lora_library e WHERE e.base_model > k.base_model ORDER BY e.base_model LIMIT 1)
    FROM known k WHERE k.base_model IS NOT NULL)
SELECT base_model FROM known WHERE base_model <> '' LIMIT 50;

-- name: claim_request
-- Notes a request under its caller's key; no row when the key is taken.
INSERT INTO lora_requests (caller, key, body_sha256, draft_id, requested_at)
VALUES (:caller, :key, :body_sha256, :draft_id, :now)
ON CONFLICT (caller, key) DO NOTHING
RETURNING draft_id;

-- name: claimed_request
-- The request that a caller's key stands for.
SELECT body_sha256, draft_id FROM lora_requests WHERE caller = :caller AND key = :key;

-- name: forget_requests
-- Forgets requests of before the given time.
DELETE FROM lora_requests WHERE requested_at < :before;

-- name: unproven
-- Completed LoRAs whose file has never been looked at.
SELECT l.id, l.storage_path AS path, l.file_size AS bytes, l.weights_sha256 AS sha256
FROM lora_models l
WHERE l.training_status = 'completed' AND l.storage_path IS NOT NULL
  AND NOT EXISTS (SELECT FROM lora_weight_proofs p WHERE p.lora_model_id = l.id)
ORDER BY l.id LIMIT :limit;

-- name: proofs_due
-- Completed LoRAs whose file was looked at before the given time, the longest ago first.
SELECT l.id, l.storage_path AS path, l.file_size AS bytes, coalesce(l.weights_sha256, p.expected_sha256) AS sha256
FROM lora_weight_proofs p JOIN lora_models l ON l.id = p.lora_model_id
WHERE p.checked_at < :before AND l.training_status = 'completed' AND l.storage_path IS NOT NULL
ORDER BY p.checked_at, p.lora_model_id LIMIT :limit;

-- name: counted_in_month
-- The LoRAs that count in the quotas of a month: neither failed nor cancelled, and of a creator that is known.
SELECT id FROM lora_models
WHERE training_status <> 'failed' AND coalesce(counted_at, created_at) >= CAST(:month AS timestamptz)
  AND coalesce(counted_at, created_at) < CAST(:next_month AS timestamptz)
  AND coalesce(creator_key, CAST(user_id AS text)) IS NOT NULL
LIMIT :most;

-- name: wrong_weights
-- LoRAs whose weights are not there, or are not what they were, those that have been so for longest first.
SELECT p.lora_model_id AS id FROM lora_weight_proofs p JOIN lora_models l ON l.id = p.lora_model_id
WHERE p.state <> 'good' ORDER BY p.since, p.lora_model_id LIMIT :most;

-- name: record_proof
-- Records a look at a LoRA's file; since when it is so stays while it stays so.
INSERT INTO lora_weight_proofs AS p (lora_model_id, state, since, checked_at, expected_sha256, found_sha256, found_bytes)
VALUES (:id, :state, :now, :now, :expected, :found, :bytes)
ON CONFLICT (lora_model_id) DO UPDATE
SET state = EXCLUDED.state, checked_at = EXCLUDED.checked_at, found_sha256 = EXCLUDED.found_sha256,
    found_bytes = EXCLUDED.found_bytes, expected_sha256 = coalesce(EXCLUDED.expected_sha256, p.expected_sha256),
    since = CASE WHEN p.state = EXCLUDED.state THEN p.since ELSE EXCLUDED.since END;

-- name: prove_again
-- Has a LoRA's file looked at by the next run of the job.
UPDATE lora_weight_proofs SET checked_at = 'epoch' WHERE lora_model_id = :id;

-- name: enter_missing
-- Enters LoRAs that have no entry, as after a trigger that was switched off.
SELECT studio_ops_list_loras(NULL) AS entered;

-- name: count_recent
-- Counts each LoRA's uses since the given day, where that has changed.
UPDATE lora_library e SET recent_uses = found.n
FROM (SELECT lora_model_id, sum(n)::int AS n
      FROM (SELECT lora_model_id, sum(uses) AS n FROM lora_uses_daily WHERE day > :since GROUP BY lora_model_id
            UNION ALL SELECT lora_model_id, 0 FROM lora_library WHERE recent_uses > 0) u
      GROUP BY lora_model_id) found
WHERE e.lora_model_id = found.lora_model_id AND e.recent_uses <> found.n;

-- name: mark_popular
-- Marks the most used LoRAs of late, and takes the mark from the others.
WITH most AS (
    SELECT lora_model_id FROM lora_library
    WHERE recent_uses >= :from_uses AND recent_uses > 0 AND is_listed AND NOT is_archived
    ORDER BY recent_uses DESC, lora_model_id LIMIT :among)
UPDATE lora_library e SET is_popular = NOT e.is_popular
WHERE (e.recent_uses > 0 OR e.is_popular) AND e.is_popular <> (e.lora_model_id IN (SELECT lora_model_id FROM most));

-- name: count_library
-- Counts what the library holds, and what of it is idle: not archived, neither used nor made since then.
INSERT INTO lora_library_totals (counted_at, loras, bytes, idle_loras, idle_bytes)
SELECT :now, count(*), coalesce(sum(bytes), 0),
       count(*) FILTER (WHERE idle), coalesce(sum(bytes) FILTER (WHERE idle), 0)
FROM (SELECT bytes, NOT is_archived AND created_at < :idle_from
                    AND coalesce(last_used_at, 'epoch') < :idle_from AND recent_uses = 0 AS idle
      FROM lora_library WHERE bytes > 0) e
ON CONFLICT (only_row) DO UPDATE
SET counted_at = EXCLUDED.counted_at, loras = EXCLUDED.loras, bytes = EXCLUDED.bytes,
    idle_loras = EXCLUDED.idle_loras, idle_bytes = EXCLUDED.idle_bytes;
