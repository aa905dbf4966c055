-- Finding a generation by whatever a person has in hand: its result's address, its customer, and the task
-- of a callback. Its id, its task and its asset_url have their indexes. On a large table each of these
-- holds other writers up while it is built; 0008_indexes.sql says how to make them beforehand.

SET lock_timeout = '5s';
SET statement_timeout = 0;

-- Keys of the addresses in result_urls, whatever type the company gave that column: text[], jsonb, json or
-- JSON in text. Numbers in place of the addresses, because an index refuses a value of more than 2,704
-- bytes, and nothing that other systems write may be refused. At most 100 addresses of a row are found.
CREATE OR REPLACE FUNCTION public.studio_ops_url_keys(urls anyelement) RETURNS int[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(to_jsonb(urls))
        WHEN 'array' THEN (
            SELECT array_agg(DISTINCT hashtext(e.url))
            FROM (SELECT url FROM jsonb_array_elements_text(to_jsonb(urls)) AS u(url) LIMIT 100) e)
        WHEN 'string' THEN CASE WHEN left(ltrim(to_jsonb(urls) #>> '{}'), 1) = '['
            THEN (
                SELECT array_agg(DISTINCT hashtext(replace(e.found[1], '\/', '/')))
                FROM (SELECT found FROM regexp_matches(to_jsonb(urls) #>> '{}', '"((?:[^"\\]|\\.)+)"', 'g')
                      AS m(found) LIMIT 100) e)
            ELSE ARRAY[hashtext(to_jsonb(urls) #>> '{}')] END
    END
$$;
GRANT EXECUTE ON FUNCTION public.studio_ops_url_keys(anyelement) TO PUBLIC;

DO $$
DECLARE
    broken regclass;
BEGIN
    FOR broken IN
        SELECT i.indexrelid::regclass
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('generations_result_urls', 'generations_of_user', 'callback_inbox_task')
    LOOP
        EXECUTE format('DROP INDEX %s', broken);
    END LOOP;
END
$$;

CREATE INDEX IF NOT EXISTS generations_result_urls ON public.generations
    USING gin (public.studio_ops_url_keys(result_urls)) WHERE result_urls IS NOT NULL;
CREATE INDEX IF NOT EXISTS generations_of_user ON public.generations (user_id, created_at DESC, id DESC)
    WHERE user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS callback_inbox_task ON public.callback_inbox USING hash (task_id)
    WHERE task_id IS NOT NULL;

RESET statement_timeout;
RESET lock_timeout;
