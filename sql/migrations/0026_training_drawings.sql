-- Images that a model draws to fill up a training's own: a paid call each, written before it is sent.

SET lock_timeout = '5s';

-- `batch` is one press of the button and names the money that is reserved for it. `lora_model_id` is the
-- draft's id and later that of its LoRA, which need not exist yet.
CREATE TABLE IF NOT EXISTS public.training_drawings (
    id uuid PRIMARY KEY,
    lora_model_id uuid NOT NULL,
    batch int NOT NULL,
    n int NOT NULL,
    owner text NOT NULL,                          -- the first part of the path of the draft's images
    asked_by text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    view text NOT NULL,                           -- what the prompt asks for besides the character, for people
    prompt text NOT NULL,
    from_images int[] NOT NULL DEFAULT '{}',      -- numbers of the draft's images that it is drawn from
    after_id uuid,                                -- the drawing whose image it is drawn from, once that is there
    reservation_key text NOT NULL,
    state text NOT NULL DEFAULT 'intent' CHECK (state IN (
        'intent', 'sending', 'accepted', 'succeeded', 'failed', 'cancelled', 'not_sent', 'unknown')),
    tries int NOT NULL DEFAULT 0,                 -- how often it was sent or refused
    attempt int NOT NULL DEFAULT 0,               -- failures in a row of the step that is due
    remote_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    submitted_at timestamptz,
    accepted_at timestamptz,
    ended_at timestamptz,
    next_attempt_at timestamptz,                  -- NULL: nothing is to be done, or a person must
    lease_until timestamptz,
    lease_token uuid,
    result_url text,                              -- the provider's
    image_n int,                                  -- the number of its image in the draft, once it is stored
    failure_category text,
    failure_code text,
    failure_words text,
    cost_usd numeric(12, 4),
    UNIQUE (lora_model_id, batch, n)
);
CREATE UNIQUE INDEX IF NOT EXISTS training_drawings_remote ON public.training_drawings (provider, remote_id)
    WHERE remote_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS training_drawings_due ON public.training_drawings (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS training_drawings_in_doubt ON public.training_drawings (lora_model_id)
    WHERE state = 'unknown';
CREATE INDEX IF NOT EXISTS training_drawings_reservation ON public.training_drawings (reservation_key);

ALTER TABLE public.training_drawings ENABLE ROW LEVEL SECURITY;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.training_drawings FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all training_drawings" ON public.training_drawings;
        CREATE POLICY "Service can manage all training_drawings" ON public.training_drawings
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.training_drawings TO service_role;
    END IF;
END
$$;

INSERT INTO public.prices (provider, service, unit, unit_usd, valid_from, source) VALUES
    ('kie', 'flux-2-pro', 'image', 0.025, '2026-11-20 UTC', 'second-hand: $0.025 an image at 1K')
ON CONFLICT (provider, service, valid_from) DO NOTHING;

SET statement_timeout = 0;
-- On a large table see 0008_indexes.sql for building it beforehand.
CREATE INDEX IF NOT EXISTS job_costs_run ON public.job_costs (run_id) WHERE run_id IS NOT NULL;
RESET statement_timeout;

RESET lock_timeout;
