-- How much is stored, and what for: one line a bucket and purpose for each time it was counted.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.storage_usage (
    taken_at timestamptz NOT NULL,
    bucket text NOT NULL,
    purpose text NOT NULL,
    files bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (taken_at, bucket, purpose)
);
ALTER TABLE public.storage_usage ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.storage_usage FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all storage_usage" ON public.storage_usage;
        CREATE POLICY "Service can manage all storage_usage" ON public.storage_usage
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.storage_usage TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
