-- name: upsert_bucket
-- Makes a bucket or opens an existing one as far as needed: made, changed, unchanged, refused or absent.
SELECT studio_ops_put_bucket(
    CAST(:name AS text), CAST(:public AS boolean), CAST(:content_types AS text[]), CAST(:max_bytes AS bigint)
) AS outcome;

-- name: bucket_settled
-- Forgets that the database refused to make a bucket.
DELETE FROM migration_findings WHERE migration = 11 AND code = 'bucket_refused' AND object = :object;

-- name: objects_readable
-- Whether Supabase's table of files is in this database and this login sees all its rows.
SELECT CASE WHEN has_schema_privilege(to_regnamespace('storage')::oid, 'USAGE') IS NOT TRUE THEN false
            WHEN to_regclass('storage.objects') IS NULL THEN false
            ELSE has_table_privilege(to_regclass('storage.objects')::oid, 'SELECT')
                 AND NOT row_security_active(to_regclass('storage.objects')::oid) END AS readable;

-- name: count_objects
-- Files and bytes of Supabase's own table, by bucket and the ending of the name.
SELECT bucket_id AS bucket, lower(left(substring(name FROM '\.([^./]+)$'), 8)) AS ending, count(*) AS files,
       coalesce(sum(CASE WHEN metadata ->> 'size' ~ '^[0-9]{1,15}$' THEN (metadata ->> 'size')::bigint END), 0)::bigint
           AS bytes
FROM storage.objects
WHERE bucket_id = ANY(CAST(:buckets AS text[])) AND name IS NOT NULL
GROUP BY 1, 2;

-- name: add_usage
-- Records one count of every bucket and purpose.
INSERT INTO storage_usage (taken_at, bucket, purpose, files, bytes)
SELECT :taken_at, c.bucket, c.purpose, c.files, c.bytes
FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS c (bucket text, purpose text, files bigint, bytes bigint)
ON CONFLICT (taken_at, bucket, purpose) DO UPDATE SET files = EXCLUDED.files, bytes = EXCLUDED.bytes;

-- name: thin_usage
-- Forgets counts: of days before `hourly_from` all but the last, of days before `daily_from` all.
DELETE FROM storage_usage u
WHERE u.taken_at < :daily_from
   OR u.taken_at < :hourly_from
      AND EXISTS (SELECT FROM storage_usage later
                  WHERE later.taken_at > u.taken_at
                    AND later.taken_at < date_trunc('day', u.taken_at, 'UTC') + interval '24 hours');

-- name: latest_usage
-- The newest count.
SELECT taken_at, bucket, purpose, files, bytes FROM storage_usage
WHERE taken_at = (SELECT max(taken_at) FROM storage_usage) ORDER BY bucket, purpose;

-- name: daily_usage
-- The last count of each day since the given time, oldest first.
SELECT u.taken_at, u.bucket, u.purpose, u.files, u.bytes
FROM storage_usage u
JOIN (SELECT max(taken_at) AS taken_at FROM storage_usage WHERE taken_at >= :since
      GROUP BY date_trunc('day', taken_at, 'UTC')) d ON d.taken_at = u.taken_at
ORDER BY u.taken_at, u.bucket, u.purpose;
