-- A Supabase-like database, on top of the local bootstrap: the schemas auth and storage and what is
-- in them belong to roles that the migrating one is no member of, and that one is no superuser.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['supabase_auth_admin NOLOGIN', 'supabase_storage_admin NOLOGIN',
                                'company LOGIN', 'company_bypassing LOGIN BYPASSRLS',
                                'company_app LOGIN', 'rls_app LOGIN', 'rls_user LOGIN', 'rls_visitor LOGIN'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = split_part(role, ' ', 1)) THEN
            EXECUTE 'CREATE ROLE ' || role;
        END IF;
    END LOOP;
END
$$;
GRANT service_role TO rls_app;
GRANT authenticated TO rls_user;
GRANT anon TO rls_visitor;

ALTER SCHEMA auth OWNER TO supabase_auth_admin;
ALTER TABLE auth.users OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
ALTER SCHEMA storage OWNER TO supabase_storage_admin;
ALTER TABLE storage.buckets OWNER TO supabase_storage_admin;
ALTER TABLE storage.objects OWNER TO supabase_storage_admin;
ALTER FUNCTION storage.protect_delete() OWNER TO supabase_storage_admin;

-- company has what the role postgres of Supabase has; company_bypassing also looks past row-level
-- security, as that role does since 2023.
GRANT USAGE ON SCHEMA auth, storage TO company, company_bypassing;
GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON auth.users TO company, company_bypassing;
GRANT ALL ON storage.buckets, storage.objects TO company, company_bypassing;
GRANT CREATE, USAGE ON SCHEMA public TO company, company_bypassing;
ALTER DEFAULT PRIVILEGES FOR ROLE company, company_bypassing IN SCHEMA public
    GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE company, company_bypassing IN SCHEMA public
    GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
