-- Where the migrations say what they met in an existing database: what they left alone or could not
-- do, with its remedy (open), and what of the company's own they changed (not open, kept for good).
-- And what must hold before anything is changed.
--
-- Every file here may run again, in psql or an SQL editor too. Each takes its locks within 5 seconds
-- or fails, so that it never queues in front of other systems' work: run it again at a quieter time.

SET lock_timeout = '5s';

CREATE TABLE IF NOT EXISTS public.migration_findings (
    migration int NOT NULL,
    code text NOT NULL,
    object text NOT NULL,
    message text NOT NULL,
    remedy text,
    row_count bigint,
    is_open boolean NOT NULL DEFAULT true,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (migration, code, object)
);
ALTER TABLE public.migration_findings ENABLE ROW LEVEL SECURITY;

-- Records a finding of a migration; the same one again replaces it.
CREATE OR REPLACE FUNCTION public.studio_ops_finding(
    p_migration int, p_code text, p_object text, p_message text,
    p_remedy text DEFAULT NULL, p_row_count bigint DEFAULT NULL, p_is_open boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RAISE NOTICE '%', p_message;
    INSERT INTO public.migration_findings (migration, code, object, message, remedy, row_count, is_open)
    VALUES (p_migration, p_code, p_object, p_message, p_remedy, p_row_count, p_is_open)
    ON CONFLICT (migration, code, object) DO UPDATE
    SET message = EXCLUDED.message, remedy = EXCLUDED.remedy, row_count = EXCLUDED.row_count,
        is_open = EXCLUDED.is_open, found_at = EXCLUDED.found_at;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_finding(int, text, text, text, text, bigint, boolean) FROM PUBLIC;

DO $$
DECLARE
    found record;
    id_type text;
BEGIN
    FOR found IN
        SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('generations', 'lora_models', 'lora_training_jobs', 'user_training_limits',
                            'jobs', 'job_costs')
    LOOP
        IF found.relkind NOT IN ('r', 'p') THEN
            RAISE EXCEPTION 'public.% is not a table, so it cannot be migrated.', found.relname
                USING HINT = 'Rename it, or run the migrations in another database.';
        END IF;
        IF NOT pg_has_role(current_user, found.owner, 'USAGE') THEN
            RAISE EXCEPTION 'public.% belongs to %, and % may not change it.',
                found.relname, found.owner, current_user
                USING ERRCODE = 'insufficient_privilege',
                      HINT = format('Run the migrations as %I, or as a member of it.', found.owner);
        END IF;
    END LOOP;

    SELECT format_type(atttypid, NULL) INTO id_type
    FROM pg_attribute
    WHERE attrelid = to_regclass('public.generations') AND attname = 'id' AND NOT attisdropped;
    IF id_type <> 'uuid' THEN
        RAISE EXCEPTION 'generations.id is %, and Studio Ops needs uuid.', id_type
            USING HINT = 'Everything that belongs to a generation refers to it by a uuid.';
    END IF;
END
$$;

RESET lock_timeout;
