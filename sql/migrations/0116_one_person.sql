-- Who works here went by their staff id until they had an account in the company's application. What they made
-- under either counts together: in the quota of a month, for names, and in the company's own counts.

SET lock_timeout = '5s';

-- The creators' keys of staff whose verified address has an account, and that account.
CREATE OR REPLACE FUNCTION public.studio_ops_staff_accounts() RETURNS TABLE (creator_key text, user_id uuid)
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT a.creator_key, a.user_id
    FROM (SELECT 'staff:' || s.email AS creator_key, public.studio_ops_user_of_address(s.email) AS user_id
          FROM public.staff s) a
    WHERE a.user_id IS NOT NULL
$$;
REVOKE ALL ON FUNCTION public.studio_ops_staff_accounts() FROM PUBLIC;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION public.studio_ops_staff_accounts() FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT EXECUTE ON FUNCTION public.studio_ops_staff_accounts() TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
