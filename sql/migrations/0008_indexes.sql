-- Indexes. On a large table each of these holds other writers up while it is built: about a second
-- for a million rows. To avoid that, run the files up to 0007 by hand, make the indexes on generations
-- and job_costs under the same names with CREATE INDEX CONCURRENTLY, each as a command of its own (it
-- can't run in a transaction, and a migration is one), and then migrate: this file finds them made. One
-- that an interrupted CONCURRENTLY left invalid is made anew.

SET lock_timeout = '5s';
SET statement_timeout = 0;

DO $$
DECLARE
    broken regclass;
BEGIN
    FOR broken IN
        SELECT i.indexrelid::regclass
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('generations_due', 'generations_newest', 'generations_made_here', 'generations_task',
                            'idx_generations_asset_url', 'generations_provider_status',
                            'generations_request_key', 'generations_waiting_for_people',
                            'generations_delivery_times', 'job_costs_source_key', 'job_costs_generation')
    LOOP
        EXECUTE format('DROP INDEX %s', broken);
    END LOOP;
END
$$;

-- What is due, most urgent first.
CREATE INDEX IF NOT EXISTS generations_due ON public.generations (attempt_priority, next_attempt_at)
    WHERE delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery');
CREATE INDEX IF NOT EXISTS generations_newest ON public.generations (created_at DESC, id DESC);
-- Those that were made here, among many of the company's application.
CREATE INDEX IF NOT EXISTS generations_made_here ON public.generations (created_at DESC, id DESC)
    WHERE request_key IS NOT NULL;
-- Hashes: other systems write these columns, and a B-tree would refuse a value of more than 2,704 bytes.
CREATE INDEX IF NOT EXISTS generations_task ON public.generations USING hash (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_generations_asset_url ON public.generations USING hash (asset_url)
    WHERE asset_url IS NOT NULL;
CREATE INDEX IF NOT EXISTS generations_provider_status ON public.generations (provider, status);
CREATE UNIQUE INDEX IF NOT EXISTS generations_request_key ON public.generations (request_key)
    WHERE request_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS generations_waiting_for_people ON public.generations (updated_at DESC)
    WHERE delivery_state IN ('needs_attention', 'lost');
-- How long a model's last deliveries took.
CREATE INDEX IF NOT EXISTS generations_delivery_times ON public.generations (model, delivered_at DESC)
    WHERE delivered_at IS NOT NULL AND provider_ms IS NOT NULL;

CREATE UNIQUE INDEX IF NOT EXISTS job_costs_source_key ON public.job_costs (source_key) WHERE source_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_costs_generation ON public.job_costs (generation_id) WHERE generation_id IS NOT NULL;

CREATE INDEX IF NOT EXISTS idx_lora_models_user ON public.lora_models (user_id);
CREATE INDEX IF NOT EXISTS idx_lora_models_status ON public.lora_models (training_status);
CREATE INDEX IF NOT EXISTS idx_lora_models_user_status ON public.lora_models (user_id, training_status);
CREATE INDEX IF NOT EXISTS idx_lora_models_name ON public.lora_models (name);
CREATE INDEX IF NOT EXISTS idx_lora_models_usage ON public.lora_models (usage_count DESC);
CREATE INDEX IF NOT EXISTS idx_jobs_lora_model ON public.jobs (lora_model_id);
CREATE INDEX IF NOT EXISTS idx_lora_training_jobs_lora ON public.lora_training_jobs (lora_model_id);
CREATE INDEX IF NOT EXISTS idx_lora_training_jobs_user ON public.lora_training_jobs (user_id);
CREATE INDEX IF NOT EXISTS idx_lora_training_jobs_pod ON public.lora_training_jobs (runpod_pod_id);
CREATE INDEX IF NOT EXISTS idx_user_training_limits_reset ON public.user_training_limits (month_reset_date);

-- A user's LoRAs have different names where the table is ours or the documents' own; in another one
-- the index would refuse what is written today.
DELETE FROM public.migration_findings WHERE migration = 8 AND is_open;
DO $$
BEGIN
    IF to_regclass('public.idx_lora_models_user_name') IS NULL THEN
        PERFORM public.studio_ops_finding(
            8, 'names_not_unique', 'lora_models.name',
            'Nothing in the database keeps a user from having two LoRAs of one name.',
            'If no system relies on that: CREATE UNIQUE INDEX idx_lora_models_user_name'
            ' ON public.lora_models (user_id, name)');
    END IF;
END
$$;

RESET statement_timeout;
RESET lock_timeout;
