-- The tables of Studio Ops itself: timelines, callbacks, files, the machinery's runs, the audit log.

SET lock_timeout = '5s';

-- The steps of a delivery. No foreign key: what happened stays known when a generation is deleted.
CREATE TABLE IF NOT EXISTS public.delivery_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    generation_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    attempt int,
    duration_ms int,
    bytes bigint,
    error_category text,
    words text,                                   -- the provider's
    detail jsonb NOT NULL DEFAULT '{}',
    request_id text
);
ALTER TABLE public.delivery_events ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS delivery_events_generation ON public.delivery_events (generation_id, id);

-- Callbacks as they came in. KIE sends no event id, and a task's id alone would drop its second word
-- (fail, then success): the hash of the body is what makes one unique.
CREATE TABLE IF NOT EXISTS public.callback_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text NOT NULL,
    body_sha256 text NOT NULL,
    task_id text,
    generation_id uuid,
    received_at timestamptz NOT NULL DEFAULT now(),
    body jsonb,
    signed boolean NOT NULL DEFAULT false,
    handled_at timestamptz,
    outcome text,
    duplicates int NOT NULL DEFAULT 0,
    UNIQUE (provider, body_sha256)
);
ALTER TABLE public.callback_inbox ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS callback_inbox_unhandled ON public.callback_inbox (received_at) WHERE handled_at IS NULL;
CREATE INDEX IF NOT EXISTS callback_inbox_generation ON public.callback_inbox (generation_id, id);

-- Files in our storage; n counts a generation's files from 0, and the first is its asset_url.
CREATE TABLE IF NOT EXISTS public.stored_files (
    bucket text NOT NULL,
    path text NOT NULL,
    generation_id uuid,
    n int NOT NULL DEFAULT 0,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    content_type text NOT NULL,
    url text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, path)
);
ALTER TABLE public.stored_files ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS stored_files_generation ON public.stored_files (generation_id, n);

-- One slot of a scheduled job. Its key lets several clocks fire it once.
CREATE TABLE IF NOT EXISTS public.job_runs (
    job text NOT NULL,
    slot timestamptz NOT NULL,
    enqueued_at timestamptz DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    state text NOT NULL DEFAULT 'enqueued',
    error text,
    worker text,
    items int,
    PRIMARY KEY (job, slot)
);
ALTER TABLE public.job_runs ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS job_runs_latest ON public.job_runs (job, state, slot DESC);

CREATE TABLE IF NOT EXISTS public.process_heartbeats (
    id uuid PRIMARY KEY,
    role text NOT NULL,
    host text,
    pid int,
    version text,
    started_at timestamptz,
    beat_at timestamptz NOT NULL DEFAULT now(),
    detail jsonb NOT NULL DEFAULT '{}'
);
ALTER TABLE public.process_heartbeats ENABLE ROW LEVEL SECURITY;

-- One limiter a provider key for all processes: calls get places on a line, `per_second` of them a
-- second, and the next free place is at `next_free_at`.
CREATE TABLE IF NOT EXISTS public.provider_limits (
    key text PRIMARY KEY,
    per_second numeric NOT NULL CHECK (per_second > 0),
    next_free_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE public.provider_limits ENABLE ROW LEVEL SECURITY;

-- Who did what; 0006_guards.sql lets nobody change a line.
CREATE TABLE IF NOT EXISTS public.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_kind text,
    actor_id text,
    actor_name text,
    action text,
    object_type text,
    object_id text,
    before jsonb,
    after jsonb,
    reason text,
    request_id text,
    source text
);
ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY;
CREATE INDEX IF NOT EXISTS audit_log_object ON public.audit_log (object_type, object_id, id);

RESET lock_timeout;
