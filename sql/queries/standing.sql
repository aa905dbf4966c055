-- name: of_session
-- A sign-in with what its person may do today, by its key.
SELECT s.email, s.name, s.address, s.seen_at, s.expires_at, s.ended_at, s.ended_why, p.roles, p.active
FROM staff_sessions s JOIN staff p ON p.email = s.email
WHERE s.key = :key;
