-- A mark says what has changed, so that the hours that somebody writes in can be counted without reading
-- their rows: what was counted, and what the marks add to it. A mark that says nothing, as a bulk change
-- or an earlier version leaves it, still means that the hour's rows have to be read. An earlier version
-- reads the hour of either.

SET lock_timeout = '5s';

-- So many generations (n: 1 or -1) are more in that hour, of this kind and model, at this place.
ALTER TABLE public.delivery_dirty_hours
    ADD COLUMN IF NOT EXISTS kind text,
    ADD COLUMN IF NOT EXISTS model text,
    ADD COLUMN IF NOT EXISTS stand text,
    ADD COLUMN IF NOT EXISTS bucket int,
    ADD COLUMN IF NOT EXISTS failure text,
    ADD COLUMN IF NOT EXISTS n int;
CREATE INDEX IF NOT EXISTS delivery_dirty_hours_whole ON public.delivery_dirty_hours (hour) WHERE n IS NULL;

-- What a generation is counted as; no row for one that is not followed.
CREATE OR REPLACE FUNCTION public.generation_outcome(
    p_begun timestamptz, p_kind text, p_model text, p_state text, p_delivered timestamptz,
    p_category text, p_code text, p_message text
) RETURNS TABLE (hour timestamptz, kind text, model text, stand text, bucket int, failure text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('1 hour', p_begun, TIMESTAMPTZ '2000-01-01 00:00:00+00'),
           public.generation_kind(p_kind, p_model),
           left(coalesce(p_model, ''), 120),
           CASE WHEN p_state IN ('delivered', 'failed', 'lost', 'needs_attention') THEN p_state ELSE 'in_flight' END,
           CASE WHEN p_state = 'delivered' THEN public.generation_time_bucket(p_begun, p_delivered) END,
           CASE WHEN p_state IN ('failed', 'lost', 'needs_attention')
                THEN public.generation_failure(p_state, p_category, p_code, p_message) END
    WHERE p_state IS NOT NULL
$$;
GRANT EXECUTE ON FUNCTION public.generation_outcome(timestamptz, text, text, text, timestamptz, text, text, text)
    TO PUBLIC;

-- Writes down what a change of a row changes in the numbers. It never refuses a write; an hour that could
-- not be marked is counted again by the job's own round all the same.
CREATE OR REPLACE FUNCTION public.studio_ops_mark_hours() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
DECLARE
    -- A transaction that changes more writes down only which hours it changes.
    most CONSTANT int := 100;
    written int;
    gone public.delivery_dirty_hours;
    came public.delivery_dirty_hours;
    one public.delivery_dirty_hours;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO public.delivery_dirty_hours (hour) VALUES ('-infinity');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        SELECT o.*, -1
        INTO gone.hour, gone.kind, gone.model, gone.stand, gone.bucket, gone.failure, gone.n
        FROM public.generation_outcome(
            OLD.created_at::timestamptz, OLD.kind::text, OLD.model::text, OLD.delivery_state, OLD.delivered_at,
            OLD.failure_category, OLD.failure_code, coalesce(OLD.failure_message, OLD.error::text)) o;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT o.*, 1
        INTO came.hour, came.kind, came.model, came.stand, came.bucket, came.failure, came.n
        FROM public.generation_outcome(
            NEW.created_at::timestamptz, NEW.kind::text, NEW.model::text, NEW.delivery_state, NEW.delivered_at,
            NEW.failure_category, NEW.failure_code, coalesce(NEW.failure_message, NEW.error::text)) o;
    END IF;
    IF (gone.hour, gone.kind, gone.model, gone.stand, gone.bucket, gone.failure)
       IS NOT DISTINCT FROM (came.hour, came.kind, came.model, came.stand, came.bucket, came.failure) THEN
        RETURN NULL;
    END IF;
    written := coalesce(nullif(current_setting('studio_ops.marks', true), '')::int, 0);
    FOREACH one IN ARRAY ARRAY[gone, came] LOOP
        CONTINUE WHEN one.hour IS NULL OR NOT isfinite(one.hour);
        IF written < most THEN
            INSERT INTO public.delivery_dirty_hours (hour, kind, model, stand, bucket, failure, n)
            VALUES (one.hour, one.kind, one.model, one.stand, one.bucket, one.failure, one.n);
        ELSIF one.hour::text IS DISTINCT FROM current_setting('studio_ops.marked_hour', true) THEN
            INSERT INTO public.delivery_dirty_hours (hour) VALUES (one.hour);
            PERFORM set_config('studio_ops.marked_hour', one.hour::text, true);
        END IF;
        written := written + 1;
    END LOOP;
    PERFORM set_config('studio_ops.marks', written::text, true);
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NULL;
END
$$;

RESET lock_timeout;
