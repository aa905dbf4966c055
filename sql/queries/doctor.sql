-- name: login
-- How the database sees this login: its name, version, and whether row-level security hides rows from it.
SELECT current_user AS name, current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
           OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'public.generations'::regclass),
                          'USAGE')
           OR coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = 'service_role'),
                       false) AS sees_all_rows,
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
