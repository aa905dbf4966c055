-- The ledger made complete: every line has its budget, month and amount, lines of ours are never changed, and
-- what pages show of them is counted by a job. Lines of other systems stay theirs, and count.
--
-- On a table of a million lines this takes about ten seconds, while which other writers of it wait; its
-- indexes can be made beforehand, as 0008_indexes.sql says.

SET lock_timeout = '5s';
SET statement_timeout = 0;

ALTER TABLE public.job_costs
    ADD COLUMN IF NOT EXISTS flagged boolean NOT NULL DEFAULT false, -- its price was not known; the note says more
    ADD COLUMN IF NOT EXISTS corrects text;                          -- the id of the line that it puts right
ALTER TABLE public.budget_limits ADD COLUMN IF NOT EXISTS reason text;
ALTER TABLE public.prices ADD COLUMN IF NOT EXISTS set_by text;

-- What changes of lines add to the counts, taken up by a job. Writers only ever add a row of their own, so
-- that they never wait for each other.
CREATE TABLE IF NOT EXISTS public.cost_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope text NOT NULL,
    month date NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    stage text NOT NULL,
    user_id uuid,
    run_id uuid,
    flagged boolean NOT NULL,
    in_totals boolean NOT NULL,                   -- the running total has it already, by the writer's transaction
    settled_usd numeric NOT NULL,
    reserved_usd numeric NOT NULL,
    lines bigint NOT NULL
);

-- Sums of lines: of one budget or of everything, by the day or the month, all together ('all') or by what
-- `dimension` names, whose value is `key`. A day is one of the budget's month.
CREATE TABLE IF NOT EXISTS public.cost_rollup (
    scope text NOT NULL,
    dimension text NOT NULL,
    grain text NOT NULL,
    start date NOT NULL,
    key text NOT NULL,
    settled_usd numeric(16, 4) NOT NULL DEFAULT 0,
    reserved_usd numeric(16, 4) NOT NULL DEFAULT 0,
    lines bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, dimension, grain, start, key)
);
-- The largest parts of a month are read without the thousands of small ones.
CREATE INDEX IF NOT EXISTS cost_rollup_largest
    ON public.cost_rollup (scope, dimension, grain, start, (settled_usd + reserved_usd) DESC, key);

-- When lines were last taken up; NULL: those from before this migration have not been written down yet.
CREATE TABLE IF NOT EXISTS public.cost_fold_state (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    begun_at timestamptz,
    folded_at timestamptz
);

-- More money for one month, said by whom and why, until when.
CREATE TABLE IF NOT EXISTS public.budget_overrides (
    id uuid PRIMARY KEY,
    scope text NOT NULL,
    month date NOT NULL,
    amount_usd numeric(12, 4) NOT NULL CHECK (amount_usd > 0),
    reason text NOT NULL,
    approved_by text NOT NULL,
    approved_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text
);
CREATE INDEX IF NOT EXISTS budget_overrides_month ON public.budget_overrides (scope, month);

-- What a provider's unit costs on a day: fixed by the day's first use, whatever prices say afterwards.
CREATE TABLE IF NOT EXISTS public.credit_rates (
    provider text NOT NULL,
    day date NOT NULL,
    unit_usd numeric(12, 6) NOT NULL,
    version text NOT NULL,
    PRIMARY KEY (provider, day)
);

-- What is left at a provider, as it said itself.
CREATE TABLE IF NOT EXISTS public.provider_balances (
    provider text NOT NULL,
    taken_at timestamptz NOT NULL,
    credits numeric NOT NULL,
    PRIMARY KEY (provider, taken_at)
);

INSERT INTO public.prices (provider, service, unit, unit_usd, valid_from, source) VALUES
    ('kie', 'credit', 'credit', 0.005, '2025-01-01 UTC', 'inferred: FLUX.2 pro is 5 credits and $0.025 an image')
ON CONFLICT (provider, service, valid_from) DO NOTHING;
INSERT INTO public.cost_fold_state (id) VALUES (true) ON CONFLICT DO NOTHING;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['cost_changes', 'cost_rollup', 'cost_fold_state', 'budget_overrides', 'credit_rates',
                               'provider_balances'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', tab);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role');
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       'Service can manage all ' || tab, tab);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO service_role', tab);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT USAGE, SELECT ON SEQUENCE public.cost_changes_id_seq TO service_role;
        -- It returns NULL where its caller may not read auth.users.
        GRANT EXECUTE ON FUNCTION public.studio_ops_person_name(uuid) TO service_role;
    END IF;
END
$$;

-- Dollars of a line that another system wrote in a column of its own; NULL where it has none that is known.
CREATE OR REPLACE FUNCTION public.studio_ops_cost_usd(line jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT round(v::numeric, 4)
    FROM unnest(ARRAY[line ->> 'amount_usd', line ->> 'cost_usd', line ->> 'amount', line ->> 'cost']) WITH ORDINALITY u(v, n)
    WHERE v ~ '^-?[0-9]{1,8}([.][0-9]+)?$' ORDER BY n LIMIT 1
$$;
REVOKE ALL ON FUNCTION public.studio_ops_cost_usd(jsonb) FROM PUBLIC;

-- Gives a line its budget, month, time and amount where its writer named none. It never refuses a write.
-- A line counts as a training's that names a LoRA or says so in its provider, service or stage.
CREATE OR REPLACE FUNCTION public.studio_ops_place_cost() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
DECLARE
    told text;
    at timestamptz;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.amount_usd IS NOT DISTINCT FROM OLD.amount_usd THEN
        told := public.studio_ops_cost_usd(to_jsonb(OLD) - 'amount_usd')::text;
        IF public.studio_ops_cost_usd(to_jsonb(NEW) - 'amount_usd')::text IS DISTINCT FROM told THEN
            NEW.amount_usd := public.studio_ops_cost_usd(to_jsonb(NEW) - 'amount_usd');
        END IF;
    END IF;
    at := coalesce(NEW.occurred_at::timestamptz, NEW.created_at::timestamptz, now());
    IF NOT isfinite(at) OR at < '1970-01-01' OR at > '9000-01-01' THEN
        at := now();
    END IF;
    NEW.occurred_at := coalesce(NEW.occurred_at, at);
    NEW.amount_usd := coalesce(NEW.amount_usd, public.studio_ops_cost_usd(to_jsonb(NEW)));
    told := concat_ws(' ', NEW.provider, NEW.service, NEW.stage);
    NEW.scope := coalesce(nullif(btrim(NEW.scope), ''), CASE
        WHEN NEW.generation_id IS NOT NULL OR told ~* '\mkie\M' THEN 'deliveries'
        WHEN NEW.lora_model_id IS NOT NULL OR told ~* 'lora|train|runpod' THEN 'trainings'
        ELSE 'other' END);
    NEW.month := coalesce(NEW.month, date_trunc('month', at)::date);
    RETURN NEW;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_place_cost() FROM PUBLIC;

-- The day on which a line counts: that of its time, within its budget's month.
CREATE OR REPLACE FUNCTION public.studio_ops_cost_day(month date, at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(greatest((at AT TIME ZONE 'UTC')::date, month), (month + interval '1 month' - interval '1 day')::date)
$$;

-- Writes down what lines add to the counts, or take away again. It never refuses a write.
CREATE OR REPLACE FUNCTION public.studio_ops_note_costs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.cost_changes (scope, month, day, kind, provider, model, stage, user_id, run_id, flagged,
                                         in_totals, settled_usd, reserved_usd, lines)
        SELECT * FROM (
            SELECT c.scope, c.month, public.studio_ops_cost_day(c.month, c.occurred_at::timestamptz),
                   coalesce(left(c.kind, 40), ''), coalesce(left(c.provider, 80), ''),
                   left(coalesce(c.model, c.service, ''), 120), coalesce(left(c.stage, 80), ''), c.user_id, c.run_id,
                   c.flagged, c.reservation_key IS NOT NULL,
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE NOT c.reserving), 0),
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE c.reserving), 0),
                   sum(c.sign)
            FROM (
                SELECT 1 AS sign, l.scope, l.month, l.occurred_at, l.kind, l.provider, l.model, l.service, l.stage,
                       l.user_id, l.run_id, l.flagged, l.reservation_key,
                       CASE WHEN l.amount_usd = 'NaN' THEN 0 ELSE coalesce(l.amount_usd, 0) END AS amount_usd,
                       coalesce(l.kind IN ('reserve', 'release'), false) AS reserving
                FROM new_rows l WHERE l.month IS NOT NULL) c GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) s;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO public.cost_changes (scope, month, day, kind, provider, model, stage, user_id, run_id, flagged,
                                         in_totals, settled_usd, reserved_usd, lines)
        SELECT * FROM (
            SELECT c.scope, c.month, public.studio_ops_cost_day(c.month, c.occurred_at::timestamptz),
                   coalesce(left(c.kind, 40), ''), coalesce(left(c.provider, 80), ''),
                   left(coalesce(c.model, c.service, ''), 120), coalesce(left(c.stage, 80), ''), c.user_id, c.run_id,
                   c.flagged, c.reservation_key IS NOT NULL,
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE NOT c.reserving), 0),
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE c.reserving), 0),
                   sum(c.sign)
            FROM (
                SELECT -1 AS sign, l.scope, l.month, l.occurred_at, l.kind, l.provider, l.model, l.service, l.stage,
                       l.user_id, l.run_id, l.flagged, l.reservation_key,
                       CASE WHEN l.amount_usd = 'NaN' THEN 0 ELSE coalesce(l.amount_usd, 0) END AS amount_usd,
                       coalesce(l.kind IN ('reserve', 'release'), false) AS reserving
                FROM old_rows l WHERE l.month IS NOT NULL) c GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) s;
    ELSE
        INSERT INTO public.cost_changes (scope, month, day, kind, provider, model, stage, user_id, run_id, flagged,
                                         in_totals, settled_usd, reserved_usd, lines)
        SELECT * FROM (
            SELECT c.scope, c.month, public.studio_ops_cost_day(c.month, c.occurred_at::timestamptz),
                   coalesce(left(c.kind, 40), ''), coalesce(left(c.provider, 80), ''),
                   left(coalesce(c.model, c.service, ''), 120), coalesce(left(c.stage, 80), ''), c.user_id, c.run_id,
                   c.flagged, c.reservation_key IS NOT NULL,
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE NOT c.reserving), 0),
                   coalesce(sum(c.sign * c.amount_usd) FILTER (WHERE c.reserving), 0),
                   sum(c.sign)
            FROM (
                SELECT -1 AS sign, l.scope, l.month, l.occurred_at, l.kind, l.provider, l.model, l.service, l.stage,
                       l.user_id, l.run_id, l.flagged, l.reservation_key,
                       CASE WHEN l.amount_usd = 'NaN' THEN 0 ELSE coalesce(l.amount_usd, 0) END AS amount_usd,
                       coalesce(l.kind IN ('reserve', 'release'), false) AS reserving
                FROM old_rows l WHERE l.month IS NOT NULL
                UNION ALL
                SELECT 1 AS sign, l.scope, l.month, l.occurred_at, l.kind, l.provider, l.model, l.service, l.stage,
                       l.user_id, l.run_id, l.flagged, l.reservation_key,
                       CASE WHEN l.amount_usd = 'NaN' THEN 0 ELSE coalesce(l.amount_usd, 0) END AS amount_usd,
                       coalesce(l.kind IN ('reserve', 'release'), false) AS reserving
                FROM new_rows l WHERE l.month IS NOT NULL) c GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) s;
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_note_costs() FROM PUBLIC;

-- A line of ours is one with a source key and a word of ours. Those of a rehearsal go when it is cleared.
CREATE OR REPLACE FUNCTION public.studio_ops_refuse_cost_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        IF NOT EXISTS (SELECT FROM public.job_costs WHERE source_key IS NOT NULL
                       AND kind IN ('reserve', 'settle', 'release', 'correct')) THEN
            RETURN NULL;
        END IF;
    END IF;
    RAISE EXCEPTION 'Lines that Studio Ops wrote into job_costs are never changed or deleted.'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Write a further line that says what was wrong: press Correct beside it on the page Budget.';
END
$$;

-- Lines from before this migration: once, before any trigger watches them.
DO $$
BEGIN
    IF (SELECT begun_at FROM public.cost_fold_state) IS NOT NULL THEN
        RETURN;
    END IF;
    LOCK TABLE public.job_costs IN SHARE ROW EXCLUSIVE MODE;
    CREATE OR REPLACE TRIGGER zz_studio_ops_place_changed_cost BEFORE UPDATE ON public.job_costs
        FOR EACH ROW EXECUTE FUNCTION public.studio_ops_place_cost();
    UPDATE public.job_costs SET month = month WHERE month IS NULL OR scope IS NULL;
    INSERT INTO public.cost_changes (scope, month, day, kind, provider, model, stage, user_id, run_id, flagged,
                                     in_totals, settled_usd, reserved_usd, lines)
    SELECT l.scope, l.month, public.studio_ops_cost_day(l.month, l.occurred_at::timestamptz),
           coalesce(left(l.kind, 40), ''), coalesce(left(l.provider, 80), ''),
           left(coalesce(l.model, l.service, ''), 120), coalesce(left(l.stage, 80), ''), l.user_id, l.run_id, l.flagged,
           l.reservation_key IS NOT NULL,
           coalesce(sum(l.amount_usd) FILTER (WHERE l.kind IS NULL OR l.kind NOT IN ('reserve', 'release')), 0),
           coalesce(sum(l.amount_usd) FILTER (WHERE l.kind IN ('reserve', 'release')), 0), count(*)
    FROM public.job_costs l WHERE l.month IS NOT NULL AND l.amount_usd IS DISTINCT FROM 'NaN'
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
    UPDATE public.cost_fold_state SET begun_at = now();
END
$$;

CREATE OR REPLACE TRIGGER zz_studio_ops_place_cost BEFORE INSERT ON public.job_costs
    FOR EACH ROW WHEN (NEW.scope IS NULL OR NEW.month IS NULL OR NEW.amount_usd IS NULL OR NEW.occurred_at IS NULL)
    EXECUTE FUNCTION public.studio_ops_place_cost();
CREATE OR REPLACE TRIGGER zz_studio_ops_place_changed_cost BEFORE UPDATE ON public.job_costs
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_place_cost();
CREATE OR REPLACE TRIGGER zz_studio_ops_note_new_costs AFTER INSERT ON public.job_costs
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_note_costs();
CREATE OR REPLACE TRIGGER zz_studio_ops_note_changed_costs AFTER UPDATE ON public.job_costs
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_note_costs();
CREATE OR REPLACE TRIGGER zz_studio_ops_note_gone_costs AFTER DELETE ON public.job_costs
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_note_costs();
CREATE OR REPLACE TRIGGER studio_ops_append_only BEFORE UPDATE OR DELETE ON public.job_costs
    FOR EACH ROW WHEN (OLD.source_key IS NOT NULL AND OLD.kind IN ('reserve', 'settle', 'release', 'correct')
                       AND NOT coalesce(coalesce(OLD.generation_id, OLD.run_id)
                                        BETWEEN '5ce9e000-0000-8000-0000-000000000000'
                                            AND '5ce9e000-0000-8fff-ffff-ffffffffffff', false))
    EXECUTE FUNCTION public.studio_ops_refuse_cost_change();
CREATE OR REPLACE TRIGGER studio_ops_never_truncated BEFORE TRUNCATE ON public.job_costs
    FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_refuse_cost_change();

-- Pages read the ledger newest first: a budget's, a person's, a model's, and what is no settled cost.
CREATE INDEX IF NOT EXISTS job_costs_newest ON public.job_costs (scope, month, occurred_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS job_costs_person ON public.job_costs (user_id, month, occurred_at DESC, id DESC)
    WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_costs_model
    ON public.job_costs (coalesce(model, service), month, occurred_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS job_costs_unusual ON public.job_costs (kind, month, occurred_at DESC, id DESC)
    WHERE kind <> 'settle';
CREATE INDEX IF NOT EXISTS job_costs_run ON public.job_costs (run_id) WHERE run_id IS NOT NULL;

RESET statement_timeout;
RESET lock_timeout;
