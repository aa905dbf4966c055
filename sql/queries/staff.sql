-- name: person
-- One person of the list, by the address.
SELECT email, name, roles, active FROM staff WHERE email = :email;

-- name: people
-- Everybody on the list with when they were last seen and how many sign-ins of theirs are open.
SELECT p.email, p.name, p.roles, p.active, p.added_by, p.added_by_id, p.added_at,
       (SELECT max(s.seen_at) FROM staff_sessions s WHERE s.email = p.email) AS last_seen_at,
       (SELECT count(*) FROM staff_sessions s
        WHERE s.email = p.email AND s.ended_at IS NULL AND s.expires_at > :now AND s.seen_at > :idle)::int AS open_sessions
FROM staff p
ORDER BY p.active DESC, lower(coalesce(nullif(p.name, ''), p.email)), p.email
LIMIT 1000;

-- name: admins
-- The addresses of those who are admins today.
SELECT email FROM staff WHERE active AND 'admin' = ANY (roles) ORDER BY added_at, email;

-- name: lock_staff
-- Lets one change of who is an admin go through at a time.
SELECT pg_advisory_xact_lock(hashtext('studio-ops staff'));

-- name: make_admin
-- The first admin, whether or not the address is on the list already.
INSERT INTO staff (email, name, roles, added_by, added_at, changed_at)
VALUES (:email, :name, ARRAY['admin'], :by, :now, :now)
ON CONFLICT (email) DO UPDATE
    SET roles = CASE WHEN 'admin' = ANY (staff.roles) THEN staff.roles ELSE staff.roles || ARRAY['admin'] END,
        active = true, changed_at = excluded.changed_at;

-- name: add
-- Puts somebody on the list who is not there yet.
INSERT INTO staff (email, name, roles, added_by, added_by_id, added_at, changed_at)
VALUES (:email, :name, CAST(:roles AS text[]), :by, :by_id, :now, :now)
ON CONFLICT (email) DO NOTHING;

-- name: set_roles
-- Gives somebody these roles in place of all others.
UPDATE staff SET roles = CAST(:roles AS text[]), changed_at = :now WHERE email = :email;

-- name: set_active
-- Takes somebody's access away, or gives it back.
UPDATE staff SET active = :active, changed_at = :now WHERE email = :email;

-- name: begin_session
-- Begins a sign-in; one that has ended is never begun again.
INSERT INTO staff_sessions (key, email, name, address, began_at, seen_at, expires_at)
VALUES (:key, :email, :name, :address, :now, :now, :expires_at)
ON CONFLICT (key) DO NOTHING;

-- name: seen
-- Moves on when the person of a sign-in last did something.
UPDATE staff_sessions SET seen_at = :at WHERE key = :key AND ended_at IS NULL AND seen_at < :at;

-- name: end_sessions
-- Ends a person's sign-ins that are open, or the one of them with that key.
UPDATE staff_sessions SET ended_at = :now, ended_by = :by, ended_by_id = :by_id, ended_why = :why
WHERE email = :email AND ended_at IS NULL AND (CAST(:key AS text) IS NULL OR key = :key);

-- name: sessions
-- A person's sign-ins that are open, newest first.
SELECT key, email, address, began_at, seen_at, expires_at FROM staff_sessions
WHERE email = :email AND ended_at IS NULL AND expires_at > :now AND seen_at > :idle
ORDER BY began_at DESC
LIMIT 50;

-- name: forget_sessions
-- Forgets sign-ins that were over at that time.
DELETE FROM staff_sessions WHERE expires_at < :before;
