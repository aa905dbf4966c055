-- What is never deleted or changed: LoRAs, the name of who made them, and lines of the audit log.

SET lock_timeout = '5s';

CREATE OR REPLACE FUNCTION public.studio_ops_refuse_lora_delete() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'LoRA models are never deleted. Archive it instead:'
        ' UPDATE lora_models SET archived_at = now() WHERE id = …'
        USING ERRCODE = 'restrict_violation',
              HINT = 'To take it out of sight at once, set hidden_at. Both can be undone.';
END
$$;

CREATE OR REPLACE FUNCTION public.studio_ops_refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'Lines of the audit log are never changed or deleted.'
        USING ERRCODE = 'restrict_violation', HINT = 'Write a further line that says what was wrong.';
END
$$;

-- The name that people know a user by; NULL when there is none, or no auth.users that may be read.
CREATE OR REPLACE FUNCTION public.studio_ops_person_name(person uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    found jsonb;
BEGIN
    IF person IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT to_jsonb(u) INTO found FROM auth.users u WHERE u.id = person;
    RETURN coalesce(nullif(found ->> 'email', ''), found -> 'raw_user_meta_data' ->> 'full_name');
EXCEPTION
    WHEN insufficient_privilege OR undefined_table OR undefined_column OR invalid_schema_name THEN
        RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_person_name(uuid) FROM PUBLIC;

-- Keeps the creator's name in the row, so that it outlives the user. It runs as its owner because
-- whoever writes a LoRA may not read auth.users; it never refuses a write.
CREATE OR REPLACE FUNCTION public.studio_ops_keep_creator() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF NEW.user_id IS NOT NULL THEN
        NEW.creator_name := coalesce(public.studio_ops_person_name(NEW.user_id), NEW.creator_name);
    ELSIF TG_OP = 'UPDATE' THEN
        NEW.creator_name := coalesce(NEW.creator_name, OLD.creator_name);
    END IF;
    RETURN NEW;
EXCEPTION
    WHEN OTHERS THEN
        RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER studio_ops_never_deleted BEFORE DELETE ON public.lora_models
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_refuse_lora_delete();
CREATE OR REPLACE TRIGGER studio_ops_never_truncated BEFORE TRUNCATE ON public.lora_models
    FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_refuse_lora_delete();
CREATE OR REPLACE TRIGGER studio_ops_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION public.studio_ops_refuse_audit_change();
-- Also in sessions that replay changes as a replica does.
ALTER TABLE public.lora_models ENABLE ALWAYS TRIGGER studio_ops_never_deleted;
ALTER TABLE public.lora_models ENABLE ALWAYS TRIGGER studio_ops_never_truncated;
ALTER TABLE public.audit_log ENABLE ALWAYS TRIGGER studio_ops_append_only;

CREATE OR REPLACE TRIGGER zz_studio_ops_keep_creator BEFORE INSERT OR UPDATE ON public.lora_models
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_keep_creator();
CREATE OR REPLACE TRIGGER zz_studio_ops_keep_creator BEFORE INSERT OR UPDATE ON public.lora_training_jobs
    FOR EACH ROW EXECUTE FUNCTION public.studio_ops_keep_creator();

RESET lock_timeout;
