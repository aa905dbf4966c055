-- Trainings: what a run of lora_training_jobs needs to be driven from stage to stage, its paid calls, its
-- stages, its log, its timeline, and the webhooks that speak of it. Runs of other systems keep state NULL.

SET lock_timeout = '5s';

ALTER TABLE public.lora_models
    ADD COLUMN IF NOT EXISTS creator_key text,          -- user:<uuid> or staff:<id>; names and quota go by it
    ADD COLUMN IF NOT EXISTS counted_at timestamptz,    -- the launch that counts in its month's quota
    ADD COLUMN IF NOT EXISTS trigger_word text,
    ADD COLUMN IF NOT EXISTS weights_sha256 text,
    ADD COLUMN IF NOT EXISTS huggingface_url text,
    ADD COLUMN IF NOT EXISTS huggingface_commit text;

ALTER TABLE public.lora_training_jobs
    ADD COLUMN IF NOT EXISTS state text,                -- NULL: not driven by us
    ADD COLUMN IF NOT EXISTS stage text,                -- where it stands, or stood when it ended
    ADD COLUMN IF NOT EXISTS trainer text,
    ADD COLUMN IF NOT EXISTS steps int,
    ADD COLUMN IF NOT EXISTS learning_rate numeric,
    ADD COLUMN IF NOT EXISTS rank int,
    ADD COLUMN IF NOT EXISTS trigger_word text,
    ADD COLUMN IF NOT EXISTS publish boolean NOT NULL DEFAULT false, -- on Hugging Face
    ADD COLUMN IF NOT EXISTS images int,
    ADD COLUMN IF NOT EXISTS request_key text,          -- the form's nonce
    ADD COLUMN IF NOT EXISTS creator_key text,
    ADD COLUMN IF NOT EXISTS attempt int NOT NULL DEFAULT 0, -- failures in a row of the step that is due
    ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz,
    ADD COLUMN IF NOT EXISTS lease_until timestamptz,
    ADD COLUMN IF NOT EXISTS lease_token uuid,
    ADD COLUMN IF NOT EXISTS heartbeat_at timestamptz,  -- when a worker last had it in hand
    ADD COLUMN IF NOT EXISTS ends_as text,              -- what it becomes when everything is given back
    ADD COLUMN IF NOT EXISTS provider_state text,
    ADD COLUMN IF NOT EXISTS provider_read_at timestamptz,
    ADD COLUMN IF NOT EXISTS queue_position int,
    ADD COLUMN IF NOT EXISTS usd_per_hour numeric,      -- of a pod that runs
    ADD COLUMN IF NOT EXISTS failure_category text,
    ADD COLUMN IF NOT EXISTS failure_retryable boolean,
    ADD COLUMN IF NOT EXISTS failure_words text,        -- the provider's
    ADD COLUMN IF NOT EXISTS next_action text,
    ADD COLUMN IF NOT EXISTS quoted_usd numeric(12, 4),
    ADD COLUMN IF NOT EXISTS reservation_key text,      -- NULL: nothing is reserved for it
    ADD COLUMN IF NOT EXISTS reservations int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS zip_bucket text,
    ADD COLUMN IF NOT EXISTS zip_path text,
    ADD COLUMN IF NOT EXISTS zip_bytes bigint,
    ADD COLUMN IF NOT EXISTS zip_sha256 text,
    ADD COLUMN IF NOT EXISTS zip_built_at timestamptz,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'public.lora_training_jobs'::regclass
                   AND conname = 'lora_training_jobs_state_check') THEN
        ALTER TABLE public.lora_training_jobs ADD CONSTRAINT lora_training_jobs_state_check CHECK (
            state IN ('running', 'awaiting_verdict', 'ending', 'completed', 'failed', 'cancelled',
                      'needs_attention')) NOT VALID;
    END IF;
END
$$;

-- A call that costs money: a training (n 0, a round an attempt) or a test picture (n 0 to 2). It is written
-- before it is sent; only the process that moved it from intent to sending may send it, once.
CREATE TABLE IF NOT EXISTS public.training_calls (
    id uuid PRIMARY KEY,                          -- of a run's first training the run's own
    run_id uuid NOT NULL,
    purpose text NOT NULL,                        -- training, picture
    n int NOT NULL DEFAULT 0,
    round int NOT NULL DEFAULT 1,
    provider text NOT NULL,
    reservation_key text,                         -- the money that it was begun with
    state text NOT NULL DEFAULT 'intent' CHECK (state IN (
        'intent', 'sending', 'accepted', 'succeeded', 'failed', 'cancelled', 'not_sent', 'unknown')),
    prompt text,
    seed int,
    tries int NOT NULL DEFAULT 0,
    remote_id text,
    handle jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    submitted_at timestamptz,
    accepted_at timestamptz,
    ended_at timestamptz,
    released_at timestamptz,                      -- when nothing of it could go on costing money
    progress int,
    pushed jsonb,                                 -- what a pod of ours wrote last
    pushed_at timestamptz,
    usd_per_hour numeric,
    result_url text,                              -- the provider's
    result_kind text,
    bucket text,                                  -- ours
    path text,
    url text,
    failure_category text,
    failure_code text,
    failure_retryable boolean,
    failure_words text,
    cost_usd numeric(12, 4),
    shows boolean,                                -- whether the picture shows the character
    judged_by text,
    judged_at timestamptz,
    UNIQUE (run_id, purpose, n, round)
);
CREATE UNIQUE INDEX IF NOT EXISTS training_calls_remote ON public.training_calls (provider, remote_id)
    WHERE remote_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS training_calls_unreleased ON public.training_calls (ended_at)
    WHERE remote_id IS NOT NULL AND released_at IS NULL;
CREATE INDEX IF NOT EXISTS training_calls_pictures ON public.training_calls (ended_at)
    WHERE purpose = 'picture' AND path IS NOT NULL;

-- What became of each stage of a run; a stage that is begun again counts on.
CREATE TABLE IF NOT EXISTS public.training_stages (
    run_id uuid NOT NULL,
    stage text NOT NULL,
    attempts int NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    progress int NOT NULL DEFAULT 0,              -- 0 to 100, of the stage
    time_left_s int,
    outcome text,                                 -- succeeded, failed, cancelled, needs_attention
    error_message text,
    failure_category text,
    failure_retryable boolean,
    failure_words text,
    next_action text,
    PRIMARY KEY (run_id, stage)
);

-- Lines of a run's log: ours, and the provider's as it tells them. `line_key` keeps each once.
CREATE TABLE IF NOT EXISTS public.training_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    at timestamptz NOT NULL,
    stage text,
    source text NOT NULL,                         -- studio, or the provider
    level text NOT NULL DEFAULT 'info',
    message text NOT NULL,
    line_key text,
    UNIQUE (run_id, line_key)
);
CREATE INDEX IF NOT EXISTS training_log_run ON public.training_log (run_id, id);

-- The steps of a run, as delivery_events are a delivery's.
CREATE TABLE IF NOT EXISTS public.training_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    stage text,
    attempt int,
    duration_ms int,
    bytes bigint,
    error_category text,
    words text,
    detail jsonb NOT NULL DEFAULT '{}',
    request_id text
);
CREATE INDEX IF NOT EXISTS training_events_run ON public.training_events (run_id, id);

-- Messages of the providers whose signature was good, each once by the provider's own id of it.
CREATE TABLE IF NOT EXISTS public.training_webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    delivery_id text NOT NULL,
    call_id uuid,
    run_id uuid,
    remote_id text NOT NULL,
    says text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    duplicates int NOT NULL DEFAULT 0,
    UNIQUE (provider, delivery_id)
);
CREATE INDEX IF NOT EXISTS training_webhooks_call ON public.training_webhooks (call_id, id);

DO $$
DECLARE
    tab text;
    role text;
    seq text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['training_calls', 'training_stages', 'training_log', 'training_events',
                               'training_webhooks'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', tab);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role');
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       'Service can manage all ' || tab, tab);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO service_role', tab);
        seq := pg_get_serial_sequence('public.' || tab, CASE WHEN tab IN ('training_calls', 'training_stages')
                                                             THEN 'run_id' ELSE 'id' END);
        CONTINUE WHEN seq IS NULL;
        EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO service_role', seq);
    END LOOP;
END
$$;

-- Whether there is such a user; false where auth.users cannot be read or is not there.
CREATE OR REPLACE FUNCTION public.studio_ops_is_user(person uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
BEGIN
    RETURN EXISTS (SELECT FROM auth.users u WHERE u.id = person);
EXCEPTION
    WHEN insufficient_privilege OR undefined_table OR undefined_column OR invalid_schema_name THEN
        RETURN false;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_is_user(uuid) FROM PUBLIC;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION public.studio_ops_is_user(uuid) FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT EXECUTE ON FUNCTION public.studio_ops_is_user(uuid) TO service_role;
    END IF;
END
$$;

SET statement_timeout = 0;
CREATE UNIQUE INDEX IF NOT EXISTS lora_training_jobs_request_key ON public.lora_training_jobs (request_key)
    WHERE request_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_training_jobs_due ON public.lora_training_jobs (next_attempt_at)
    WHERE state IN ('running', 'ending');
CREATE INDEX IF NOT EXISTS lora_training_jobs_newest ON public.lora_training_jobs (created_at DESC, id DESC)
    WHERE state IS NOT NULL;
-- Staff without a row in auth.users: their names are unique too.
CREATE UNIQUE INDEX IF NOT EXISTS lora_models_staff_name ON public.lora_models (creator_key, name)
    WHERE user_id IS NULL AND creator_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_models_creator ON public.lora_models (creator_key) WHERE creator_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_models_pending ON public.lora_models (created_at)
    WHERE training_status = 'pending';
RESET statement_timeout;

RESET lock_timeout;
