-- The people who work here, their roles, and their sign-ins.

SET lock_timeout = '5s';

-- Who may come in. The address is the one that the company's sign-in has verified, in lower case.
CREATE TABLE IF NOT EXISTS public.staff (
    email text PRIMARY KEY CHECK (email = lower(email) AND email LIKE '%_@_%'),
    name text NOT NULL DEFAULT '',
    roles text[] NOT NULL CHECK (roles <@ ARRAY['viewer', 'support', 'product', 'operations', 'admin']),
    active boolean NOT NULL DEFAULT true,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- One row a sign-in. `key` is a hash of issuer, subject and the login's nonce, so that a cookie that was
-- copied names the same row, and one that has ended stays ended. `seen_at` is when the person last did something.
CREATE TABLE IF NOT EXISTS public.staff_sessions (
    key text PRIMARY KEY,
    email text NOT NULL REFERENCES public.staff (email),
    name text NOT NULL DEFAULT '',
    address text,
    began_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text,
    ended_why text CHECK (ended_why IN ('signed_out', 'ended_by_admin', 'deactivated'))
);
CREATE INDEX IF NOT EXISTS staff_sessions_open ON public.staff_sessions (email, began_at DESC)
    WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS staff_sessions_past ON public.staff_sessions (expires_at);

-- Where a person's act came from: the browser's address, as the proxy tells it.
ALTER TABLE public.audit_log ADD COLUMN IF NOT EXISTS address text;

ALTER TABLE public.staff ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.staff_sessions ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['staff', 'staff_sessions'] LOOP
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role');
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       'Service can manage all ' || tab, tab);
        EXECUTE format('GRANT %s ON public.%I TO service_role',
                       CASE tab WHEN 'staff' THEN 'SELECT, INSERT, UPDATE'
                                ELSE 'SELECT, INSERT, UPDATE, DELETE' END, tab);
    END LOOP;
END
$$;

SET statement_timeout = 0;
-- What the audit log is narrowed by; each ends in the order in which its lines are shown.
CREATE INDEX IF NOT EXISTS audit_log_who ON public.audit_log (actor_name, at, id);
CREATE INDEX IF NOT EXISTS audit_log_what ON public.audit_log (action, at, id);
CREATE INDEX IF NOT EXISTS audit_log_which ON public.audit_log (object_id, at, id);
CREATE INDEX IF NOT EXISTS audit_log_when ON public.audit_log (at, id);
RESET statement_timeout;

RESET lock_timeout;
