-- The library of LoRAs: what people add to one (tags, ratings, reports, versions, uses), and `lora_library`,
-- one narrow row a LoRA that is searched, filtered and sorted in its place. That row is kept by triggers, so
-- that the company's own table gets no indexes, no triggers of the company's fire for what we count, and no
-- write of another system is ever refused for it.

SET lock_timeout = '5s';

ALTER TABLE public.lora_models
    ADD COLUMN IF NOT EXISTS tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS base_model text;

-- `is_listed`: shared and not hidden, so that everybody may see it. `creator`, `name_key`: lower case, for
-- finding and sorting. `rating_score`: the average with five ratings of three stars added, so that few
-- ratings move it little. `recent_uses`, `is_popular`: as the job counted them last.
CREATE TABLE IF NOT EXISTS public.lora_library (
    lora_model_id uuid PRIMARY KEY,
    is_listed boolean NOT NULL,
    is_archived boolean NOT NULL,
    user_id uuid,
    creator_key text,
    creator text NOT NULL,
    status text NOT NULL,
    name_key text NOT NULL,
    created_at timestamptz NOT NULL,
    base_model text NOT NULL,
    is_published boolean NOT NULL,
    tags text[] NOT NULL,
    words tsvector NOT NULL,
    bytes bigint NOT NULL,
    uses bigint NOT NULL,
    last_used_at timestamptz,
    recent_uses int NOT NULL DEFAULT 0,
    is_popular boolean NOT NULL DEFAULT false,
    rating_count int NOT NULL DEFAULT 0,
    rating_sum int NOT NULL DEFAULT 0,
    rating_average numeric(4, 3),
    rating_score numeric(7, 5) NOT NULL DEFAULT 3
);

-- Name and description in lower case, for finding parts of words; apart, to keep the rows above narrow.
CREATE TABLE IF NOT EXISTS public.lora_passages (
    lora_model_id uuid PRIMARY KEY,
    text text NOT NULL
);

-- Every word that stands in the library. A search for the beginnings of words asks for the few words that
-- begin so, which an index answers faster than a beginning. Words stay when the last LoRA that had them changes.
CREATE TABLE IF NOT EXISTS public.lora_vocabulary (
    word text COLLATE "C" PRIMARY KEY
);

-- One rating a person; another one of theirs takes its place. `rated_by`: user:<uuid> or staff:<id>.
CREATE TABLE IF NOT EXISTS public.lora_ratings (
    lora_model_id uuid NOT NULL,
    rated_by text NOT NULL,
    stars int NOT NULL CHECK (stars BETWEEN 1 AND 5),
    rated_at timestamptz NOT NULL,
    PRIMARY KEY (lora_model_id, rated_by)
);

-- What people find wrong with a LoRA; `outcome` NULL: it waits for somebody who decides.
CREATE TABLE IF NOT EXISTS public.lora_reports (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    lora_model_id uuid NOT NULL,
    reported_by text NOT NULL,
    reporter_name text NOT NULL,
    reason text NOT NULL,
    note text,
    reported_at timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('hidden', 'dismissed')),
    decided_by text,
    decided_at timestamptz,
    decision_note text
);
CREATE UNIQUE INDEX IF NOT EXISTS lora_reports_once ON public.lora_reports (lora_model_id, reported_by)
    WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS lora_reports_open ON public.lora_reports (reported_at) WHERE outcome IS NULL;

-- Why a LoRA is hidden or archived, and who did it; apart, because users read the other columns.
CREATE TABLE IF NOT EXISTS public.lora_standing (
    lora_model_id uuid PRIMARY KEY,
    hidden_reason text,
    hidden_by text,
    archived_reason text,
    archived_by text
);

-- A LoRA that was trained anew from another one: versions of one character, whose id is that of its first
-- LoRA. Written before the training is launched, when the LoRA is a draft.
CREATE TABLE IF NOT EXISTS public.lora_versions (
    lora_model_id uuid PRIMARY KEY,
    parent_id uuid NOT NULL,
    character_id uuid NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS lora_versions_character ON public.lora_versions (character_id);

-- Generations that were made with a LoRA, each once; its counts follow by trigger. They stay when the
-- generation goes.
CREATE TABLE IF NOT EXISTS public.lora_uses (
    generation_id uuid NOT NULL,
    lora_model_id uuid NOT NULL,
    way text NOT NULL,                            -- direct, first_frame, references
    used_by text,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (generation_id, lora_model_id)
);
CREATE INDEX IF NOT EXISTS lora_uses_of_lora ON public.lora_uses (lora_model_id, used_at DESC, generation_id DESC);

-- Uses by the day (UTC).
CREATE TABLE IF NOT EXISTS public.lora_uses_daily (
    lora_model_id uuid NOT NULL,
    day date NOT NULL,
    uses int NOT NULL,
    PRIMARY KEY (lora_model_id, day)
);
CREATE INDEX IF NOT EXISTS lora_uses_daily_recent ON public.lora_uses_daily (day, lora_model_id);

-- Enters LoRAs into the library, or brings their entries up to date; NULL: those that have none. What people
-- rated and what the jobs counted stays.
CREATE OR REPLACE FUNCTION public.studio_ops_list_loras(ids uuid[]) RETURNS int
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    entered int;
BEGIN
    INSERT INTO public.lora_library AS e (
        lora_model_id, is_listed, is_archived, user_id, creator_key, creator, status, name_key, created_at,
        base_model, is_published, tags, words, bytes, uses, last_used_at)
    SELECT l.id, NOT l.is_private AND l.hidden_at IS NULL, l.archived_at IS NOT NULL, l.user_id,
           coalesce(l.creator_key, 'user:' || l.user_id), left(lower(coalesce(l.creator_name, '')), 200),
           coalesce(l.training_status::text, ''), left(lower(coalesce(l.name, '')), 255),
           coalesce(l.created_at, 'epoch'), coalesce(l.base_model, ''), coalesce(l.huggingface_url, '') <> '',
           coalesce(l.tags, '{}'),
           array_to_tsvector(ARRAY(
               SELECT DISTINCT left(w.word, 100)
               FROM regexp_split_to_table(public.studio_ops_plain_words(concat_ws(
                   ' ', l.name, l.trigger_word, left(l.description, 5000))), '\s+') AS w(word)
               WHERE w.word <> '')),
           coalesce(l.file_size, 0), coalesce(l.usage_count, 0),
           (SELECT max(u.used_at) FROM public.lora_uses u WHERE u.lora_model_id = l.id)
    FROM public.lora_models l
    WHERE CASE WHEN ids IS NULL
               THEN NOT EXISTS (SELECT FROM public.lora_library k WHERE k.lora_model_id = l.id)
               ELSE l.id = ANY (ids) END
    ON CONFLICT (lora_model_id) DO UPDATE
    SET is_listed = EXCLUDED.is_listed, is_archived = EXCLUDED.is_archived, user_id = EXCLUDED.user_id,
        creator_key = EXCLUDED.creator_key, creator = EXCLUDED.creator, status = EXCLUDED.status,
        name_key = EXCLUDED.name_key, created_at = EXCLUDED.created_at, base_model = EXCLUDED.base_model,
        is_published = EXCLUDED.is_published, tags = EXCLUDED.tags, words = EXCLUDED.words,
        bytes = EXCLUDED.bytes, uses = EXCLUDED.uses,
        last_used_at = coalesce(EXCLUDED.last_used_at, e.last_used_at);
    GET DIAGNOSTICS entered = ROW_COUNT;
    INSERT INTO public.lora_passages AS p (lora_model_id, text)
    SELECT l.id, left(lower(concat_ws(' ', l.name, l.description)), 300)
    FROM public.lora_models l
    WHERE CASE WHEN ids IS NULL
               THEN NOT EXISTS (SELECT FROM public.lora_passages k WHERE k.lora_model_id = l.id)
               ELSE l.id = ANY (ids) END
    ON CONFLICT (lora_model_id) DO UPDATE SET text = EXCLUDED.text WHERE p.text <> EXCLUDED.text;
    INSERT INTO public.lora_vocabulary (word)
    SELECT DISTINCT w.word
    FROM public.lora_library k, unnest(tsvector_to_array(k.words)) AS w(word)
    WHERE (ids IS NULL OR k.lora_model_id = ANY (ids))
      AND NOT EXISTS (SELECT FROM public.lora_vocabulary v WHERE v.word = w.word COLLATE "C")
    ORDER BY 1
    ON CONFLICT (word) DO NOTHING;
    RETURN entered;
END
$$;

-- Text with nothing but words and blanks in it. Postgres' own parser would take a name with dots or slashes
-- for an address or a file, and 410e6ab6 for a number and a word.
CREATE OR REPLACE FUNCTION public.studio_ops_plain_words(given text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(lower(given), E'!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32))
$$;
GRANT EXECUTE ON FUNCTION public.studio_ops_plain_words(text) TO PUBLIC;

-- Keeps tags as people find them again: lower case, without blanks around, at most twenty of forty letters.
CREATE OR REPLACE FUNCTION public.studio_ops_tidy_tags() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.tags := coalesce((
        SELECT array_agg(tag ORDER BY first) FROM (
            SELECT tag, min(n) AS first
            FROM unnest(NEW.tags) WITH ORDINALITY AS given(word, n),
                 LATERAL (SELECT left(btrim(lower(given.word)), 40) AS tag) tidied
            WHERE tag <> '' GROUP BY tag ORDER BY first LIMIT 20) kept), '{}');
    RETURN NEW;
EXCEPTION
    WHEN OTHERS THEN
        NEW.tags := '{}';
        RETURN NEW;
END
$$;

-- It runs as its owner because users write LoRAs and not the library; it never refuses a write.
CREATE OR REPLACE FUNCTION public.studio_ops_list_lora() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM public.studio_ops_list_loras(ARRAY[NEW.id]);
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        RAISE WARNING 'LoRA % is not in the library: %', NEW.id, SQLERRM;
        RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION public.studio_ops_count_rating() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    one int := CASE TG_OP WHEN 'INSERT' THEN 1 WHEN 'DELETE' THEN -1 ELSE 0 END;
    stars int := CASE TG_OP WHEN 'DELETE' THEN 0 ELSE NEW.stars END
               - CASE TG_OP WHEN 'INSERT' THEN 0 ELSE OLD.stars END;
BEGIN
    UPDATE public.lora_library
    SET rating_count = rating_count + one, rating_sum = rating_sum + stars,
        rating_average = (rating_sum + stars)::numeric / nullif(rating_count + one, 0),
        rating_score = (15 + rating_sum + stars)::numeric / (5 + rating_count + one)
    WHERE lora_model_id = CASE TG_OP WHEN 'DELETE' THEN OLD.lora_model_id ELSE NEW.lora_model_id END;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION public.studio_ops_count_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO public.lora_uses_daily AS d (lora_model_id, day, uses)
    VALUES (NEW.lora_model_id, (NEW.used_at AT TIME ZONE 'UTC')::date, 1)
    ON CONFLICT (lora_model_id, day) DO UPDATE SET uses = d.uses + 1;
    UPDATE public.lora_models SET usage_count = coalesce(usage_count, 0) + 1 WHERE id = NEW.lora_model_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER zz_studio_ops_tidy_tags BEFORE INSERT OR UPDATE OF tags ON public.lora_models
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_tidy_tags();
CREATE OR REPLACE TRIGGER zz_studio_ops_list AFTER INSERT OR UPDATE ON public.lora_models
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_list_lora();
CREATE OR REPLACE TRIGGER studio_ops_count_rating AFTER INSERT OR UPDATE OR DELETE ON public.lora_ratings
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_count_rating();
CREATE OR REPLACE TRIGGER studio_ops_count_use AFTER INSERT ON public.lora_uses
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_count_use();

-- The guard names what to do instead, now that pages and reasons are there for it.
CREATE OR REPLACE FUNCTION public.studio_ops_refuse_lora_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'LoRA models are never deleted. Archive it instead:'
        ' UPDATE lora_models SET archived_at = now() WHERE id = …'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Better on the page LoRA library, which asks for the reason. To take it out of sight at'
                     ' once, hide it (hidden_at). Both can be undone.';
END
$$;

DO $$
DECLARE
    function text;
    role text;
BEGIN
    FOREACH function IN ARRAY ARRAY['studio_ops_list_loras(uuid[])', 'studio_ops_list_lora()',
                                    'studio_ops_count_rating()', 'studio_ops_count_use()',
                                    'studio_ops_tidy_tags()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM PUBLIC', function);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM %I', function, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION public.%s TO service_role', function);
        END IF;
    END LOOP;
END
$$;

SET statement_timeout = 0;
SELECT public.studio_ops_list_loras(NULL);
RESET statement_timeout;

RESET lock_timeout;
