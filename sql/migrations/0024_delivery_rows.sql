-- The rows behind the numbers of Delivery health: a model's, and those of a failure group, newest first.
-- On a large table each of these holds other writers up while it is built; 0008_indexes.sql says how to
-- make them beforehand, after the files up to 0013.

SET lock_timeout = '5s';
SET statement_timeout = 0;

DO $$
DECLARE
    broken regclass;
BEGIN
    FOR broken IN
        SELECT i.indexrelid::regclass
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('generations_of_model', 'generations_of_failure')
    LOOP
        EXECUTE format('DROP INDEX %s', broken);
    END LOOP;
END
$$;

DELETE FROM public.migration_findings WHERE migration = 24 AND is_open;
DO $$
BEGIN
    CREATE INDEX IF NOT EXISTS generations_of_model ON public.generations
        ((left(coalesce(model::text, ''), 120)), created_at DESC, id DESC);
    CREATE INDEX IF NOT EXISTS generations_of_failure ON public.generations
        (public.generation_signature(model::text, public.generation_failure(
            delivery_state, failure_category, failure_code, coalesce(failure_message, error::text))),
         created_at DESC, id DESC)
        WHERE delivery_state IN ('failed', 'lost', 'needs_attention');
EXCEPTION
    -- The company's column is of a type whose text may change, such as an enum.
    WHEN invalid_object_definition THEN
        PERFORM public.studio_ops_finding(
            24, 'no_index', 'generations.model',
            format('The rows of a model and of a failure group have no index: %s', SQLERRM),
            'Nothing need be done below some million generations; beyond, make model and error text columns'
            ' and run this file again.');
END
$$;

RESET statement_timeout;
RESET lock_timeout;
