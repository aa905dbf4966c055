-- name: upsert_bucket
-- Makes a bucket or opens an existing one as far as needed: made, changed, unchanged, refused or absent.
SELECT studio_ops_put_bucket(
    CAST(:name AS text), CAST(:public AS boolean), CAST(:content_types AS text[]), CAST(:max_bytes AS bigint)
) AS outcome;
