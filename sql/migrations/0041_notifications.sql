-- Messages to people, what became of each, and what alerts need beside that.

SET lock_timeout = '5s';

-- A message for one channel of ALERT_URLS, or for one address by the channel that sends mail. `key` says
-- what it tells of, so that it is told once. A channel is named by a hash of its address, which is a secret.
CREATE TABLE IF NOT EXISTS public.notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key text NOT NULL,
    channel text NOT NULL,
    label text NOT NULL,                          -- of the channel, without a secret
    recipient text,                               -- an address; NULL: whom the channel itself names
    title text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    error text,
    UNIQUE (key, channel)
);
CREATE INDEX IF NOT EXISTS notifications_due ON public.notifications (next_attempt_at)
    WHERE state IN ('waiting', 'sending');
CREATE INDEX IF NOT EXISTS notifications_newest ON public.notifications (channel, created_at DESC);

-- Who wants to be told by mail how a training of theirs ended; `person` is the creator's key.
CREATE TABLE IF NOT EXISTS public.notification_choices (
    person text PRIMARY KEY,
    email text NOT NULL,
    since timestamptz NOT NULL
);

-- Pods that bear our mark and belong to no run, as the sweep found them at RunPod.
CREATE TABLE IF NOT EXISTS public.orphan_pods (
    pod_id text PRIMARY KEY,
    usd_per_hour numeric(12, 4),
    seen_at timestamptz NOT NULL,
    ended_at timestamptz
);

ALTER TABLE public.alerts
    -- When its messages were written. Those that stand open already are on people's lists: nobody is
    -- written to about them now.
    ADD COLUMN IF NOT EXISTS notified_at timestamptz DEFAULT now(),
    ADD COLUMN IF NOT EXISTS message_key text,                     -- of the message that told of it
    ADD COLUMN IF NOT EXISTS once boolean NOT NULL DEFAULT false;  -- its subject is told of one time for good
ALTER TABLE public.alerts ALTER COLUMN notified_at DROP DEFAULT;
CREATE UNIQUE INDEX IF NOT EXISTS alerts_once ON public.alerts (kind, subject) WHERE once;
CREATE INDEX IF NOT EXISTS alerts_past ON public.alerts (resolved_at DESC, id DESC) WHERE resolved_at IS NOT NULL;

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['notifications', 'notification_choices', 'orphan_pods'] LOOP
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
