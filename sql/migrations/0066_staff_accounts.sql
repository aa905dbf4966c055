-- The user that a verified address belongs to. Supabase keeps addresses in lower case and each once, those of
-- single sign-on apart, which several may share; one that was never confirmed is nobody's yet. NULL where there
-- is none, or no auth.users that may be read.

SET lock_timeout = '5s';

CREATE OR REPLACE FUNCTION public.studio_ops_user_of_address(address text) RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    found jsonb;
BEGIN
    IF address IS NULL OR address = '' THEN
        RETURN NULL;
    END IF;
    BEGIN
        -- By the index that Supabase has for this.
        SELECT to_jsonb(u) INTO found FROM auth.users u
        WHERE u.email = lower(address) AND u.is_sso_user = false LIMIT 1;
    EXCEPTION WHEN undefined_column THEN
        SELECT to_jsonb(u) INTO found FROM auth.users u WHERE u.email = lower(address) ORDER BY u.id LIMIT 1;
    END;
    IF (found ? 'email_confirmed_at' AND found ->> 'email_confirmed_at' IS NULL)
       OR found ->> 'deleted_at' IS NOT NULL THEN
        RETURN NULL;
    END IF;
    RETURN found ->> 'id';
EXCEPTION
    WHEN insufficient_privilege OR undefined_table OR undefined_column OR invalid_schema_name THEN
        RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_user_of_address(text) FROM PUBLIC;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION public.studio_ops_user_of_address(text) FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT EXECUTE ON FUNCTION public.studio_ops_user_of_address(text) TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
