-- Rows that other systems write are followed like ours: a trigger fills delivery_state when a row
-- comes without it, and moves it when another system changes what it follows from.

SET lock_timeout = '5s';

-- The delivery state that a row's own words say; NULL when there is nothing to follow: another
-- provider, a status that nobody knows, or no task id yet. A missing provider is KIE, the default.
CREATE OR REPLACE FUNCTION public.generation_delivery_state(
    provider text, status text, task_id text, asset_url text
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN lower(coalesce(provider, 'kie')) <> 'kie' THEN NULL
        WHEN public.generation_status(status) = 'failed' THEN 'failed'
        WHEN public.generation_status(status) = 'success'
            THEN CASE WHEN btrim(asset_url) <> '' THEN 'delivered' ELSE 'awaiting_delivery' END
        WHEN public.generation_status(status) IN ('queued', 'generating') AND btrim(task_id) <> ''
            THEN 'awaiting_provider'
    END
$$;
GRANT EXECUTE ON FUNCTION public.generation_delivery_state(text, text, text, text) TO PUBLIC;

-- Whether another system's change moves a delivery from `state` to `target`. What we know better
-- stays: a paid call under way, a file that is here, a result that is gone.
CREATE OR REPLACE FUNCTION public.generation_may_move(
    state text, target text, another_task boolean, has_file boolean
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN target IS NULL OR target = state THEN false
        WHEN state IS NULL OR target = 'delivered' THEN true
        WHEN state IN ('intent', 'sending') THEN false
        -- What is under way is asked of the provider first: its result may be there all the same.
        WHEN target = 'failed' THEN state = 'delivered' AND NOT has_file
        WHEN target = 'awaiting_delivery' THEN another_task OR state <> 'lost'
        ELSE another_task OR state = 'failed' OR (state = 'delivered' AND NOT has_file)
    END
$$;
GRANT EXECUTE ON FUNCTION public.generation_may_move(text, text, boolean, boolean) TO PUBLIC;

-- It never refuses a write: whatever goes wrong in here, the row is written as its writer wants it.
CREATE OR REPLACE FUNCTION public.studio_ops_follow_generation() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    state text;
    target text;
    another_task boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Set while a migration fills in existing rows, whose times must stay.
        IF current_setting('studio_ops.migrating', true) = 'on' THEN
            RETURN NEW;
        END IF;
        IF NEW.delivery_state IS DISTINCT FROM OLD.delivery_state THEN
            IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
                NEW.updated_at := now();
            END IF;
            RETURN NEW;
        END IF;
        another_task := NEW.task_id IS DISTINCT FROM OLD.task_id;
        IF NOT another_task AND NEW.status IS NOT DISTINCT FROM OLD.status
           AND NEW.asset_url IS NOT DISTINCT FROM OLD.asset_url
           AND NEW.provider IS NOT DISTINCT FROM OLD.provider THEN
            RETURN NEW;
        END IF;
        state := OLD.delivery_state;
    ELSE
        -- Everything is measured from here.
        NEW.created_at := coalesce(NEW.created_at, now());
        IF NEW.delivery_state IS NOT NULL THEN
            RETURN NEW;
        END IF;
    END IF;

    target := public.generation_delivery_state(
        NEW.provider::text, NEW.status::text, NEW.task_id::text, NEW.asset_url::text);
    IF state IN ('awaiting_provider', 'awaiting_delivery') AND target IS DISTINCT FROM 'delivered'
       AND (another_task OR target = 'failed') THEN
        -- Another task is followed from its beginning; whoever works on the old one no longer holds the row.
        IF another_task THEN
            NEW.delivery_state := 'awaiting_provider';
            NEW.result_urls := NULL;
            NEW.submitted_at := NULL;
            NEW.attempt := 0;
            NEW.lease_until := NULL;
            NEW.lease_token := NULL;
        END IF;
        NEW.next_attempt_at := now();
        RETURN NEW;
    END IF;
    IF NOT public.generation_may_move(state, target, another_task, coalesce(btrim(NEW.asset_url) <> '', false))
    THEN
        RETURN NEW;
    END IF;

    NEW.delivery_state := target;
    IF target IN ('awaiting_provider', 'awaiting_delivery') THEN
        NEW.attempt := 0;
        NEW.delivered_at := NULL;
        IF TG_OP = 'INSERT' THEN
            NEW.next_attempt_at := coalesce(NEW.next_attempt_at, now());
        ELSIF NEW.next_attempt_at IS NOT DISTINCT FROM OLD.next_attempt_at THEN
            NEW.next_attempt_at := now();
        END IF;
    ELSE
        NEW.next_attempt_at := NULL;
        NEW.lease_until := NULL;
        NEW.lease_token := NULL;
        IF target = 'delivered' THEN
            NEW.delivered_at := coalesce(NEW.delivered_at, now());
        END IF;
    END IF;
    RETURN NEW;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NEW;
END
$$;

-- The name sorts behind the company's own triggers, so that this one sees what they make of a row.
-- No WHEN and no column list: either would stop the company from changing those columns' types.
CREATE OR REPLACE TRIGGER zz_studio_ops_follow_generation BEFORE INSERT OR UPDATE ON public.generations
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_follow_generation();

RESET lock_timeout;
