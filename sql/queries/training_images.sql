-- name: hold_draft
-- Holds a draft until the transaction ends, so that two tabs and a launch take turns.
SELECT pg_advisory_xact_lock(hashtextextended('training draft ' || CAST(:id AS text), 0));

-- name: draft
-- Whether the draft has been launched, and how many rows of it stand; one that was refused before it had images was not.
SELECT EXISTS (SELECT FROM lora_training_jobs WHERE lora_model_id = :id AND (state IS NULL OR images IS NOT NULL))
           AS launched,
       (SELECT count(*) FROM training_images WHERE lora_model_id = :id AND removed_at IS NULL)::int AS images;

-- name: being_drawn
-- How many images of the draft are being generated, or may be.
SELECT count(*)::int AS n FROM training_drawings
WHERE lora_model_id = :id
  AND (state IN ('intent', 'sending', 'accepted', 'unknown') OR (state = 'succeeded' AND image_n IS NULL));

-- name: add_image
-- Adds an image under the next number; no row when the draft has these very bytes already.
INSERT INTO training_images (lora_model_id, n, owner, source, original_name, original_sha256, bucket, path, sha256,
                             bytes, width, height, format, phash, verdict, reasons, approved, thumbnail, added_by,
                             source_sha256, created_at, stored_at)
SELECT CAST(:id AS uuid), next.n, :owner, :source, :original_name, :original_sha256, CAST(:bucket AS text),
       CAST(:folder AS text) || next.n || '.' || CAST(:format AS text), :sha256, :bytes, :width, :height, :format,
       :phash, :verdict, CAST(:reasons AS text[]), CAST(:approved AS boolean), CAST(:thumbnail AS bytea), :added_by,
       CAST(:source_sha256 AS text), CAST(:now AS timestamptz),
       CASE WHEN CAST(:bucket AS text) IS NULL THEN CAST(:now AS timestamptz) END
FROM (SELECT coalesce(max(n), 0) + 1 AS n FROM training_images WHERE lora_model_id = :id) next
ON CONFLICT (lora_model_id, original_sha256) WHERE removed_at IS NULL DO NOTHING
RETURNING n, bucket, path, stored_at, original_name;

-- name: used_addresses
-- The hashes of the addresses that a draft's images came from, of those that go into a training; NULL when none is known.
SELECT array_agg(source_sha256) FILTER (WHERE removed_at IS NULL AND verdict <> 'refused' AND approved IS NOT FALSE) AS used,
       count(source_sha256) AS known
FROM training_images WHERE lora_model_id = :id AND source_sha256 IS NOT NULL;

-- name: same_image
-- The image of the draft with these very bytes.
SELECT n, bucket, path, stored_at, original_name FROM training_images
WHERE lora_model_id = :id AND original_sha256 = :original_sha256 AND removed_at IS NULL;

-- name: image_stored
-- Notes that the file lies at its path; no row when the image was taken away or the draft launched meanwhile.
UPDATE training_images SET stored_at = coalesce(stored_at, :now)
WHERE lora_model_id = :id AND n = :n AND removed_at IS NULL
  AND (stored_at IS NOT NULL
       OR NOT EXISTS (SELECT FROM lora_training_jobs
                      WHERE lora_model_id = :id AND (state IS NULL OR images IS NOT NULL)))
RETURNING n;

-- name: image_came
-- By which way an image of a draft was fetched.
UPDATE training_images SET way = :way WHERE lora_model_id = :id AND n = :n AND removed_at IS NULL;

-- name: zipped
-- What went into a LoRA's ZIP, and how each image had come.
SELECT bytes, source, way FROM training_images
WHERE lora_model_id = :id AND removed_at IS NULL AND stored_at IS NOT NULL AND approved AND verdict <> 'refused'
ORDER BY n;

-- name: take_image_away
-- Takes an image out of a draft, and says where its file lies.
UPDATE training_images SET removed_at = :now, thumbnail = NULL
WHERE lora_model_id = :id AND n = :n AND removed_at IS NULL
RETURNING n, bucket, path, original_name;

-- name: approve_image
-- A person has approved a generated image of a draft; no row when it is none, or was approved before.
UPDATE training_images SET approved = true
WHERE lora_model_id = :id AND n = :n AND source = 'generated' AND verdict <> 'refused' AND NOT approved
  AND removed_at IS NULL AND stored_at IS NOT NULL
RETURNING n, original_name;

-- name: sheet
-- The images of a draft or a LoRA in their order, as they are shown.
SELECT n, source, original_name, bucket, path, sha256, bytes, width, height, format, phash, verdict, reasons,
       CASE WHEN CAST(:with_thumbnails AS boolean) THEN thumbnail END AS thumbnail, approved, owner
FROM training_images
WHERE lora_model_id = :id AND removed_at IS NULL AND stored_at IS NOT NULL
ORDER BY n;

-- name: job_record
-- A job of the company's application as it stands, whatever its columns are.
SELECT to_jsonb(j) AS record FROM jobs j WHERE id = :id;

-- name: newest_jobs
-- The newest jobs of the company's application as they stand.
SELECT j.id, j.created_at, to_jsonb(j) AS record FROM jobs j
WHERE j.created_at IS NOT NULL ORDER BY j.created_at DESC LIMIT :limit;

-- name: zip_of
-- The ZIP that was made for a LoRA of exactly these images, noted as used now.
UPDATE training_zips SET used_at = :now WHERE lora_model_id = :id AND images_sha256 = :images_sha256
RETURNING bucket, path, sha256, bytes, images;

-- name: keep_zip
-- Notes the ZIP that was made for a LoRA.
INSERT INTO training_zips (lora_model_id, bucket, path, sha256, bytes, images, images_sha256, used_at)
VALUES (:id, :bucket, :path, :sha256, :bytes, :images, :images_sha256, :now)
ON CONFLICT (lora_model_id) DO UPDATE
SET bucket = EXCLUDED.bucket, path = EXCLUDED.path, sha256 = EXCLUDED.sha256, bytes = EXCLUDED.bytes,
    images = EXCLUDED.images, images_sha256 = EXCLUDED.images_sha256, used_at = EXCLUDED.used_at;

-- name: zip_in_use
-- Whether any LoRA's ZIP lies at this place and was used since the given time.
SELECT EXISTS (SELECT FROM training_zips WHERE bucket = :bucket AND path = :path AND used_at > :since) AS in_use;

-- name: count_downloads
-- Adds to the counts of the hour.
INSERT INTO training_image_downloads (hour, way, succeeded, failed, lost)
SELECT date_trunc('hour', CAST(:now AS timestamptz), 'UTC'), way, succeeded, failed, lost
FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS c(way text, succeeded bigint, failed bigint, lost bigint)
ORDER BY way
ON CONFLICT (hour, way) DO UPDATE
SET succeeded = training_image_downloads.succeeded + EXCLUDED.succeeded,
    failed = training_image_downloads.failed + EXCLUDED.failed,
    lost = training_image_downloads.lost + EXCLUDED.lost;

-- name: downloads
-- The counts of downloads by way since the given time, whole hours.
SELECT way, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed, sum(lost)::bigint AS lost
FROM training_image_downloads WHERE hour >= date_trunc('hour', CAST(:since AS timestamptz), 'UTC')
GROUP BY way ORDER BY way;

-- name: old_drafts
-- Drafts that nobody has launched or added to since the given time, none with an image in doubt.
SELECT i.lora_model_id AS id FROM training_images i
WHERE NOT EXISTS (SELECT FROM lora_training_jobs r WHERE r.lora_model_id = i.lora_model_id)
  AND NOT EXISTS (SELECT FROM lora_models l WHERE l.id = i.lora_model_id)
  AND NOT EXISTS (SELECT FROM training_drawings d WHERE d.lora_model_id = i.lora_model_id
                  AND d.state IN ('intent', 'sending', 'accepted', 'unknown'))
GROUP BY i.lora_model_id HAVING max(i.created_at) < :before ORDER BY max(i.created_at) LIMIT :limit;

-- name: old_draft
-- The same of one draft that is held; no row when it was launched or added to meanwhile.
SELECT i.lora_model_id AS id FROM training_images i
WHERE i.lora_model_id = :id
  AND NOT EXISTS (SELECT FROM lora_training_jobs r WHERE r.lora_model_id = i.lora_model_id)
  AND NOT EXISTS (SELECT FROM lora_models l WHERE l.id = i.lora_model_id)
  AND NOT EXISTS (SELECT FROM training_drawings d WHERE d.lora_model_id = i.lora_model_id
                  AND d.state IN ('intent', 'sending', 'accepted', 'unknown'))
GROUP BY i.lora_model_id HAVING max(i.created_at) < :before;

-- name: empty_draft
-- Takes every image out of a draft, and says where the files of it may lie.
UPDATE training_images SET removed_at = coalesce(removed_at, :now), thumbnail = NULL WHERE lora_model_id = :id
RETURNING n, bucket, path;

-- name: forget_draft
-- Forgets what was taken out of a draft.
DELETE FROM training_images WHERE lora_model_id = :id AND removed_at IS NOT NULL;

-- name: forget_drawings
-- Forgets the drawings of a draft that is no longer there; the ledger keeps what they cost.
DELETE FROM training_drawings d WHERE d.lora_model_id = :id AND d.state NOT IN ('intent', 'sending', 'accepted', 'unknown')
  AND NOT EXISTS (SELECT FROM training_images i WHERE i.lora_model_id = :id);
