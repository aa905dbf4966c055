-- Plans of a bulk resync: what was frozen when the dry run was made, and what became of each item.

SET lock_timeout = '5s';

-- One plan. `source` is the list that it was made from, as an address names it; `counts` are the dry run's
-- groups and `reads` the calls of each provider; `results` is set when it is over.
CREATE TABLE IF NOT EXISTS public.resync_plans (
    id uuid PRIMARY KEY,
    request_key text NOT NULL UNIQUE,
    name text NOT NULL,
    source jsonb NOT NULL,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'running', 'paused', 'finished', 'aborted')),
    reason text,
    counts jsonb NOT NULL DEFAULT '{}',
    reads jsonb NOT NULL DEFAULT '{}',
    expected_s double precision NOT NULL DEFAULT 0,
    results jsonb,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_by text,
    started_at timestamptz,
    changed_by text,
    changed_at timestamptz,
    ended_at timestamptz,
    lease_until timestamptz,
    lease_token uuid
);
CREATE INDEX IF NOT EXISTS resync_plans_newest ON public.resync_plans (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS resync_plans_open ON public.resync_plans (state) WHERE state IN ('draft', 'running', 'paused');
CREATE INDEX IF NOT EXISTS resync_plans_of_failure ON public.resync_plans ((source ->> 'signature'), created_at DESC)
    WHERE source ->> 'signature' IS NOT NULL;

-- One item, in the order of the plan. `version` is the row as it was judged; an item that was left out has its
-- reason in `sentence`. `named` is what was pasted, where no generation has that id.
CREATE TABLE IF NOT EXISTS public.resync_items (
    plan_id uuid NOT NULL REFERENCES public.resync_plans (id) ON DELETE CASCADE,
    n int NOT NULL,
    generation_id uuid,
    named text,
    provider text,
    stood text,
    version text,
    sorted text NOT NULL CHECK (sorted IN ('eligible', 'delivered', 'in_flight', 'expired', 'unknown', 'not_yours')),
    state text NOT NULL CHECK (state IN ('left_out', 'waiting', 'working', 'delivered', 'answered', 'failed', 'skipped',
                                         'not_begun')),
    sentence text,
    tries int NOT NULL DEFAULT 0,
    changed boolean NOT NULL DEFAULT false,
    begun_at timestamptz,
    ended_at timestamptz,
    lease_until timestamptz,
    lease_token uuid,
    PRIMARY KEY (plan_id, n)
);
CREATE UNIQUE INDEX IF NOT EXISTS resync_items_once ON public.resync_items (plan_id, generation_id)
    WHERE generation_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS resync_items_state ON public.resync_items (plan_id, state, provider, n);
-- Two plans that overlap never work on the same generation at the same time.
CREATE UNIQUE INDEX IF NOT EXISTS resync_items_working ON public.resync_items (generation_id) WHERE state = 'working';
CREATE INDEX IF NOT EXISTS resync_items_generation ON public.resync_items (generation_id, ended_at DESC)
    WHERE ended_at IS NOT NULL;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['resync_plans', 'resync_items'] LOOP
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

RESET lock_timeout;
