-- LoRAs of a rehearsal can be taken away again, and no others: their ids lie in the range of a rehearsal, which
-- no other row may come into, a rehearsal must stand, and one function alone deletes them. The guard stays on.

SET lock_timeout = '5s';

-- What belongs to a rehearsal is told by its id, which never changes (core/rehearsal/models.py).
CREATE OR REPLACE FUNCTION public.studio_ops_is_rehearsed(id uuid) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT id BETWEEN '5ce9e000-0000-8000-0000-000000000000' AND '5ce9e000-0000-8fff-ffff-ffffffffffff'
$$;

CREATE OR REPLACE FUNCTION public.studio_ops_refuse_lora_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- The setting names this very transaction, and only studio_ops_clear_rehearsed_loras sets it.
        IF public.studio_ops_is_rehearsed(OLD.id) AND public.studio_ops_is_rehearsed(coalesce(OLD.user_id, OLD.id))
           AND current_setting('studio_ops.clears_rehearsal', true) = pg_catalog.pg_current_xact_id()::text THEN
            -- Asked last, since not everybody may read it.
            IF EXISTS (SELECT FROM public.rehearsals) THEN
                RETURN OLD;
            END IF;
        END IF;
    END IF;
    RAISE EXCEPTION 'LoRA models are never deleted. Archive it instead:'
        ' UPDATE lora_models SET archived_at = now() WHERE id = …'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Better on the page LoRA library, which asks for the reason. To take it out of sight at'
                     ' once, hide it (hidden_at). Both can be undone.';
END
$$;

-- No LoRA becomes one of a rehearsal, and none of a rehearsal becomes another one.
CREATE OR REPLACE FUNCTION public.studio_ops_keep_lora_id() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'A LoRA never comes into a rehearsal, nor out of it, by a change of its id.'
        USING ERRCODE = 'restrict_violation', HINT = 'Leave the id as it is.';
END
$$;
CREATE OR REPLACE TRIGGER studio_ops_keep_id BEFORE UPDATE OF id ON public.lora_models
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id
                       AND (public.studio_ops_is_rehearsed(OLD.id) OR public.studio_ops_is_rehearsed(NEW.id)))
    EXECUTE FUNCTION public.studio_ops_keep_lora_id();
ALTER TABLE public.lora_models ENABLE ALWAYS TRIGGER studio_ops_keep_id;

-- Takes away the LoRAs of the rehearsal that stands here, with all that the library has of them; how many.
-- Words that no other LoRA has are forgotten.
CREATE OR REPLACE FUNCTION public.studio_ops_clear_rehearsed_loras() RETURNS bigint
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    tab text;
    going uuid[];
    words text[];
    cleared bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM public.rehearsals) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(array_agg(id), '{}') INTO going FROM public.lora_models
    WHERE public.studio_ops_is_rehearsed(id) AND public.studio_ops_is_rehearsed(coalesce(user_id, id));
    SELECT coalesce(array_agg(DISTINCT w.word), '{}') INTO words
    FROM public.lora_library k, unnest(tsvector_to_array(k.words)) AS w(word)
    WHERE k.lora_model_id = ANY (going);
    DELETE FROM public.lora_versions WHERE parent_id = ANY (going) OR character_id = ANY (going);
    FOREACH tab IN ARRAY ARRAY['lora_ratings', 'lora_reports', 'lora_standing', 'lora_versions', 'lora_uses', 'lora_uses_daily',
                               'lora_weight_proofs', 'lora_passages', 'lora_library'] LOOP
        EXECUTE format('DELETE FROM public.%I WHERE lora_model_id = ANY ($1)', tab) USING going;
    END LOOP;
    DELETE FROM public.lora_vocabulary v
    WHERE v.word = ANY (words)
      AND NOT EXISTS (SELECT FROM public.lora_library k WHERE k.words @@ quote_literal(v.word)::tsquery);
    PERFORM set_config('studio_ops.clears_rehearsal', pg_catalog.pg_current_xact_id()::text, true);
    DELETE FROM public.lora_models WHERE id = ANY (going);
    GET DIAGNOSTICS cleared = ROW_COUNT;
    PERFORM set_config('studio_ops.clears_rehearsal', '', true);
    RETURN cleared;
END
$$;

DO $$
DECLARE
    role text;
BEGIN
    REVOKE ALL ON FUNCTION public.studio_ops_clear_rehearsed_loras() FROM PUBLIC;
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION public.studio_ops_clear_rehearsed_loras() FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT EXECUTE ON FUNCTION public.studio_ops_clear_rehearsed_loras() TO service_role;
    END IF;
END
$$;

RESET lock_timeout;
