-- Whether every LoRA's weights are where they should be and what they should be; how much the library holds;
-- and what a gigabyte costs.

SET lock_timeout = '5s';

-- The last look at a LoRA's file. `state`: good, missing, differs; `since` is when it came to that. The hash
-- and size that are expected are the LoRA's own, else those of the first look.
CREATE TABLE IF NOT EXISTS public.lora_weight_proofs (
    lora_model_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('good', 'missing', 'differs')),
    since timestamptz NOT NULL,
    checked_at timestamptz NOT NULL,
    expected_sha256 text,
    found_sha256 text,
    found_bytes bigint
);
CREATE INDEX IF NOT EXISTS lora_weight_proofs_wrong ON public.lora_weight_proofs (since) WHERE state <> 'good';
CREATE INDEX IF NOT EXISTS lora_weight_proofs_oldest ON public.lora_weight_proofs (checked_at, lora_model_id);

-- The library as a whole, counted by a job; `idle`: neither used nor new for half a year, and not archived.
CREATE TABLE IF NOT EXISTS public.lora_library_totals (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    counted_at timestamptz NOT NULL,
    loras bigint NOT NULL,
    bytes bigint NOT NULL,
    idle_loras bigint NOT NULL,
    idle_bytes bigint NOT NULL
);

INSERT INTO public.prices (provider, service, unit, unit_usd, valid_from, source) VALUES
    ('storage', 'library', 'gigabyte-month', 0.021, '2025-01-01 UTC', 'https://supabase.com/pricing, storage')
ON CONFLICT (provider, service, valid_from) DO NOTHING;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['lora_weight_proofs', 'lora_library_totals'] LOOP
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
END
$$;

SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS lora_models_stored ON public.lora_models (id)
    WHERE training_status = 'completed' AND storage_path IS NOT NULL;
RESET statement_timeout;

RESET lock_timeout;
