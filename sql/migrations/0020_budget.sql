-- The ledger's reservations, the running totals behind them, what is allowed a month, and prices.

SET lock_timeout = '5s';

ALTER TABLE public.job_costs
    ADD COLUMN IF NOT EXISTS scope text,            -- the budget that it counts in; NULL: in none
    ADD COLUMN IF NOT EXISTS month date,            -- the budget's month (UTC): that of the reservation
    ADD COLUMN IF NOT EXISTS reservation_key text,  -- the source_key of the reservation that it belongs to
    ADD COLUMN IF NOT EXISTS run_id uuid,
    ADD COLUMN IF NOT EXISTS note text;

-- A reservation adds its amount and a release takes it away again, so that all lines of a month add up to
-- what is settled and reserved.
CREATE TABLE IF NOT EXISTS public.budget_totals (
    scope text NOT NULL,
    month date NOT NULL,
    settled_usd numeric(14, 4) NOT NULL DEFAULT 0,
    reserved_usd numeric(14, 4) NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, month)
);

-- What may be spent a month, from when on; changed by a further row.
CREATE TABLE IF NOT EXISTS public.budget_limits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope text NOT NULL,
    limit_usd numeric(12, 4) NOT NULL,
    alert_usd numeric(12, 4) NOT NULL,
    valid_from timestamptz NOT NULL,
    set_by text NOT NULL,
    UNIQUE (scope, valid_from)
);

-- What a unit costs, from when on, and who says so; changed by a further row.
CREATE TABLE IF NOT EXISTS public.prices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    service text NOT NULL,
    unit text NOT NULL,
    unit_usd numeric(12, 6) NOT NULL,
    valid_from timestamptz NOT NULL,
    source text NOT NULL,
    UNIQUE (provider, service, valid_from)
);

ALTER TABLE public.budget_totals ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.budget_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.prices ENABLE ROW LEVEL SECURITY;

INSERT INTO public.budget_limits (scope, limit_usd, alert_usd, valid_from, set_by)
VALUES ('trainings', 200, 150, '2025-01-01 UTC', 'Studio Ops')
ON CONFLICT (scope, valid_from) DO NOTHING;

INSERT INTO public.prices (provider, service, unit, unit_usd, valid_from, source) VALUES
    ('fal', 'flux-lora-fast-training', 'step', 0.002, '2026-11-20 UTC', 'about $2 for 1000 steps, scaling with them'),
    ('fal', 'flux-lora', 'megapixel', 0.035, '2026-11-20 UTC', 'https://fal.ai/models/fal-ai/flux-lora'),
    ('replicate', 'flux-dev-lora-trainer', 'step', 0.002, '2026-11-20 UTC',
     'not published; the upper end of $0.50 to $2 a LoRA'),
    ('runpod', 'gpu', 'hour', 2.89, '2026-11-09 UTC', 'H100 PCIe, secure cloud')
ON CONFLICT (provider, service, valid_from) DO NOTHING;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['budget_totals', 'budget_limits', 'prices'] LOOP
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
            EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                           'Service can manage all ' || tab, tab);
            EXECUTE format('GRANT %s ON public.%I TO service_role',
                           CASE tab WHEN 'budget_totals' THEN 'SELECT, INSERT, UPDATE' ELSE 'SELECT, INSERT' END, tab);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT USAGE, SELECT ON SEQUENCE public.budget_limits_id_seq, public.prices_id_seq TO service_role;
    END IF;
END
$$;

SET statement_timeout = 0;
-- On a large table see 0008_indexes.sql for building it beforehand.
CREATE INDEX IF NOT EXISTS job_costs_reservation ON public.job_costs (reservation_key)
    WHERE reservation_key IS NOT NULL;
RESET statement_timeout;

RESET lock_timeout;
