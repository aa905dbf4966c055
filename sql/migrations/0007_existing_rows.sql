-- Rows that were here before: older status words are mapped, with the original kept in
-- legacy_status, and every generation gets the state that its own words say. A word that nobody
-- knows stays as it is and is recorded as a finding. No other value of a row changes, updated_at
-- included, and the company's triggers (webhooks among them) don't fire for it.

SET lock_timeout = '5s';
SET statement_timeout = 0;

DELETE FROM public.migration_findings WHERE migration = 7 AND is_open;

-- Turns a table's other triggers off for this transaction; the commands that turn them on again. A
-- role that may not silence its own session has to switch them off in the table, and then other
-- writers wait for the end of it: about half a minute for a million rows.
CREATE OR REPLACE FUNCTION pg_temp.silence(tab regclass) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    loud "char"[] := '{A,R}';
    before text := current_setting('session_replication_role');
    found record;
    commands text[] := '{}';
BEGIN
    BEGIN
        PERFORM set_config('session_replication_role', 'replica', true);
    EXCEPTION
        WHEN insufficient_privilege THEN
            loud := '{A,O}';
    END;
    FOR found IN
        SELECT tgname, tgenabled FROM pg_trigger
        WHERE tgrelid = tab AND NOT tgisinternal AND tgenabled = ANY (loud) AND tgtype & 16 <> 0
          AND tgname NOT LIKE 'zz\_studio\_ops\_%'
    LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', tab, found.tgname);
        commands := commands || format(
            'ALTER TABLE %s ENABLE %s TRIGGER %I', tab,
            CASE found.tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, found.tgname);
    END LOOP;
    IF 'R' = ANY (loud) THEN
        commands := commands || format('SET LOCAL session_replication_role = %s', before);
    END IF;
    RETURN commands;
END
$$;

CREATE OR REPLACE FUNCTION pg_temp.run(commands text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(commands) LOOP
        EXECUTE commands[i];
    END LOOP;
END
$$;

-- Generations. Unfinished ones of the last 14 days are due at once, behind everything new; older
-- ones, which the provider may have forgotten, follow two a second, newest first.
DO $$
DECLARE
    command text;
    restore text[];
    one uuid;
BEGIN
    PERFORM set_config('studio_ops.migrating', 'on', true);
    CREATE TEMP TABLE studio_ops_rows ON COMMIT DROP AS
    SELECT id, seen, asset_url, word, state,
           CASE WHEN state IN ('awaiting_provider', 'awaiting_delivery') THEN
               now() + CASE WHEN fresh THEN interval '0'
                            ELSE interval '0.5 s' * row_number() OVER (
                                PARTITION BY state IN ('awaiting_provider', 'awaiting_delivery'), fresh
                                ORDER BY created_at DESC NULLS LAST, id) END
           END AS due,
           CASE WHEN state IN ('awaiting_provider', 'awaiting_delivery')
                     AND (created_at < now() - interval '1 hour' OR created_at IS NULL) THEN 3 ELSE 2 END AS priority
    FROM (SELECT id, status::text AS seen, asset_url::text AS asset_url, created_at, delivery_state,
                 coalesce(created_at >= now() - interval '14 days', false) AS fresh,
                 public.generation_status(status::text) AS word,
                 public.generation_delivery_state(provider::text, status::text, task_id::text, asset_url::text)
                     AS state
          FROM public.generations) g
    WHERE (delivery_state IS NULL AND state IS NOT NULL) OR word <> seen;

    -- What another system has changed meanwhile is left to it, and to the trigger.
    SELECT format(
        'UPDATE public.generations g'
        ' SET status = %s, legacy_status = CASE WHEN d.word <> d.seen THEN d.seen ELSE g.legacy_status END,'
        '     next_attempt_at = CASE WHEN g.delivery_state IS NULL THEN d.due ELSE g.next_attempt_at END,'
        '     attempt_priority = CASE WHEN g.delivery_state IS NULL THEN d.priority ELSE g.attempt_priority END,'
        '     delivery_state = coalesce(g.delivery_state, d.state)'
        ' FROM pg_temp.studio_ops_rows d'
        ' WHERE g.id = d.id AND g.status::text = d.seen AND g.asset_url::text IS NOT DISTINCT FROM d.asset_url',
        CASE WHEN t.typtype = 'e' THEN format('d.word::%s', t.oid::regtype) ELSE 'd.word' END)
    INTO command
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = 'public.generations'::regclass AND a.attname = 'status' AND NOT a.attisdropped;

    restore := pg_temp.silence('public.generations');
    BEGIN
        EXECUTE command;
    EXCEPTION
        -- Some row breaks a check that the company's table has: the others are not held up by it.
        WHEN integrity_constraint_violation OR data_exception THEN
            CREATE INDEX ON pg_temp.studio_ops_rows (id);
            FOR one IN SELECT id FROM pg_temp.studio_ops_rows LOOP
                BEGIN
                    EXECUTE command || ' AND d.id = $1' USING one;
                EXCEPTION
                    WHEN integrity_constraint_violation OR data_exception THEN
                        PERFORM public.studio_ops_finding(
                            7, 'row_not_followed', 'generations ' || one,
                            format('Generation %s is not followed, because its row may not be changed: %s',
                                   one, SQLERRM),
                            'Correct the row; any change of its status makes it followed.', 1);
                END;
            END LOOP;
    END;
    PERFORM pg_temp.run(restore);
    PERFORM set_config('studio_ops.migrating', '', true);
END
$$;

-- LoRAs and runs get their creator's name.
DO $$
DECLARE
    restore text[];
BEGIN
    restore := pg_temp.silence('public.lora_models');
    UPDATE public.lora_models SET creator_name = public.studio_ops_person_name(user_id)
    WHERE creator_name IS NULL AND public.studio_ops_person_name(user_id) IS NOT NULL;
    PERFORM pg_temp.run(restore);
    restore := pg_temp.silence('public.lora_training_jobs');
    UPDATE public.lora_training_jobs SET creator_name = public.studio_ops_person_name(user_id)
    WHERE creator_name IS NULL AND public.studio_ops_person_name(user_id) IS NOT NULL;
    PERFORM pg_temp.run(restore);
END
$$;

-- What stands in the rows that nobody can know: reported, left as it is.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT status::text AS word, count(*) AS n FROM public.generations
        WHERE public.generation_status(status::text) IS NULL
        GROUP BY status::text ORDER BY n DESC LIMIT 100
    LOOP
        PERFORM public.studio_ops_finding(
            7, 'unknown_status', 'generations.status ' || coalesce(quote_literal(left(found.word, 60)), 'NULL'),
            format('%s generations have the status %s, which has no known meaning; they are not followed.',
                   found.n, coalesce(quote_literal(left(found.word, 60)), 'NULL')),
            'If its meaning is known, set status to queued, generating, success or failed in these rows.',
            found.n);
    END LOOP;

    SELECT count(*) AS ids, sum(n) AS n INTO found
    FROM (SELECT count(*) AS n FROM public.generations WHERE task_id IS NOT NULL
          GROUP BY task_id HAVING count(*) > 1) d;
    IF found.ids > 0 THEN
        PERFORM public.studio_ops_finding(
            7, 'duplicate_task_id', 'generations.task_id',
            format('%s task ids stand in more than one generation, %s rows in all; each row is followed.',
                   found.ids, found.n), NULL, found.n::bigint);
    END IF;

    SELECT count(*) AS n INTO found FROM public.generations WHERE created_at IS NULL;
    IF found.n > 0 THEN
        PERFORM public.studio_ops_finding(
            7, 'no_created_at', 'generations.created_at',
            format('%s generations have no created_at; lists show them last.', found.n),
            'Set created_at where it is known.', found.n);
    END IF;
END
$$;

ALTER TABLE public.generations VALIDATE CONSTRAINT generations_delivery_state_check;

RESET statement_timeout;
RESET lock_timeout;
