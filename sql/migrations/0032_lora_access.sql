-- Who may read and write what of the library. Users see shared LoRAs and their own, and may change name,
-- description, tags and privacy of an own one and nothing else; everything behind it is for service_role.

SET lock_timeout = '5s';

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['lora_library', 'lora_passages', 'lora_vocabulary', 'lora_ratings', 'lora_reports', 'lora_standing', 'lora_versions',
                               'lora_uses', 'lora_uses_daily'] LOOP
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

-- Where a file lies, what it cost, how often it was used, whether it passed, and everything of ours is written
-- by services alone: a user could otherwise name somebody else's file as that of an own LoRA.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
        REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON public.lora_models FROM anon;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
        REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON public.lora_models FROM authenticated;
        GRANT INSERT (id, user_id, name, description, training_status, triggered_by_job_id, character_description,
                      reference_image_urls, created_at, updated_at, tags, is_private)
            ON public.lora_models TO authenticated;
        GRANT UPDATE (name, description, tags, is_private) ON public.lora_models TO authenticated;
    END IF;
END
$$;

RESET lock_timeout;
