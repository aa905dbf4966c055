-- The rehearsal that stands in this database, if one does: a row at most, gone when it is cleared.
-- Its generations need no column: their ids lie in a range that no other id can lie in.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.rehearsals (
    id int PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    state text NOT NULL CHECK (state IN ('filling', 'ready', 'clearing')),
    seed bigint NOT NULL,
    days int NOT NULL,
    begun_at timestamptz NOT NULL,
    begun_by text NOT NULL,
    filled_at timestamptz,
    usage_taken_at timestamptz[] NOT NULL DEFAULT '{}', -- the counts of storage that are part of it
    traffic_per_minute int NOT NULL DEFAULT 0,
    traffic_since timestamptz,                          -- live generations are made up to here
    traffic_until timestamptz
);
ALTER TABLE public.rehearsals ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.rehearsals FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all rehearsals" ON public.rehearsals;
        CREATE POLICY "Service can manage all rehearsals" ON public.rehearsals
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.rehearsals TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
