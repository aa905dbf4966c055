-- Failures by their signature, as people see to them: what fails, since when, for how many, and who has it.
-- A job keeps the numbers from delivery_rollup; people keep state, owner and note.

SET lock_timeout = '5s';

-- `n` is how many stand like that now, of those begun within the counted days; `n_day` and `n_day_before` of
-- the last 24 hours and of the 24 before; `days` of the last 14 days (UTC), oldest first. `newest_at` is when
-- its newest generation was begun, `users` how many customers its newest ones belong to.
CREATE TABLE IF NOT EXISTS public.failure_groups (
    signature text PRIMARY KEY,
    model text NOT NULL,
    stands text NOT NULL,
    category text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    n bigint NOT NULL DEFAULT 0,
    n_day bigint NOT NULL DEFAULT 0,
    n_day_before bigint NOT NULL DEFAULT 0,
    days bigint[] NOT NULL DEFAULT '{}',
    users int NOT NULL DEFAULT 0,
    users_of int NOT NULL DEFAULT 0,
    looked_at_n bigint,
    first_seen_at timestamptz NOT NULL,
    newest_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved', 'ignored')),
    ignored_until timestamptz,
    owner text,
    note text,
    changed_by text,
    changed_at timestamptz,
    reopened_at timestamptz
);
CREATE INDEX IF NOT EXISTS failure_groups_listed ON public.failure_groups (n_day DESC, n DESC, signature);

DO $$
DECLARE
    role text;
BEGIN
    ALTER TABLE public.failure_groups ENABLE ROW LEVEL SECURITY;
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.failure_groups FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all failure_groups" ON public.failure_groups;
        CREATE POLICY "Service can manage all failure_groups" ON public.failure_groups
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.failure_groups TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
