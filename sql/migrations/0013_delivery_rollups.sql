-- What became of generations, counted by the hour and the day they were begun in, so that pages need
-- not count rows. A trigger marks an hour whose rows changed; a job counts marked hours anew, and
-- meanwhile their rows are what is read. Rows that were here before are counted by the job, newest first.

SET lock_timeout = '5s';
SET statement_timeout = 0;

-- One number: of generations begun in the hour or day from `start` on, how many of this kind and model
-- stand at `key`. measure: state (delivered, failed, lost, needs_attention, in_flight), time (the bucket of
-- the time to deliver), failure (what failed, in generation_failure's words).
CREATE TABLE IF NOT EXISTS public.delivery_rollup (
    measure text NOT NULL,
    grain text NOT NULL,
    start timestamptz NOT NULL,
    kind text NOT NULL,
    model text NOT NULL,
    key text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (measure, grain, start, kind, model, key)
);
ALTER TABLE public.delivery_rollup ENABLE ROW LEVEL SECURITY;

-- Hours whose rows changed since they were counted. Writers only ever add a line of their own: two of
-- them never wait for each other, and a line that is not committed yet cannot be taken away by the job.
-- The hour -infinity stands for all of them.
CREATE TABLE IF NOT EXISTS public.delivery_dirty_hours (
    hour timestamptz NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    marked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hour, id)
);
ALTER TABLE public.delivery_dirty_hours ENABLE ROW LEVEL SECURITY;

-- How far back all hours have been counted, and which was last counted again to be sure.
CREATE TABLE IF NOT EXISTS public.delivery_rollup_state (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    covered_from timestamptz,
    checked_hour timestamptz,
    rolled_at timestamptz
);
ALTER TABLE public.delivery_rollup_state ENABLE ROW LEVEL SECURITY;
INSERT INTO public.delivery_rollup_state (id) VALUES (true) ON CONFLICT DO NOTHING;

-- The kind that a row is counted under; many of the company's rows name none.
CREATE OR REPLACE FUNCTION public.generation_kind(kind text, model text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(left(kind, 40), ''),
                    CASE WHEN strpos(model, 'kling') > 0 OR strpos(model, 'video') > 0 THEN 'video' ELSE 'image' END)
$$;
GRANT EXECUTE ON FUNCTION public.generation_kind(text, text) TO PUBLIC;

-- What makes two failures the same: state, category, code, and the message without what differs by row.
CREATE OR REPLACE FUNCTION public.generation_failure(state text, category text, code text, message text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT concat_ws(chr(31), state, coalesce(left(category, 40), ''), coalesce(left(code, 40), ''),
        left(btrim(regexp_replace(regexp_replace(regexp_replace(
            left(coalesce(message, ''), 400),
            'https?://[^[:space:]]+', '<url>', 'g'),
            '[0-9a-fA-F]{8}[0-9a-fA-F-]{4,}|task_[0-9A-Za-z_]+', '<id>', 'g'),
            '[0-9]+([.,][0-9]+)*', '<n>', 'g')), 160))
$$;
GRANT EXECUTE ON FUNCTION public.generation_failure(text, text, text, text) TO PUBLIC;

-- A failure group's name, short enough for an address.
CREATE OR REPLACE FUNCTION public.generation_signature(model text, failure text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(md5(left(coalesce(model, ''), 120) || chr(31) || failure), 12)
$$;
GRANT EXECUTE ON FUNCTION public.generation_signature(text, text) TO PUBLIC;

-- The bucket of a time to deliver: each is 15 % wider than the one before, the first ends at 0.115 s.
CREATE OR REPLACE FUNCTION public.generation_time_bucket(begun timestamptz, delivered timestamptz) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN isfinite(begun) AND isfinite(delivered) THEN
        floor(ln(greatest(extract(epoch FROM delivered - begun)::float8, 0.1) * 10) / ln(1.15::float8))::int END
$$;
GRANT EXECUTE ON FUNCTION public.generation_time_bucket(timestamptz, timestamptz) TO PUBLIC;

-- Marks the hours that a change of a row touches. It never refuses a write; an hour that could not be
-- marked is counted again by the job's own round all the same.
CREATE OR REPLACE FUNCTION public.studio_ops_mark_hours() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
DECLARE
    hours timestamptz[] := '{}';
    one timestamptz;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO public.delivery_dirty_hours (hour) VALUES ('-infinity');
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.delivery_state IS NOT DISTINCT FROM OLD.delivery_state
           AND NEW.created_at IS NOT DISTINCT FROM OLD.created_at
           AND NEW.kind::text IS NOT DISTINCT FROM OLD.kind::text
           AND NEW.model::text IS NOT DISTINCT FROM OLD.model::text
           AND NEW.delivered_at IS NOT DISTINCT FROM OLD.delivered_at
           AND (NEW.delivery_state NOT IN ('failed', 'lost', 'needs_attention') OR (
                    NEW.failure_category IS NOT DISTINCT FROM OLD.failure_category
                AND NEW.failure_code IS NOT DISTINCT FROM OLD.failure_code
                AND NEW.failure_message IS NOT DISTINCT FROM OLD.failure_message
                AND NEW.error::text IS NOT DISTINCT FROM OLD.error::text)) IS NOT FALSE THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.delivery_state IS NOT NULL THEN
        hours := hours || date_trunc('hour', OLD.created_at::timestamptz);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.delivery_state IS NOT NULL THEN
        hours := hours || date_trunc('hour', NEW.created_at::timestamptz);
    END IF;
    FOREACH one IN ARRAY hours LOOP
        -- A transaction that changes many rows of one hour marks it once.
        CONTINUE WHEN one IS NULL OR NOT isfinite(one)
            OR one::text = current_setting('studio_ops.marked_hour', true);
        INSERT INTO public.delivery_dirty_hours (hour) VALUES (one);
        PERFORM set_config('studio_ops.marked_hour', one::text, true);
    END LOOP;
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_mark_hours() FROM PUBLIC;

-- ALWAYS: rows that are restored or replicated change the numbers as well.
CREATE OR REPLACE TRIGGER zz_studio_ops_mark_hours AFTER INSERT OR UPDATE OR DELETE ON public.generations
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_mark_hours();
CREATE OR REPLACE TRIGGER zz_studio_ops_mark_all_hours AFTER TRUNCATE ON public.generations
    FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_mark_hours();
ALTER TABLE public.generations ENABLE ALWAYS TRIGGER zz_studio_ops_mark_hours;
ALTER TABLE public.generations ENABLE ALWAYS TRIGGER zz_studio_ops_mark_all_hours;

-- Those that were not delivered, newest first: a few in a hundred. 0008_indexes.sql says how to make an
-- index on a large table without holding other writers up; the same holds for this one.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('public.generations_not_delivered')
               AND NOT indisvalid) THEN
        DROP INDEX public.generations_not_delivered;
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS generations_not_delivered ON public.generations (created_at DESC, id DESC)
    WHERE delivery_state IN ('failed', 'lost', 'needs_attention');

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['delivery_rollup', 'delivery_dirty_hours', 'delivery_rollup_state'] LOOP
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role');
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       'Service can manage all ' || tab, tab);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO service_role', tab);
    END LOOP;
END
$$;

RESET statement_timeout;
RESET lock_timeout;
