-- Requests of the API to train a LoRA, by the key that their caller gave them: asked again, each leads to the
-- same training, and with another body it is refused. `draft_id` becomes the LoRA's.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.lora_requests (
    caller text NOT NULL,
    key text NOT NULL,
    body_sha256 text NOT NULL,
    draft_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX IF NOT EXISTS lora_requests_old ON public.lora_requests (requested_at);
ALTER TABLE public.lora_requests ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON public.lora_requests FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        DROP POLICY IF EXISTS "Service can manage all lora_requests" ON public.lora_requests;
        CREATE POLICY "Service can manage all lora_requests" ON public.lora_requests
            FOR ALL TO service_role USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.lora_requests TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
