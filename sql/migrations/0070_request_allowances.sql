-- How much each caller of the API may still ask, shared by all processes. Unlogged: what a crash of the server
-- forgets is full again a minute later anyway, and no answer waits for a disk.

SET lock_timeout = '5s';

CREATE UNLOGGED TABLE IF NOT EXISTS public.request_allowances (
    kind text NOT NULL,                    -- what is asked, as reads or trainings
    caller text NOT NULL,
    tokens double precision NOT NULL,      -- as of `at`; they come back with time
    granted int NOT NULL,                  -- what the last one who asked got of them
    at timestamptz NOT NULL,
    PRIMARY KEY (kind, caller)
);

-- What a caller has by now.
CREATE OR REPLACE FUNCTION public.studio_ops_refilled(
    a public.request_allowances, p_most int, p_per_second double precision
) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT least(p_most, a.tokens + greatest(0, extract(epoch FROM now() - a.at)) * p_per_second)::double precision
$$;

ALTER TABLE public.request_allowances ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.request_allowances FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all request_allowances" ON public.request_allowances;
        CREATE POLICY "Service can manage all request_allowances" ON public.request_allowances
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.request_allowances TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
