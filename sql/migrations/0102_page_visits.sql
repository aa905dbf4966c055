-- How many people's sessions with the pages were begun in each hour, and how many of those met an error.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.page_visits (
    hour timestamptz PRIMARY KEY,
    sessions int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0
);
ALTER TABLE public.page_visits ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.page_visits FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all page_visits" ON public.page_visits;
        CREATE POLICY "Service can manage all page_visits" ON public.page_visits
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.page_visits TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
