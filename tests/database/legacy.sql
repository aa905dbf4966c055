-- The company's database as its documents describe it, with rows as they may stand there. It is what
-- the migrations are tried on; run it on a database that has auth.users.
--
-- The documents show CREATE TABLE for lora_models, lora_training_jobs and user_training_limits. For
-- generations, jobs and job_costs they show columns in passing. Assumed here, and where else it may differ:
--   generations.id           uuid with a default. Another type stops the migration with a sentence.
--   generations.user_id      uuid, nullable, referring to auth.users. legacy_older.sql has it NOT NULL.
--   generations.status       text. legacy_older.sql has varchar with a CHECK; an enum is tried in a test.
--   generations.result_urls  text[]. legacy_older.sql has jsonb.
--   generations.asset_url, provider  there, because their migration 011 was run but for its last
--                            statements: `FOR INSERT USING` is a syntax error, and its CHECK fails on
--                            rows with older status words. legacy_older.sql has neither.
--   generations.created_at, updated_at  timestamptz. legacy_older.sql has timestamp without a zone.
--   generations.error        text. legacy_older.sql calls it error_message.
--   jobs                     a video job with a uuid; only jobs(id) and jobs.lora_model_id are documented.
--   job_costs                one row a cost, of a job; none of its columns are documented.

INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES
    ('a0000000-0000-4000-8000-000000000001', 'ada@example.com', '{"full_name": "Ada"}'),
    ('a0000000-0000-4000-8000-000000000002', 'bo@example.com', '{}'),
    ('a0000000-0000-4000-8000-000000000003', NULL, '{"full_name": "Cy"}');

CREATE TABLE public.generations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES auth.users (id) ON DELETE CASCADE,
    kind text,
    model text,
    prompt text,
    status text DEFAULT 'queued',
    task_id text,
    result_urls text[],
    preview_url text,
    error text,
    credits integer DEFAULT 1,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

-- Their migration 011, as far as it ran.
ALTER TABLE public.generations ADD COLUMN provider text DEFAULT 'kie', ADD COLUMN asset_url text;
CREATE INDEX idx_generations_provider ON public.generations (provider);

ALTER TABLE public.generations ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users can view own generations" ON public.generations FOR SELECT USING (auth.uid() = user_id);
CREATE POLICY "Users can insert own generations" ON public.generations FOR INSERT WITH CHECK (auth.uid() = user_id);
CREATE POLICY "Service can update all generations" ON public.generations FOR UPDATE USING (true) WITH CHECK (true);

-- A row a case. Ids end in what the case is about.
INSERT INTO public.generations (id, user_id, kind, model, prompt, status, task_id, result_urls, asset_url, provider,
                                created_at, updated_at)
VALUES
    -- the four words
    ('10000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'image', 'flux-2/pro-text-to-image',
     'a cat', 'queued', NULL, NULL, NULL, 'kie', now() - interval '1 minute', now() - interval '1 minute'),
    ('10000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001', 'image', 'flux-2/pro-text-to-image',
     'a cat', 'queued', 'task_2', NULL, NULL, 'kie', now() - interval '2 minutes', now() - interval '2 minutes'),
    ('10000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000002', 'video', 'kling-2.6/text-to-video',
     'a dog', 'generating', 'task_3', NULL, NULL, 'kie', now() - interval '3 hours', now() - interval '3 hours'),
    ('10000000-0000-4000-8000-000000000004', 'a0000000-0000-4000-8000-000000000002', 'image', 'flux-2/pro-text-to-image',
     'a cow', 'success', 'task_4', ARRAY['https://tempfile.example/4.jpg'],
     'https://files.example/4.jpg', 'kie', now() - interval '3 days', now() - interval '3 days'),
    ('10000000-0000-4000-8000-000000000005', NULL, 'image', 'flux-2/pro-text-to-image', 'a hen', 'success', 'task_5',
     ARRAY['https://tempfile.example/5.jpg', 'https://tempfile.example/5b.jpg'], NULL, 'kie',
     now() - interval '3 days', now() - interval '3 days'),
    ('10000000-0000-4000-8000-000000000006', NULL, 'image', 'flux-2/pro-text-to-image', 'a pig', 'failed', 'task_6',
     '{}', NULL, 'kie', now() - interval '3 days', now() - interval '3 days'),
    -- older words, in whatever spelling
    ('20000000-0000-4000-8000-000000000001', NULL, 'image', NULL, 'x', 'pending', NULL, NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000002', NULL, 'image', NULL, 'x', 'pending', 'task_22', NULL, NULL, 'kie',
     now() - interval '1 day', NULL),
    ('20000000-0000-4000-8000-000000000003', NULL, 'image', NULL, 'x', 'processing', 'task_23', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000004', NULL, 'image', NULL, 'x', 'completed', 'task_24',
     ARRAY['https://tempfile.example/24.jpg'], 'https://files.example/24.jpg', 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000005', NULL, 'image', NULL, 'x', 'complete', 'task_25',
     ARRAY['https://tempfile.example/25.jpg'], '', 'kie', now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000006', NULL, 'image', NULL, 'x', 'SUCCEEDED', 'task_26', NULL,
     'https://files.example/26.jpg', 'kie', now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000007', NULL, 'image', NULL, 'x', 'error', 'task_27', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('20000000-0000-4000-8000-000000000008', NULL, 'image', NULL, 'x', ' canceled ', NULL, NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    -- words that nobody knows
    ('30000000-0000-4000-8000-000000000001', NULL, 'image', NULL, 'x', 'zombie', 'task_31', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('30000000-0000-4000-8000-000000000002', NULL, 'image', NULL, 'x', NULL, 'task_32', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('30000000-0000-4000-8000-000000000003', NULL, 'image', NULL, 'x', '', NULL, NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    -- one task in three rows
    ('40000000-0000-4000-8000-000000000001', NULL, 'image', NULL, 'x', 'generating', 'task_twice', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    ('40000000-0000-4000-8000-000000000002', NULL, 'image', NULL, 'x', 'success', 'task_twice', NULL,
     'https://files.example/42.jpg', 'kie', now() - interval '1 day', now() - interval '1 day'),
    ('40000000-0000-4000-8000-000000000003', NULL, 'image', NULL, 'x', 'failed', 'task_twice', NULL, NULL, 'kie',
     now() - interval '1 day', now() - interval '1 day'),
    -- old and unfinished, one of them without a time
    ('50000000-0000-4000-8000-000000000001', NULL, 'image', NULL, 'x', 'generating', 'task_51', NULL, NULL, 'kie',
     now() - interval '15 days', now() - interval '15 days'),
    ('50000000-0000-4000-8000-000000000002', NULL, 'image', NULL, 'x', 'success', 'task_52',
     ARRAY['https://tempfile.example/52.jpg'], NULL, 'kie', now() - interval '60 days', now() - interval '60 days'),
    ('50000000-0000-4000-8000-000000000003', NULL, 'image', NULL, 'x', 'generating', 'task_53', NULL, NULL, 'kie',
     NULL, NULL),
    -- NULL wherever there may be one; another provider; no provider
    ('60000000-0000-4000-8000-000000000001', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('60000000-0000-4000-8000-000000000002', NULL, 'image', 'fal-ai/flux-lora', 'x', 'processing', 'fal_1', NULL, NULL,
     'fal', now() - interval '1 day', now() - interval '1 day'),
    ('60000000-0000-4000-8000-000000000003', NULL, 'image', NULL, 'x', 'generating', 'task_63', NULL, NULL, NULL,
     now() - interval '1 day', now() - interval '1 day'),
    -- text in quantities: a prompt of 300 KB, a file as a data URL longer than a B-tree takes
    ('70000000-0000-4000-8000-000000000001', NULL, 'image', NULL, repeat('long prompt ', 25000), 'success', 'task_71',
     NULL, 'data:image/png;base64,' || (SELECT string_agg(sha256(n::text::bytea)::text, '')
                                        FROM generate_series(1, 200) n),
     'kie', now() - interval '1 day', now() - interval '1 day');

-- And a month of ordinary ones.
INSERT INTO public.generations (user_id, kind, model, prompt, status, task_id, result_urls, asset_url, created_at,
                                updated_at)
SELECT 'a0000000-0000-4000-8000-000000000001', 'image', 'flux-2/pro-text-to-image', 'prompt ' || n,
       CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'success' END, 'bulk_' || n,
       ARRAY['https://tempfile.example/bulk_' || n || '.jpg'],
       CASE WHEN n % 10 <> 0 THEN 'https://files.example/bulk_' || n || '.jpg' END,
       now() - n * interval '2 hours', now() - n * interval '2 hours' + interval '1 minute'
FROM generate_series(1, 400) n;

CREATE TABLE public.jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES auth.users (id) ON DELETE CASCADE,
    status text NOT NULL,
    progress integer,
    created_at timestamptz DEFAULT now()
);
INSERT INTO public.jobs (id, user_id, status) VALUES
    ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'completed');

CREATE TABLE public.job_costs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id uuid NOT NULL REFERENCES public.jobs (id) ON DELETE CASCADE,
    service text NOT NULL,
    amount numeric(10, 4) NOT NULL,
    created_at timestamptz DEFAULT now()
);
INSERT INTO public.job_costs (id, job_id, service, amount) VALUES
    ('c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'runpod', 1.2345);

-- As the documents have them.
CREATE TABLE public.lora_models (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES auth.users (id) ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    usage_count integer DEFAULT 0,
    description text,
    storage_path text NOT NULL,
    storage_url text NOT NULL,
    file_size bigint NOT NULL,
    training_status varchar(20) NOT NULL
        CHECK (training_status IN ('pending', 'training', 'validating', 'completed', 'failed')),
    triggered_by_job_id uuid REFERENCES public.jobs (id) ON DELETE SET NULL,
    validation_image_urls text[],
    validation_passed boolean DEFAULT false,
    character_description text,
    reference_image_urls text[],
    training_cost decimal(10, 4) DEFAULT 0.0000,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX idx_lora_models_user ON public.lora_models (user_id);
CREATE UNIQUE INDEX idx_lora_models_user_name ON public.lora_models (user_id, name);
ALTER TABLE public.lora_models ENABLE ROW LEVEL SECURITY;
CREATE POLICY "All users can view all LoRAs" ON public.lora_models FOR SELECT USING (true);
CREATE POLICY "Users can insert own LoRAs" ON public.lora_models FOR INSERT WITH CHECK (auth.uid() = user_id);
CREATE POLICY "Users can update own LoRAs" ON public.lora_models FOR UPDATE USING (auth.uid() = user_id);

ALTER TABLE public.jobs ADD COLUMN lora_model_id uuid REFERENCES public.lora_models (id) ON DELETE SET NULL;

CREATE TABLE public.lora_training_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lora_model_id uuid REFERENCES public.lora_models (id) ON DELETE CASCADE,
    user_id uuid REFERENCES auth.users (id) ON DELETE CASCADE,
    runpod_pod_id text,
    training_progress integer DEFAULT 0,
    estimated_remaining integer,
    error_message text,
    started_at timestamptz DEFAULT now(),
    completed_at timestamptz,
    created_at timestamptz DEFAULT now()
);
CREATE TABLE public.user_training_limits (
    user_id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
    loras_created_this_month integer DEFAULT 0,
    month_reset_date date NOT NULL DEFAULT current_date,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

INSERT INTO public.lora_models (id, user_id, name, storage_path, storage_url, file_size, training_status, updated_at)
VALUES
    ('d0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Cyberpunk Girl',
     'a/girl.safetensors', 'https://files.example/girl.safetensors', 52428800, 'completed', '2025-11-01Z'),
    ('d0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000003', 'Pending Boy',
     '', '', 0, 'pending', '2025-11-02Z');
INSERT INTO public.lora_training_jobs (id, lora_model_id, user_id, runpod_pod_id) VALUES
    ('e0000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000001',
     'a0000000-0000-4000-8000-000000000001', 'pod-1');
INSERT INTO public.user_training_limits (user_id, loras_created_this_month) VALUES
    ('a0000000-0000-4000-8000-000000000001', 1);
UPDATE public.jobs SET lora_model_id = 'd0000000-0000-4000-8000-000000000001';
