-- The company's tables: made where they are absent, and every column that is read or written added
-- where it is missing. Columns that exist keep their type, and rows keep their values.
--
-- The company's documents show no CREATE TABLE for generations, jobs and job_costs: where a type
-- may differ (result_urls text[] or jsonb, status an enum, times without a zone) it is left as it
-- is, and one that the queries cannot work with is recorded as a finding.

SET lock_timeout = '5s';

DELETE FROM public.migration_findings WHERE migration = 3 AND is_open;

-- Adds a foreign key; one that this role may not add, or that cannot be, becomes a finding.
CREATE OR REPLACE FUNCTION pg_temp.add_reference(child text, col text, parent text, action text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    command text := format('ALTER TABLE public.%I ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %s (id)'
                           ' ON DELETE %s', child, child || '_' || col || '_fkey', col, parent, action);
BEGIN
    EXECUTE command;
EXCEPTION
    WHEN insufficient_privilege OR undefined_table OR invalid_schema_name OR undefined_column
         OR datatype_mismatch OR invalid_foreign_key THEN
        PERFORM public.studio_ops_finding(
            3, 'no_reference', child || '.' || col,
            format('%s.%s does not refer to %s: %s', child, col, parent, SQLERRM),
            CASE WHEN SQLSTATE IN ('42P01', '3F000')
                 THEN 'Nothing need be done where the customers are not Supabase''s users.'
                 ELSE format('As the owner of %s, grant REFERENCES on it to %I; then: %s', parent, current_user,
                             command) END);
END
$$;

-- Makes an existing foreign key keep the row when what it refers to is deleted.
CREATE OR REPLACE FUNCTION pg_temp.keep_rows(child text, col text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT c.conname, c.confrelid::regclass AS parent
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
        WHERE c.conrelid = to_regclass('public.' || child) AND c.contype = 'f' AND a.attname = col
          AND c.confdeltype <> 'n'
    LOOP
        EXECUTE format(
            'ALTER TABLE public.%1$I ALTER COLUMN %2$I DROP NOT NULL, DROP CONSTRAINT %3$I,'
            ' ADD CONSTRAINT %3$I FOREIGN KEY (%2$I) REFERENCES %4$s (id) ON DELETE SET NULL',
            child, col, found.conname, found.parent);
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        PERFORM public.studio_ops_finding(
            3, 'reference_cascades', child || '.' || col,
            format('Deleting what %s.%s refers to still deletes the row: %s', child, col, SQLERRM),
            format('Grant REFERENCES on the table it refers to to %I and run this file again.', current_user));
END
$$;

-- Adds a column of times to a table; only rows written from now on get the time of their writing.
CREATE OR REPLACE FUNCTION pg_temp.add_time(tab text, col text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.' || tab)
                   AND attname = col AND NOT attisdropped) THEN
        EXECUTE format('ALTER TABLE public.%I ADD COLUMN %I timestamptz', tab, col);
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET DEFAULT now()', tab, col);
    END IF;
END
$$;

-- Lets rows be written without knowing a table's further columns: `written` names those that always are.
CREATE OR REPLACE FUNCTION pg_temp.let_rows_in(tab text, written text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('public.' || tab) AND attname = 'id'
               AND atttypid = 'uuid'::regtype AND NOT atthasdef) THEN
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN id SET DEFAULT gen_random_uuid()', tab);
    END IF;
    FOR found IN
        SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = to_regclass('public.' || tab) AND a.attnum > 0 AND NOT a.attisdropped
          AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attname <> ALL (written)
          AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
                          AND a.attnum = ANY (i.indkey))
    LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I DROP NOT NULL', tab, found.attname);
        PERFORM public.studio_ops_finding(
            3, 'not_null_dropped', tab || '.' || found.attname,
            format('%s.%s may now be NULL, because Studio Ops writes rows that have no value for it.',
                   tab, found.attname),
            format('If a reader of it minds, give it a default: ALTER TABLE public.%I ALTER COLUMN %I'
                   ' SET DEFAULT …', tab, found.attname), p_is_open => false);
    END LOOP;
END
$$;

-- Absent tables. Row-level security is on from their first moment.
DO $$
BEGIN
    IF to_regclass('public.jobs') IS NULL THEN
        CREATE TABLE public.jobs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            status text,
            created_at timestamptz DEFAULT now(),
            updated_at timestamptz DEFAULT now()
        );
        ALTER TABLE public.jobs ENABLE ROW LEVEL SECURITY;
        PERFORM pg_temp.add_reference('jobs', 'user_id', 'auth.users', 'SET NULL');
    END IF;
    IF to_regclass('public.generations') IS NULL THEN
        CREATE TABLE public.generations (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            status text DEFAULT 'queued'
        );
        ALTER TABLE public.generations ENABLE ROW LEVEL SECURITY;
        PERFORM pg_temp.add_reference('generations', 'user_id', 'auth.users', 'SET NULL');
    END IF;
    IF to_regclass('public.lora_models') IS NULL THEN
        CREATE TABLE public.lora_models (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            user_id uuid,
            name varchar(255) NOT NULL,
            storage_path text,
            storage_url text,
            file_size bigint,
            training_status varchar(20) NOT NULL
                CHECK (training_status IN ('pending', 'training', 'validating', 'completed', 'failed')),
            triggered_by_job_id uuid,
            CONSTRAINT lora_models_stored_when_completed CHECK (training_status <> 'completed'
                OR (storage_path IS NOT NULL AND storage_url IS NOT NULL AND file_size IS NOT NULL))
        );
        ALTER TABLE public.lora_models ENABLE ROW LEVEL SECURITY;
        CREATE UNIQUE INDEX idx_lora_models_user_name ON public.lora_models (user_id, name);
        PERFORM pg_temp.add_reference('lora_models', 'user_id', 'auth.users', 'SET NULL');
        PERFORM pg_temp.add_reference('lora_models', 'triggered_by_job_id', 'public.jobs', 'SET NULL');
    END IF;
    IF to_regclass('public.lora_training_jobs') IS NULL THEN
        CREATE TABLE public.lora_training_jobs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            lora_model_id uuid,
            user_id uuid
        );
        ALTER TABLE public.lora_training_jobs ENABLE ROW LEVEL SECURITY;
        PERFORM pg_temp.add_reference('lora_training_jobs', 'lora_model_id', 'public.lora_models', 'SET NULL');
        PERFORM pg_temp.add_reference('lora_training_jobs', 'user_id', 'auth.users', 'SET NULL');
    END IF;
    IF to_regclass('public.user_training_limits') IS NULL THEN
        CREATE TABLE public.user_training_limits (
            user_id uuid PRIMARY KEY,
            month_reset_date date NOT NULL DEFAULT current_date
        );
        ALTER TABLE public.user_training_limits ENABLE ROW LEVEL SECURITY;
        PERFORM pg_temp.add_reference('user_training_limits', 'user_id', 'auth.users', 'CASCADE');
    END IF;
    IF to_regclass('public.job_costs') IS NULL THEN
        -- The documents name the table but none of its columns: one line of the ledger a row.
        CREATE TABLE public.job_costs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            job_id uuid
        );
        ALTER TABLE public.job_costs ENABLE ROW LEVEL SECURITY;
        PERFORM pg_temp.add_reference('job_costs', 'job_id', 'public.jobs', 'SET NULL');
    END IF;
END
$$;

ALTER TABLE public.generations
    ADD COLUMN IF NOT EXISTS user_id uuid,
    ADD COLUMN IF NOT EXISTS provider text DEFAULT 'kie',
    ADD COLUMN IF NOT EXISTS kind text,                   -- image or video
    ADD COLUMN IF NOT EXISTS model text,
    ADD COLUMN IF NOT EXISTS prompt text,
    ADD COLUMN IF NOT EXISTS status text,                 -- queued, generating, success, failed
    ADD COLUMN IF NOT EXISTS task_id text,                -- the provider's; not unique in existing data
    ADD COLUMN IF NOT EXISTS result_urls text[],          -- the provider's, temporary
    ADD COLUMN IF NOT EXISTS preview_url text,
    ADD COLUMN IF NOT EXISTS asset_url text,              -- ours, permanent
    ADD COLUMN IF NOT EXISTS error text,
    ADD COLUMN IF NOT EXISTS input jsonb,                 -- the model's input
    ADD COLUMN IF NOT EXISTS request_key text,            -- the form's nonce
    ADD COLUMN IF NOT EXISTS legacy_status text,          -- the word that stood in status before it was mapped
    ADD COLUMN IF NOT EXISTS delivery_state text,         -- NULL: not followed
    ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz, -- when the delivery is due for its next step
    ADD COLUMN IF NOT EXISTS attempt_priority smallint NOT NULL DEFAULT 2, -- 0 sync, 1 callback, 2 poll, 3 plan
    ADD COLUMN IF NOT EXISTS attempt int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lease_until timestamptz,
    ADD COLUMN IF NOT EXISTS lease_token uuid,
    ADD COLUMN IF NOT EXISTS submitted_at timestamptz,    -- when the paid call was begun
    ADD COLUMN IF NOT EXISTS provider_state text,
    ADD COLUMN IF NOT EXISTS provider_read_at timestamptz,
    ADD COLUMN IF NOT EXISTS provider_ms bigint,          -- how long the provider took, by its own clock
    ADD COLUMN IF NOT EXISTS result_expires_at timestamptz,
    ADD COLUMN IF NOT EXISTS failure_category text,
    ADD COLUMN IF NOT EXISTS failure_code text,
    ADD COLUMN IF NOT EXISTS failure_message text,        -- the provider's words
    ADD COLUMN IF NOT EXISTS watched_until timestamptz,   -- a person looks at it until then
    ADD COLUMN IF NOT EXISTS delivered_at timestamptz;    -- NULL for files from before the migration
SELECT pg_temp.add_time('generations', 'created_at'), pg_temp.add_time('generations', 'updated_at');

ALTER TABLE public.lora_models
    ADD COLUMN IF NOT EXISTS user_id uuid,
    ADD COLUMN IF NOT EXISTS name varchar(255),
    ADD COLUMN IF NOT EXISTS usage_count integer DEFAULT 0,
    ADD COLUMN IF NOT EXISTS description text,
    ADD COLUMN IF NOT EXISTS storage_path text,
    ADD COLUMN IF NOT EXISTS storage_url text,
    ADD COLUMN IF NOT EXISTS file_size bigint,
    ADD COLUMN IF NOT EXISTS training_status varchar(20),
    ADD COLUMN IF NOT EXISTS triggered_by_job_id uuid,
    ADD COLUMN IF NOT EXISTS validation_image_urls text[],
    ADD COLUMN IF NOT EXISTS validation_passed boolean DEFAULT false,
    ADD COLUMN IF NOT EXISTS character_description text,
    ADD COLUMN IF NOT EXISTS reference_image_urls text[],
    ADD COLUMN IF NOT EXISTS training_cost numeric(10, 4) DEFAULT 0.0000,
    ADD COLUMN IF NOT EXISTS completed_at timestamptz,
    ADD COLUMN IF NOT EXISTS creator_name text,           -- kept when the user is deleted
    ADD COLUMN IF NOT EXISTS is_private boolean NOT NULL DEFAULT false, -- seen by its creator alone
    ADD COLUMN IF NOT EXISTS hidden_at timestamptz,       -- taken out of sight by staff
    ADD COLUMN IF NOT EXISTS archived_at timestamptz;     -- out of use; a LoRA is never deleted
SELECT pg_temp.add_time('lora_models', 'created_at'), pg_temp.add_time('lora_models', 'updated_at');

ALTER TABLE public.jobs ADD COLUMN IF NOT EXISTS user_id uuid;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.jobs'::regclass
                   AND attname = 'lora_model_id' AND NOT attisdropped) THEN
        ALTER TABLE public.jobs ADD COLUMN lora_model_id uuid;
        PERFORM pg_temp.add_reference('jobs', 'lora_model_id', 'public.lora_models', 'SET NULL');
    END IF;
END
$$;
SELECT pg_temp.add_time('jobs', 'created_at');

ALTER TABLE public.lora_training_jobs
    ADD COLUMN IF NOT EXISTS lora_model_id uuid,
    ADD COLUMN IF NOT EXISTS user_id uuid,
    ADD COLUMN IF NOT EXISTS runpod_pod_id text,
    ADD COLUMN IF NOT EXISTS training_progress integer DEFAULT 0, -- 0 to 100
    ADD COLUMN IF NOT EXISTS estimated_remaining integer,         -- seconds
    ADD COLUMN IF NOT EXISTS error_message text,
    ADD COLUMN IF NOT EXISTS completed_at timestamptz,
    ADD COLUMN IF NOT EXISTS creator_name text;
SELECT pg_temp.add_time('lora_training_jobs', 'started_at'), pg_temp.add_time('lora_training_jobs', 'created_at');

ALTER TABLE public.user_training_limits
    ADD COLUMN IF NOT EXISTS loras_created_this_month integer DEFAULT 0,
    ADD COLUMN IF NOT EXISTS month_reset_date date NOT NULL DEFAULT current_date;
SELECT pg_temp.add_time('user_training_limits', 'created_at'), pg_temp.add_time('user_training_limits', 'updated_at');

-- One line of the ledger: never changed, corrected by a further line.
ALTER TABLE public.job_costs
    ADD COLUMN IF NOT EXISTS job_id uuid,
    ADD COLUMN IF NOT EXISTS kind text,                   -- reserve, settle, release, correct
    ADD COLUMN IF NOT EXISTS provider text,
    ADD COLUMN IF NOT EXISTS service text,
    ADD COLUMN IF NOT EXISTS model text,
    ADD COLUMN IF NOT EXISTS user_id uuid,
    ADD COLUMN IF NOT EXISTS generation_id uuid,
    ADD COLUMN IF NOT EXISTS lora_model_id uuid,
    ADD COLUMN IF NOT EXISTS stage text,
    ADD COLUMN IF NOT EXISTS quantity numeric,
    ADD COLUMN IF NOT EXISTS unit text,
    ADD COLUMN IF NOT EXISTS unit_price numeric,          -- USD
    ADD COLUMN IF NOT EXISTS price_version text,
    ADD COLUMN IF NOT EXISTS amount_usd numeric(12, 4),
    ADD COLUMN IF NOT EXISTS occurred_at timestamptz,
    ADD COLUMN IF NOT EXISTS source_key text;             -- what the line records, so that it is written once
SELECT pg_temp.add_time('job_costs', 'created_at');

-- A state of ours is one of eight; the company's systems never write this column.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'public.generations'::regclass
                   AND conname = 'generations_delivery_state_check') THEN
        ALTER TABLE public.generations ADD CONSTRAINT generations_delivery_state_check CHECK (
            delivery_state IN ('intent', 'sending', 'awaiting_provider', 'awaiting_delivery', 'delivered',
                               'failed', 'lost', 'needs_attention')) NOT VALID;
    END IF;
END
$$;

SELECT pg_temp.let_rows_in('generations', ARRAY['provider', 'kind', 'model', 'prompt', 'status', 'created_at',
                                                'updated_at']);
SELECT pg_temp.let_rows_in('job_costs', ARRAY['kind', 'provider', 'service', 'occurred_at', 'amount_usd']);

-- LoRAs and their runs outlive the user; a pending LoRA has no file yet. The check refuses nothing
-- that the columns' own NOT NULL, which it replaces, let in.
SELECT pg_temp.keep_rows('lora_models', 'user_id'), pg_temp.keep_rows('lora_training_jobs', 'user_id'),
       pg_temp.keep_rows('lora_training_jobs', 'lora_model_id');
DO $$
DECLARE
    strict_columns int;
BEGIN
    SELECT count(*) INTO strict_columns FROM pg_attribute
    WHERE attrelid = 'public.lora_models'::regclass AND attnotnull
      AND attname IN ('storage_path', 'storage_url', 'file_size');
    ALTER TABLE public.lora_models
        ALTER COLUMN storage_path DROP NOT NULL,
        ALTER COLUMN storage_url DROP NOT NULL,
        ALTER COLUMN file_size DROP NOT NULL;
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'public.lora_models'::regclass
               AND conname = 'lora_models_stored_when_completed') THEN
        RETURN;
    END IF;
    IF strict_columns = 3 THEN
        ALTER TABLE public.lora_models ADD CONSTRAINT lora_models_stored_when_completed CHECK (
            training_status <> 'completed'
            OR (storage_path IS NOT NULL AND storage_url IS NOT NULL AND file_size IS NOT NULL)) NOT VALID;
    ELSE
        PERFORM public.studio_ops_finding(
            3, 'completed_without_file', 'lora_models',
            'A completed LoRA may have no file: its columns were nullable before, so no check was added.',
            'When nothing writes such rows: ALTER TABLE public.lora_models ADD CONSTRAINT'
            ' lora_models_stored_when_completed CHECK (training_status <> ''completed'' OR (storage_path IS'
            ' NOT NULL AND storage_url IS NOT NULL AND file_size IS NOT NULL))');
    END IF;
END
$$;

-- Columns whose type is none of those that the queries work with.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT e.tab, e.col, e.types, format_type(a.atttypid, NULL) AS type
        FROM (VALUES
            ('generations', 'user_id', ARRAY['uuid']),
            ('generations', 'provider', ARRAY['text', 'character varying']),
            ('generations', 'kind', ARRAY['text', 'character varying']),
            ('generations', 'model', ARRAY['text', 'character varying']),
            ('generations', 'prompt', ARRAY['text', 'character varying']),
            ('generations', 'task_id', ARRAY['text', 'character varying']),
            ('generations', 'result_urls', ARRAY['text[]', 'character varying[]', 'jsonb', 'json', 'text']),
            ('generations', 'preview_url', ARRAY['text', 'character varying']),
            ('generations', 'asset_url', ARRAY['text', 'character varying']),
            ('generations', 'created_at', ARRAY['timestamp with time zone']),
            ('generations', 'updated_at', ARRAY['timestamp with time zone']),
            ('generations', 'input', ARRAY['jsonb']),
            ('generations', 'request_key', ARRAY['text']),
            ('generations', 'legacy_status', ARRAY['text']),
            ('generations', 'delivery_state', ARRAY['text']),
            ('generations', 'next_attempt_at', ARRAY['timestamp with time zone']),
            ('generations', 'attempt_priority', ARRAY['smallint']),
            ('generations', 'attempt', ARRAY['integer']),
            ('generations', 'lease_until', ARRAY['timestamp with time zone']),
            ('generations', 'lease_token', ARRAY['uuid']),
            ('generations', 'submitted_at', ARRAY['timestamp with time zone']),
            ('generations', 'provider_state', ARRAY['text']),
            ('generations', 'provider_read_at', ARRAY['timestamp with time zone']),
            ('generations', 'result_expires_at', ARRAY['timestamp with time zone']),
            ('generations', 'failure_category', ARRAY['text']),
            ('generations', 'failure_code', ARRAY['text']),
            ('generations', 'failure_message', ARRAY['text']),
            ('generations', 'watched_until', ARRAY['timestamp with time zone']),
            ('generations', 'delivered_at', ARRAY['timestamp with time zone']),
            ('lora_models', 'user_id', ARRAY['uuid']),
            ('jobs', 'user_id', ARRAY['uuid']),
            ('job_costs', 'user_id', ARRAY['uuid']),
            ('job_costs', 'generation_id', ARRAY['uuid']),
            ('job_costs', 'kind', ARRAY['text', 'character varying']),
            ('job_costs', 'provider', ARRAY['text', 'character varying']),
            ('job_costs', 'service', ARRAY['text', 'character varying']),
            ('job_costs', 'amount_usd', ARRAY['numeric']),
            ('job_costs', 'source_key', ARRAY['text'])
        ) AS e (tab, col, types)
        JOIN pg_attribute a ON a.attrelid = to_regclass('public.' || e.tab) AND a.attname = e.col
                           AND NOT a.attisdropped
        WHERE format_type(a.atttypid, NULL) <> ALL (e.types)
    LOOP
        PERFORM public.studio_ops_finding(
            3, 'unexpected_type', found.tab || '.' || found.col,
            format('%s.%s is %s; Studio Ops works with %s.',
                   found.tab, found.col, found.type, array_to_string(found.types, ' or ')),
            CASE WHEN found.type = 'timestamp without time zone'
                 THEN 'Its times are taken for UTC. If they are, nothing need be done.'
                 ELSE 'Change the column''s type, or rename the column and run this file again.' END);
    END LOOP;
END
$$;

RESET lock_timeout;
