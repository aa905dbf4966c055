-- Alerts, and what a delivery remembers of its task, its link and its customer's status.

SET lock_timeout = '5s';

-- One row for each time that a cause was there. `subject` tells causes of one kind apart; of each at
-- most one is open. `count` is how many rows it is about, `evidence` which, as far as a person wants to
-- see. Acknowledged ones are off people's lists until they have grown to twice their size.
CREATE TABLE IF NOT EXISTS public.alerts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    subject text NOT NULL DEFAULT '',
    severity text NOT NULL,                       -- critical, warning
    count int NOT NULL DEFAULT 1,
    evidence jsonb NOT NULL DEFAULT '{}',
    opened_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    acknowledged_count int,
    note text,
    resolved_at timestamptz                       -- NULL: open
);
ALTER TABLE public.alerts ENABLE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX IF NOT EXISTS alerts_open ON public.alerts (kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX IF NOT EXISTS alerts_resolved ON public.alerts (kind, subject, resolved_at DESC)
    WHERE resolved_at IS NOT NULL;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.alerts FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all alerts" ON public.alerts;
        CREATE POLICY "Service can manage all alerts" ON public.alerts
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.alerts TO service_role;
    END IF;
END
$$;

ALTER TABLE public.generations
    ADD COLUMN IF NOT EXISTS link_renewed_at timestamptz,        -- when KIE had its last word on a fresh link
    ADD COLUMN IF NOT EXISTS task_number int NOT NULL DEFAULT 0, -- how often another task took its place
    ADD COLUMN IF NOT EXISTS status_differs_at timestamptz;      -- since when status contradicts an ended delivery

SET statement_timeout = 0;
-- Nearly always empty; on a large table see 0008_indexes.sql for building it beforehand.
CREATE INDEX IF NOT EXISTS generations_status_differs ON public.generations (status_differs_at)
    WHERE status_differs_at IS NOT NULL;
RESET statement_timeout;

-- The status that customers should read beside an ended delivery; NULL where any will do.
CREATE OR REPLACE FUNCTION public.generation_ended_status(state text, asset_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN state = 'delivered' AND btrim(asset_url) <> '' THEN 'success'
                WHEN state IN ('failed', 'lost') THEN 'failed' END
$$;
GRANT EXECUTE ON FUNCTION public.generation_ended_status(text, text) TO PUBLIC;

-- Notes two things that only the change itself shows: that another task took the place of one that was
-- there, so that its files get paths of their own; and that another system's status contradicts what the
-- delivery came to, so that a job puts it right. It never refuses a write.
CREATE OR REPLACE FUNCTION public.studio_ops_note_generation() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    word text;
BEGIN
    IF TG_OP = 'UPDATE' AND btrim(OLD.task_id) <> '' AND NEW.task_id IS DISTINCT FROM OLD.task_id THEN
        NEW.task_number := OLD.task_number + 1;
    END IF;
    IF NEW.delivery_state IN ('delivered', 'failed', 'lost') THEN
        word := public.generation_status(NEW.status::text);
        IF word <> public.generation_ended_status(NEW.delivery_state, NEW.asset_url::text) THEN
            NEW.status_differs_at := coalesce(NEW.status_differs_at, now());
        ELSE
            NEW.status_differs_at := NULL;
        END IF;
    ELSE
        NEW.status_differs_at := NULL;
    END IF;
    RETURN NEW;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NEW;
END
$$;

-- The name sorts behind the trigger that follows rows, so that this one sees the state it came to.
CREATE OR REPLACE TRIGGER zz_studio_ops_note_generation BEFORE INSERT OR UPDATE ON public.generations
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_note_generation();

RESET lock_timeout;
