-- A search of the library may be for some LoRAs alone, whatever else narrows it, and for those in use and those
-- in the archive at once: an alert about weights has counted both.

SET lock_timeout = '5s';

-- As before, and NULL asks for nothing: of `p_archived` too, and of `p_among`, the LoRAs that it is about. The one
-- without `p_among` stays for a version before this one.
CREATE OR REPLACE FUNCTION public.studio_ops_lora_fits(
    e public.lora_library, p_sees_all boolean, p_viewer uuid, p_viewer_key text, p_archived boolean,
    p_words tsquery, p_near uuid[], p_status text, p_creator text, p_mine boolean, p_since timestamptz,
    p_until timestamptz, p_base_model text, p_tag text, p_rating numeric, p_published boolean,
    p_restricted boolean, p_among uuid[]
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (p_sees_all OR e.is_listed OR e.user_id = p_viewer OR e.creator_key = p_viewer_key)
       AND (p_archived IS NULL OR e.is_archived = p_archived)
       AND (p_among IS NULL OR e.lora_model_id = ANY (p_among))
       AND (p_near IS NOT NULL OR p_words IS NULL OR e.words @@ p_words)
       AND (p_near IS NULL OR e.words @@ p_words OR e.lora_model_id = ANY (p_near))
       AND (p_status IS NULL OR e.status = p_status)
       AND (p_creator IS NULL OR e.creator LIKE p_creator)
       AND (p_mine IS NOT TRUE OR e.user_id = p_viewer OR e.creator_key = p_viewer_key)
       AND (p_since IS NULL OR e.created_at >= p_since)
       AND (p_until IS NULL OR e.created_at < p_until)
       AND (p_base_model IS NULL OR e.base_model = p_base_model)
       AND (p_tag IS NULL OR e.tags @> ARRAY[p_tag])
       AND (p_rating IS NULL OR e.rating_average >= p_rating)
       AND (p_published IS NULL OR e.is_published = p_published)
       AND (p_restricted IS NOT TRUE OR NOT e.is_listed)
$$;

DO $$
DECLARE
    function text;
    role text;
BEGIN
    FOR function IN SELECT oid::regprocedure::text FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace AND proname = 'studio_ops_lora_fits'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', function, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', function);
        END IF;
    END LOOP;
END
$$;

RESET lock_timeout;
