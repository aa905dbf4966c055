-- name: add
-- Adds sessions that were begun in an hour, and those of that hour that have met an error since.
INSERT INTO page_visits (hour, sessions, failed) VALUES (:hour, :sessions, :failed)
ON CONFLICT (hour) DO UPDATE SET sessions = page_visits.sessions + EXCLUDED.sessions,
                                 failed = page_visits.failed + EXCLUDED.failed;

-- name: since
-- The sessions that were begun since the given time, and how many of them met an error.
SELECT coalesce(sum(sessions), 0)::int AS sessions, coalesce(sum(failed), 0)::int AS failed
FROM page_visits WHERE hour >= :since;

-- name: prune
-- Forgets hours before the given time.
DELETE FROM page_visits WHERE hour < :before;
