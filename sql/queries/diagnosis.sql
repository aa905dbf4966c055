-- name: by_ids
-- Generations by their own ids or by those of their tasks, also tasks that only a callback has named.
WITH named AS MATERIALIZED (
    SELECT id FROM generations WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT id FROM generations WHERE task_id = CAST(:task_id AS text)
    UNION
    SELECT generation_id FROM callback_inbox WHERE task_id = CAST(:task_id AS text) AND generation_id IS NOT NULL
)
SELECT g.* FROM named JOIN generations g ON g.id = named.id
ORDER BY g.created_at DESC NULLS LAST, g.id DESC LIMIT :limit;

-- name: by_address
-- Generations by the address of their file: as the row has it, as a file of our storage, or the provider's temporary one.
WITH named AS MATERIALIZED (
    SELECT id FROM generations WHERE asset_url = ANY(CAST(:urls AS text[]))
    UNION
    SELECT id FROM generations WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT generation_id FROM stored_files
    WHERE bucket = CAST(:bucket AS text) AND path = ANY(CAST(:paths AS text[])) AND generation_id IS NOT NULL
    UNION
    SELECT id FROM generations
    WHERE result_urls IS NOT NULL AND studio_ops_url_keys(result_urls) && studio_ops_url_keys(CAST(:urls AS text[]))
)
SELECT g.* FROM named JOIN generations g ON g.id = named.id
ORDER BY g.created_at DESC NULLS LAST, g.id DESC LIMIT :limit;

-- name: of_user
-- A customer's newest generations.
SELECT * FROM generations WHERE user_id = :user_id
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: twins
-- How many generations have the same task, counted up to a limit.
SELECT count(*) AS n FROM (SELECT 1 FROM generations WHERE task_id = :task_id LIMIT 20) t;

-- name: remade
-- The generation that was made in place of this one.
SELECT id FROM generations WHERE request_key = :request_key;
