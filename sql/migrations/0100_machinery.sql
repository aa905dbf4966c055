-- Jobs that people pause or ask for, and what was taken over from workers that died.

SET lock_timeout = '5s';

-- A run that a person asked for, once an id however often pressed; NULL: a clock's.
ALTER TABLE public.job_runs
    ADD COLUMN IF NOT EXISTS asked_id uuid,
    ADD COLUMN IF NOT EXISTS asked_by text;
CREATE UNIQUE INDEX IF NOT EXISTS job_runs_asked ON public.job_runs (asked_id) WHERE asked_id IS NOT NULL;

-- No clock begins the job until then. Of each job at most one is not ended; one whose time is over holds no more.
CREATE TABLE IF NOT EXISTS public.job_pauses (
    id uuid PRIMARY KEY,
    job text NOT NULL,
    reason text NOT NULL,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text
);
ALTER TABLE public.job_pauses ENABLE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX IF NOT EXISTS job_pauses_open ON public.job_pauses (job) WHERE ended_at IS NULL;

-- Work in the hands of a worker that died, and who began it anew. `begun_anew` is false where its twin waited already.
CREATE TABLE IF NOT EXISTS public.work_takeovers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    task text NOT NULL,
    queue text NOT NULL,
    subject text,
    lost_by text,                                 -- host:pid; NULL: nobody knows
    found_by text NOT NULL,
    begun_anew boolean NOT NULL
);
ALTER TABLE public.work_takeovers ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['job_pauses', 'work_takeovers'] LOOP
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
            EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                           'Service can manage all ' || tab, tab);
            EXECUTE format('GRANT %s ON public.%I TO service_role',
                           CASE tab WHEN 'job_pauses' THEN 'SELECT, INSERT, UPDATE'
                                    ELSE 'SELECT, INSERT, DELETE' END, tab);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT USAGE, SELECT ON SEQUENCE public.work_takeovers_id_seq TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
