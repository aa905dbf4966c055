-- name: results
-- What every check last said.
SELECT key, verdicts, ended_at, took_ms, asked_by, asked_by_id FROM check_results ORDER BY key;

-- name: keep_result
-- Keeps what a check said, unless a later one is kept already.
INSERT INTO check_results (key, ended_at, took_ms, verdicts, asked_by, asked_by_id)
VALUES (:key, :ended_at, :took_ms, CAST(:verdicts AS jsonb), :asked_by, :asked_by_id)
ON CONFLICT (key) DO UPDATE
SET ended_at = EXCLUDED.ended_at, took_ms = EXCLUDED.took_ms, verdicts = EXCLUDED.verdicts,
    asked_by = EXCLUDED.asked_by, asked_by_id = EXCLUDED.asked_by_id
WHERE check_results.ended_at <= EXCLUDED.ended_at;
