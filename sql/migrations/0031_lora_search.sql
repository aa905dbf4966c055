-- Searching the library: one place that says which LoRAs a search finds, and the indexes behind each way of
-- filtering and sorting. Words are found by their beginnings everywhere; parts of words and misspelt ones
-- where the extension pg_trgm is there.

SET lock_timeout = '5s';

-- Whether an entry is what is looked for. NULL asks for nothing; of `p_words` and `p_near`, LoRAs found some
-- other way, one is enough. Plain SQL without settings of its own, so that Postgres puts its text in the
-- place of the call and finds the indexes for it.
CREATE OR REPLACE FUNCTION public.studio_ops_lora_fits(
    e public.lora_library, p_sees_all boolean, p_viewer uuid, p_viewer_key text, p_archived boolean,
    p_words tsquery, p_near uuid[], p_status text, p_creator text, p_mine boolean, p_since timestamptz,
    p_until timestamptz, p_base_model text, p_tag text, p_rating numeric, p_published boolean,
    p_restricted boolean
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (p_sees_all OR e.is_listed OR e.user_id = p_viewer OR e.creator_key = p_viewer_key)
       AND e.is_archived = p_archived
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

-- Makes the indexes by which parts of words and misspelt ones are found; false without pg_trgm. To have that
-- later: CREATE EXTENSION pg_trgm; SELECT studio_ops_find_parts();
CREATE OR REPLACE FUNCTION public.studio_ops_find_parts() RETURNS boolean
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    place text;
BEGIN
    SELECT n.nspname INTO place
    FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
    WHERE x.extname = 'pg_trgm';
    IF place IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE INDEX IF NOT EXISTS lora_library_parts ON public.lora_passages'
                   ' USING gin (text %1$I.gin_trgm_ops)', place);
    EXECUTE format('CREATE INDEX IF NOT EXISTS lora_library_alike ON public.lora_library'
                   ' USING gin (name_key %1$I.gin_trgm_ops)', place);
    RETURN true;
END
$$;

-- At most `most` LoRAs that have the text anywhere in name or description, or a name nearly like it;
-- none where pg_trgm or its indexes are not there.
CREATE OR REPLACE FUNCTION public.studio_ops_loras_near(given text, most int) RETURNS uuid[]
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    place text;
    found uuid[];
    alike uuid[];
    part text := lower(btrim(given));
BEGIN
    SELECT n.nspname INTO place
    FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
    WHERE x.extname = 'pg_trgm';
    IF place IS NULL OR length(part) < 3 OR to_regclass('public.lora_library_parts') IS NULL THEN
        RETURN '{}';
    END IF;
    SELECT array_agg(e.lora_model_id) INTO found
    FROM (SELECT lora_model_id FROM public.lora_passages
          WHERE text LIKE '%' || replace(replace(replace(part, '\', '\\'), '%', '\%'), '_', '\_') || '%'
          LIMIT most) e;
    IF coalesce(cardinality(found), 0) < most THEN
        -- Two letters that changed places cost a word of ten half of its likeness.
        PERFORM set_config('pg_trgm.word_similarity_threshold', '0.4', true);
        EXECUTE format('SELECT array_agg(e.lora_model_id) FROM (SELECT lora_model_id FROM public.lora_library'
                       ' WHERE name_key OPERATOR(%1$I.%%>) $1 LIMIT $2) e', place)
        INTO alike USING left(part, 100), most;
    END IF;
    RETURN coalesce(found, '{}') || coalesce(alike, '{}');
END
$$;

DO $$
DECLARE
    function text;
    role text;
BEGIN
    FOR function IN SELECT oid::regprocedure::text FROM pg_proc
                    WHERE pronamespace = 'public'::regnamespace
                      AND proname IN ('studio_ops_lora_fits', 'studio_ops_find_parts', 'studio_ops_loras_near')
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

SET statement_timeout = 0;
-- A way of sorting each, and once more within a status: the pending ones all have no uses, and are new.
CREATE INDEX IF NOT EXISTS lora_library_uses ON public.lora_library (uses, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_created ON public.lora_library (created_at, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_name ON public.lora_library (name_key, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_score ON public.lora_library (rating_score, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_status_uses ON public.lora_library (status, uses, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_status_created ON public.lora_library (status, created_at, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_status_name ON public.lora_library (status, name_key, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_status_score ON public.lora_library (status, rating_score, lora_model_id);
CREATE INDEX IF NOT EXISTS lora_library_words ON public.lora_library USING gin (words, tags);
CREATE INDEX IF NOT EXISTS lora_library_creator ON public.lora_library (creator text_pattern_ops);
CREATE INDEX IF NOT EXISTS lora_library_user ON public.lora_library (user_id);
CREATE INDEX IF NOT EXISTS lora_library_key ON public.lora_library (creator_key);
CREATE INDEX IF NOT EXISTS lora_library_base ON public.lora_library (base_model);
CREATE INDEX IF NOT EXISTS lora_library_average ON public.lora_library (rating_average)
    WHERE rating_average IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_library_restricted ON public.lora_library (created_at) WHERE NOT is_listed;
CREATE INDEX IF NOT EXISTS lora_library_published ON public.lora_library (created_at) WHERE is_published;
CREATE INDEX IF NOT EXISTS lora_library_recent ON public.lora_library (recent_uses DESC) WHERE recent_uses > 0;
-- Archived ones and rated ones are few, and seldom where an order begins: the rated ones are the used ones.
CREATE INDEX IF NOT EXISTS lora_library_archived_uses ON public.lora_library (uses, lora_model_id) WHERE is_archived;
CREATE INDEX IF NOT EXISTS lora_library_archived_created ON public.lora_library (created_at, lora_model_id)
    WHERE is_archived;
CREATE INDEX IF NOT EXISTS lora_library_archived_name ON public.lora_library (name_key, lora_model_id)
    WHERE is_archived;
CREATE INDEX IF NOT EXISTS lora_library_archived_score ON public.lora_library (rating_score, lora_model_id)
    WHERE is_archived;
CREATE INDEX IF NOT EXISTS lora_library_rated_uses ON public.lora_library (uses, lora_model_id)
    WHERE rating_average IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_library_rated_created ON public.lora_library (created_at, lora_model_id)
    WHERE rating_average IS NOT NULL;
CREATE INDEX IF NOT EXISTS lora_library_rated_name ON public.lora_library (name_key, lora_model_id)
    WHERE rating_average IS NOT NULL;
SELECT public.studio_ops_find_parts();
RESET statement_timeout;

RESET lock_timeout;
