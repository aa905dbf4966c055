-- name: login
-- How the database sees this login: its name, version, and whether row-level security hides rows from it.
SELECT current_user AS name, current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
           OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'public.generations'::regclass),
                          'USAGE')
           OR coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = 'service_role'),
                       false)
           OR EXISTS (SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = 'generations'
                        AND cmd = 'ALL' AND qual = 'true' AND current_user = ANY(roles)) AS sees_all_rows,
       pg_backend_pid() AS pid;

-- name: mode
-- Whether the database takes writes, and what time it is there.
SELECT pg_is_in_recovery() AS is_standby, current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_database() AS name, clock_timestamp() AS now;

-- name: applied
-- The migrations that have been applied.
SELECT name FROM schema_migrations ORDER BY version;

-- name: findings
-- What the migrations left for a person to do, oldest migration first.
SELECT code, object, message, remedy FROM migration_findings WHERE is_open ORDER BY migration, code, object LIMIT 50;

-- name: pooler
-- Settings that outlive a transaction behind a session port, and vanish behind a transaction pooler.
SELECT set_config('application_name', :marker, false) AS marker;

-- name: marker
-- Whether the session's own setting is still there.
SELECT current_setting('application_name') AS marker, pg_backend_pid() AS pid;

-- name: tables_without_security
-- Of these tables those whose row-level security is off.
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
  AND c.relname = ANY(CAST(:names AS text[])) ORDER BY c.relname;

-- name: tables_without_policy
-- Of these tables those that service_role, where there is one without a bypass, is let into by no policy.
SELECT c.relname AS name FROM pg_class c
JOIN pg_roles r ON r.rolname = 'service_role' AND NOT r.rolbypassrls AND NOT r.rolsuper
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
  AND c.relname = ANY(CAST(:names AS text[]))
  AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND (r.oid = ANY(p.polroles) OR 0 = ANY(p.polroles)))
ORDER BY c.relname;

-- name: missing_indexes
-- Of these indexes those that are not there.
SELECT n AS name FROM unnest(CAST(:names AS text[])) AS n
WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = n AND c.relnamespace = 'public'::regnamespace
                    AND c.relkind IN ('i', 'I')) ORDER BY n;

-- name: broken_indexes
-- Indexes that a build left behind unfinished.
SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid ORDER BY c.relname;
