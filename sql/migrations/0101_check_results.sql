-- What the checks of the page Configuration last said, and when.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.check_results (
    key text PRIMARY KEY,
    ended_at timestamptz NOT NULL,
    took_ms int NOT NULL,
    verdicts jsonb NOT NULL,
    asked_by text NOT NULL
);
ALTER TABLE public.check_results ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.check_results FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all check_results" ON public.check_results;
        CREATE POLICY "Service can manage all check_results" ON public.check_results
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE ON public.check_results TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
