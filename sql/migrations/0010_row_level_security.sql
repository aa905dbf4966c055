-- Row-level security. Users see and write their own generations and see the shared LoRAs; everything
-- else is for service_role and its members, which the app's own login is one of. On a plain Postgres
-- without these roles, only the owner gets in, and a finding says so.
--
-- Roles of the company's own that were granted a table which was open until now keep what they had.

SET lock_timeout = '5s';

DELETE FROM public.migration_findings WHERE migration = 10 AND is_open;

CREATE OR REPLACE FUNCTION pg_temp.has_role(name text) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
$$;

-- Gives every role of the company's own that holds `privilege` on the table a policy of its own for it.
CREATE OR REPLACE FUNCTION pg_temp.keep_access(tab text, privilege text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
    policy text;
BEGIN
    FOR found IN
        SELECT DISTINCT r.rolname
        FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = to_regclass('public.' || tab) AND acl.privilege_type = privilege
          AND acl.grantee <> c.relowner AND NOT r.rolsuper AND NOT r.rolbypassrls
          AND r.rolname NOT IN ('anon', 'authenticated')
          AND NOT EXISTS (SELECT FROM pg_roles s WHERE s.rolname = 'service_role'
                          AND pg_has_role(r.oid, s.oid, 'MEMBER'))
    LOOP
        policy := format('%s may still %s', found.rolname, lower(privilege));
        CONTINUE WHEN EXISTS (SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = tab
                              AND policyname = left(policy, 63));
        EXECUTE format('CREATE POLICY %I ON public.%I FOR %s TO %I %s', left(policy, 63), tab, privilege,
                       found.rolname, CASE privilege
                           WHEN 'INSERT' THEN 'WITH CHECK (true)'
                           WHEN 'UPDATE' THEN 'USING (true) WITH CHECK (true)'
                           ELSE 'USING (true)' END);
        PERFORM public.studio_ops_finding(
            10, 'access_kept', format('%s %s %s', tab, found.rolname, lower(privilege)),
            format('%s had no row-level security for it; %s may still %s all its rows.',
                   tab, found.rolname, lower(privilege)),
            format('When it no longer needs that: DROP POLICY %I ON public.%I', left(policy, 63), tab), p_is_open => false);
    END LOOP;
END
$$;

-- Removes a policy that lets everyone in.
CREATE OR REPLACE FUNCTION pg_temp.close_policy(tab text, policy text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    command text;
    privilege text;
BEGIN
    SELECT cmd INTO command FROM pg_policies
    WHERE schemaname = 'public' AND tablename = tab AND policyname = policy AND roles = '{public}';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOREACH privilege IN ARRAY CASE command WHEN 'ALL' THEN ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
                               ELSE ARRAY[command] END LOOP
        PERFORM pg_temp.keep_access(tab, privilege);
    END LOOP;
    EXECUTE format('DROP POLICY %I ON public.%I', policy, tab);
    PERFORM public.studio_ops_finding(
        10, 'policy_closed', tab || ' ' || policy,
        format('The policy "%s" on %s applied to everyone; it is gone, and service_role has one of its own.',
               policy, tab), p_is_open => false);
END
$$;

-- A policy for signed-in users; one of that name that exists already is the company's and stays.
CREATE OR REPLACE FUNCTION pg_temp.user_policy(tab text, policy text, rule text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_temp.has_role('authenticated') OR EXISTS (
        SELECT FROM pg_policies WHERE schemaname = 'public' AND tablename = tab AND policyname = policy) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE POLICY %I ON public.%I %s', policy, tab, rule);
EXCEPTION
    WHEN undefined_function OR invalid_schema_name OR insufficient_privilege OR undefined_column THEN
        PERFORM public.studio_ops_finding(
            10, 'policy_missing', tab || ' ' || policy,
            format('The policy "%s" on %s could not be made: %s', policy, tab, SQLERRM),
            format('Mend that, then: CREATE POLICY %I ON public.%I %s', policy, tab, rule));
END
$$;

-- Every table: security on, service_role in.
DO $$
DECLARE
    companys text[] := ARRAY['generations', 'lora_models', 'lora_training_jobs', 'user_training_limits', 'jobs',
                             'job_costs'];
    ours text[] := ARRAY['delivery_events', 'callback_inbox', 'stored_files', 'job_runs', 'process_heartbeats',
                         'provider_limits', 'audit_log', 'migration_findings', 'schema_migrations',
                         'procrastinate_jobs', 'procrastinate_events', 'procrastinate_workers',
                         'procrastinate_periodic_defers'];
    tab text;
    other text;
    rights text;
    seq regclass;
BEGIN
    FOREACH tab IN ARRAY companys || ours LOOP
        CONTINUE WHEN to_regclass('public.' || tab) IS NULL;
        IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('public.' || tab)) THEN
            PERFORM pg_temp.keep_access(tab, p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p;
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', tab);
            PERFORM public.studio_ops_finding(
                10, 'row_security_enabled', tab,
                format('Row-level security was off on %s and is on now: anon, authenticated and whoever was let'
                       ' in as PUBLIC see only what a policy lets them.', tab),
                'If the customers'' application reads or writes it in its users'' names, add policies for that.',
                p_is_open => false);
        END IF;
        FOREACH other IN ARRAY ARRAY['anon', 'authenticated'] LOOP
            IF tab = ANY (ours) AND pg_temp.has_role(other) THEN
                EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, other);
            END IF;
        END LOOP;
        CONTINUE WHEN NOT pg_temp.has_role('service_role');
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       'Service can manage all ' || tab, tab);
        rights := CASE tab WHEN 'audit_log' THEN 'SELECT, INSERT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END;
        EXECUTE format('GRANT %s ON public.%I TO service_role', rights, tab);
        FOR seq IN
            SELECT d.objid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
            WHERE d.refobjid = to_regclass('public.' || tab) AND d.classid = 'pg_class'::regclass
              AND d.deptype IN ('a', 'i')
        LOOP
            EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO service_role', seq);
        END LOOP;
    END LOOP;
    IF pg_temp.has_role('service_role') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON public.audit_log FROM service_role;
    ELSE
        PERFORM public.studio_ops_finding(
            10, 'no_service_role', 'service_role',
            'There is no role service_role, so only the tables'' owner can read and write them.',
            'CREATE ROLE service_role NOLOGIN; run this file again; GRANT service_role TO the app''s login.');
    END IF;
    IF NOT pg_temp.has_role('authenticated') THEN
        PERFORM public.studio_ops_finding(
            10, 'no_authenticated_role', 'authenticated',
            'There is no role authenticated, so no policies for signed-in users were made.',
            'Where customers read these tables themselves: create the role and run this file again.');
    END IF;
END
$$;

-- The queue's functions run with their caller's rights; through the HTTP gateway they are nobody's.
DO $$
DECLARE
    function regprocedure;
    other text;
BEGIN
    FOR function IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
          AND (proname LIKE 'procrastinate\_%' OR proname IN ('studio_ops_finding', 'studio_ops_person_name'))
          AND pg_has_role(current_user, proowner, 'USAGE')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        FOREACH other IN ARRAY ARRAY['anon', 'authenticated'] LOOP
            IF pg_temp.has_role(other) THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', function, other);
            END IF;
        END LOOP;
        IF pg_temp.has_role('service_role') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', function);
        END IF;
    END LOOP;
END
$$;

-- "Service" policies of the documents that apply to everyone, and those on LoRAs that take no notice
-- of private and hidden.
SELECT pg_temp.close_policy('generations', 'Service can insert all generations'),
       pg_temp.close_policy('generations', 'Service can update all generations'),
       pg_temp.close_policy('lora_models', 'All users can view all LoRAs');
DROP POLICY IF EXISTS "Users can update own LoRAs" ON public.lora_models;

SELECT pg_temp.user_policy('generations', 'Users can view own generations',
                           'FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('generations', 'Users can insert own generations',
                           'FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('lora_models', 'Signed-in users can view shared LoRAs',
                           'FOR SELECT TO authenticated USING ((NOT is_private AND hidden_at IS NULL)'
                           ' OR (SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('lora_models', 'Users can insert own LoRAs',
                           'FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('lora_models', 'Users can update own LoRAs',
                           'FOR UPDATE TO authenticated USING ((SELECT auth.uid()) = user_id AND hidden_at IS NULL)'
                           ' WITH CHECK ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('lora_training_jobs', 'Users can view own training jobs',
                           'FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('user_training_limits', 'Users can view own training limits',
                           'FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('jobs', 'Users can view own jobs',
                           'FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('jobs', 'Users can insert own jobs',
                           'FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = user_id)'),
       pg_temp.user_policy('jobs', 'Users can update own jobs',
                           'FOR UPDATE TO authenticated USING ((SELECT auth.uid()) = user_id)');

DO $$
BEGIN
    IF pg_temp.has_role('authenticated') THEN
        GRANT SELECT, INSERT ON public.generations TO authenticated;
        GRANT SELECT, INSERT, UPDATE ON public.lora_models TO authenticated;
        GRANT SELECT ON public.lora_training_jobs, public.user_training_limits TO authenticated;
        GRANT SELECT, INSERT, UPDATE ON public.jobs TO authenticated;
    END IF;
END
$$;

-- Further policies of the company's own that let everyone at these tables are named, not touched.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT tablename, policyname, cmd FROM pg_policies
        WHERE schemaname = 'public' AND permissive = 'PERMISSIVE'
          AND tablename IN ('generations', 'lora_models', 'lora_training_jobs', 'user_training_limits', 'jobs',
                            'job_costs')
          AND roles && ARRAY['public', 'anon', 'authenticated']::name[] AND (qual = 'true' OR with_check = 'true')
    LOOP
        PERFORM public.studio_ops_finding(
            10, 'open_policy', found.tablename || ' ' || found.policyname,
            format('The policy "%s" lets everyone %s rows of %s.', found.policyname,
                   CASE found.cmd WHEN 'ALL' THEN 'read and write' ELSE lower(found.cmd) END, found.tablename),
            format('If nobody needs it: DROP POLICY %I ON public.%I', found.policyname, found.tablename));
    END LOOP;
END
$$;

RESET lock_timeout;
