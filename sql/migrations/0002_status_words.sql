-- The four words of generations.status (queued, generating, success, failed): what older words mean,
-- and an existing column made to accept them. It keeps accepting whatever it accepts today.

SET lock_timeout = '5s';

DELETE FROM public.migration_findings WHERE migration = 2 AND is_open;

-- The word of the four that `word` stands for; NULL when nobody knows it.
CREATE OR REPLACE FUNCTION public.generation_status(word text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN lower(btrim(word)) IN ('queued', 'pending', 'queuing', 'in_queue', 'waiting', 'created', 'new',
                                    'submitted', 'scheduled')
            THEN 'queued'
        WHEN lower(btrim(word)) IN ('generating', 'processing', 'running', 'in_progress', 'in-progress',
                                    'started', 'starting')
            THEN 'generating'
        WHEN lower(btrim(word)) IN ('success', 'successful', 'succeeded', 'completed', 'complete', 'done',
                                    'finished', 'ready')
            THEN 'success'
        WHEN lower(btrim(word)) IN ('failed', 'fail', 'failure', 'error', 'errored', 'canceled', 'cancelled',
                                    'aborted', 'rejected', 'timeout', 'timed_out', 'expired')
            THEN 'failed'
    END
$$;
-- The trigger on generations calls it in the name of whoever writes.
GRANT EXECUTE ON FUNCTION public.generation_status(text) TO PUBLIC;

-- A status column of an enum type: the words that it lacks are added to the type.
DO $$
DECLARE
    enum_type regtype;
    word text;
BEGIN
    SELECT t.oid::regtype INTO enum_type
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass('public.generations') AND a.attname = 'status' AND NOT a.attisdropped
      AND t.typtype = 'e';
    IF enum_type IS NULL THEN
        RETURN;
    END IF;
    FOREACH word IN ARRAY ARRAY['queued', 'generating', 'success', 'failed'] LOOP
        EXECUTE format('ALTER TYPE %s ADD VALUE IF NOT EXISTS %L', enum_type, word);
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        PERFORM public.studio_ops_finding(
            2, 'status_enum', 'generations.status',
            format('generations.status is the enum %s, which belongs to another role.', enum_type),
            format('As its owner: ALTER TYPE %s ADD VALUE IF NOT EXISTS %L, and so for queued, generating,'
                   ' success and failed; then run 0007_existing_rows.sql again.', enum_type, 'queued'));
END
$$;

-- A CHECK on status alone that refuses one of the four is widened by them, under its own name.
DO $$
DECLARE
    status_column pg_attribute;
    found record;
    accepts boolean;
BEGIN
    SELECT a.* INTO status_column
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass('public.generations') AND a.attname = 'status' AND NOT a.attisdropped
      AND t.typtype <> 'e';
    FOR found IN
        SELECT conname, convalidated, pg_get_expr(conbin, conrelid) AS expression
        FROM pg_constraint
        WHERE conrelid = status_column.attrelid AND contype = 'c' AND conkey = ARRAY[status_column.attnum]
    LOOP
        EXECUTE format(
            'SELECT bool_and(coalesce((%s), true)) FROM (SELECT CAST(w AS text) AS status'
            ' FROM unnest(ARRAY[''queued'', ''generating'', ''success'', ''failed'']) AS w) AS generations',
            found.expression) INTO accepts;
        CONTINUE WHEN accepts;
        EXECUTE format(
            'ALTER TABLE public.generations DROP CONSTRAINT %1$I, ADD CONSTRAINT %1$I CHECK ((%2$s)'
            ' OR status IN (''queued'', ''generating'', ''success'', ''failed'')) NOT VALID',
            found.conname, found.expression);
        IF found.convalidated THEN
            EXECUTE format('ALTER TABLE public.generations VALIDATE CONSTRAINT %I', found.conname);
        END IF;
        PERFORM public.studio_ops_finding(
            2, 'status_check_widened', 'generations.' || found.conname,
            format('The check %s now also accepts queued, generating, success and failed; it was: %s',
                   found.conname, found.expression), p_is_open => false);
    END LOOP;
END
$$;

RESET lock_timeout;
