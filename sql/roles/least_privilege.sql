-- The login of web, clock and workers that may work on rows and do nothing else: no table is made, changed,
-- emptied or dropped by it, no line of the audit log changed. Run it as the database's owner, after the
-- migrations, and again after each further one:
--     psql "$OWNERS_URL" -v ON_ERROR_STOP=1 -f sql/roles/least_privilege.sql
-- then give it a password, \password studio_ops_app, and put it into DATABASE_URL. Migrations go on being run
-- by the owner: DATABASE_URL="$OWNERS_URL" python -m jobs migrate.
--
-- It is no member of service_role, which on Supabase may empty every table of the company's: it gets what
-- service_role has of SELECT, INSERT, UPDATE and DELETE, and policies of its own.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'studio_ops_app') THEN
        CREATE ROLE studio_ops_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 200;
    END IF;
    IF (SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
        FROM pg_roles WHERE rolname = 'studio_ops_app') THEN
        RAISE EXCEPTION 'studio_ops_app may do more than it should; take that from it, or drop it, and run this again';
    END IF;
END
$$;

DO $$
DECLARE
    tab regclass;
    place text;
    name text;
    may text;
    denied text[];
BEGIN
    FOREACH place IN ARRAY ARRAY['public', 'storage', 'auth'] LOOP
        CONTINUE WHEN to_regnamespace(place) IS NULL;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO studio_ops_app', place);
        FOR tab, name IN SELECT c.oid::regclass, c.relname FROM pg_class c
                         WHERE c.relnamespace = place::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') LOOP
            denied := CASE WHEN place <> 'public' THEN ARRAY['INSERT', 'UPDATE', 'DELETE']
                           WHEN name = 'schema_migrations' THEN ARRAY['INSERT', 'UPDATE', 'DELETE']
                           WHEN name = 'audit_log' THEN ARRAY['UPDATE', 'DELETE']
                           WHEN name = 'lora_models' THEN ARRAY['DELETE']
                           ELSE ARRAY[]::text[] END;
            FOREACH may IN ARRAY ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] LOOP
                IF has_table_privilege('service_role', tab, may) AND may <> ALL (denied) THEN
                    EXECUTE format('GRANT %s ON %s TO studio_ops_app', may, tab);
                END IF;
            END LOOP;
            CONTINUE WHEN place <> 'public' OR NOT (SELECT relrowsecurity FROM pg_class WHERE oid = tab);
            EXECUTE format('DROP POLICY IF EXISTS "Studio Ops works here" ON %s', tab);
            EXECUTE format('CREATE POLICY "Studio Ops works here" ON %s FOR ALL TO studio_ops_app'
                           ' USING (true) WITH CHECK (true)', tab);
        END LOOP;
    END LOOP;
    EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM studio_ops_app', current_database());
END
$$;

GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO studio_ops_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO studio_ops_app;
REVOKE CREATE ON SCHEMA public FROM studio_ops_app;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- A statement that hangs, or a transaction that is left open, holds up nobody for long.
ALTER ROLE studio_ops_app SET statement_timeout = '15min';
ALTER ROLE studio_ops_app SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE studio_ops_app SET lock_timeout = '1min';
