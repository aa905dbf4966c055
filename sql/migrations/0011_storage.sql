-- Supabase Storage, where its tables exist: the service role's policy for result files, and the
-- function that makes a bucket. Both belong to another role there, so a refusal is a finding.

SET lock_timeout = '5s';

DELETE FROM public.migration_findings WHERE migration = 11 AND code = 'storage_policy';

DO $$
DECLARE
    command text := 'CREATE POLICY "Service can manage all generation files" ON storage.objects FOR ALL'
                    ' TO service_role USING (bucket_id = ''generations'') WITH CHECK (bucket_id = ''generations'')';
BEGIN
    IF to_regclass('storage.objects') IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = 'storage' AND tablename = 'objects'
               AND policyname = 'Service can manage all generation files' AND roles = '{service_role}') THEN
        RETURN;
    END IF;
    DROP POLICY IF EXISTS "Service can manage all generation files" ON storage.objects;
    EXECUTE command;
EXCEPTION
    WHEN insufficient_privilege OR undefined_object THEN
        PERFORM public.studio_ops_finding(
            11, 'storage_policy', 'storage.objects',
            format('The policy for the service role''s files could not be made: %s.', SQLERRM),
            format('In the Supabase dashboard, Storage, Policies, bucket generations: a policy for role'
                   ' service_role, all operations; or as the owner of storage.objects: %s', command));
END
$$;

-- Makes a bucket or opens an existing one as far as we need it, never further shut than it is: its
-- other users' types and sizes stay allowed. Says made, changed, unchanged, refused, or absent where
-- there is no Supabase Storage; a refusal is recorded as a finding.
CREATE OR REPLACE FUNCTION public.studio_ops_put_bucket(
    p_name text, p_public boolean, p_content_types text[], p_max_bytes bigint
) RETURNS text LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    command text := format(
        'INSERT INTO storage.buckets AS b (id, name, public, file_size_limit, allowed_mime_types)'
        ' VALUES (%1$L, %1$L, %2$L, %3$L, %4$L) ON CONFLICT (id) DO UPDATE'
        ' SET public = b.public OR EXCLUDED.public,'
        '     file_size_limit = CASE WHEN b.file_size_limit IS NOT NULL'
        '                            THEN greatest(b.file_size_limit, EXCLUDED.file_size_limit) END,'
        '     allowed_mime_types = CASE WHEN b.allowed_mime_types IS NOT NULL'
        '         THEN ARRAY(SELECT DISTINCT t FROM unnest(b.allowed_mime_types || EXCLUDED.allowed_mime_types) t'
        '                    ORDER BY t) END',
        p_name, p_public, p_max_bytes, p_content_types);
    stands text := 'unchanged';
    bucket record;
BEGIN
    DELETE FROM public.migration_findings
    WHERE migration = 11 AND object = 'storage.buckets ' || p_name AND code LIKE 'bucket\_%';
    BEGIN
        IF to_regclass('storage.buckets') IS NULL THEN
            RETURN 'absent';
        END IF;
        SELECT b.public, b.file_size_limit, b.allowed_mime_types INTO bucket FROM storage.buckets b WHERE b.id = p_name;
        IF NOT FOUND THEN
            stands := 'made';
        ELSIF (p_public AND NOT bucket.public) OR bucket.file_size_limit < p_max_bytes
              OR NOT coalesce(bucket.allowed_mime_types @> p_content_types, true) THEN
            stands := 'changed';
        END IF;
        IF stands <> 'unchanged' THEN
            EXECUTE command;
        END IF;
        -- Row-level security hides a row from an UPDATE without a word.
        SELECT b.public, b.file_size_limit, b.allowed_mime_types INTO bucket FROM storage.buckets b WHERE b.id = p_name;
        IF NOT FOUND OR (p_public AND NOT bucket.public) OR bucket.file_size_limit < p_max_bytes
           OR NOT coalesce(bucket.allowed_mime_types @> p_content_types, true) THEN
            RAISE insufficient_privilege USING MESSAGE = 'row-level security keeps this role from it';
        END IF;
    EXCEPTION
        WHEN insufficient_privilege THEN
            PERFORM public.studio_ops_finding(
                11, 'bucket_refused', 'storage.buckets ' || p_name,
                format('The bucket %s could not be set up: %s.', p_name, SQLERRM),
                format('In the Supabase dashboard, Storage: bucket %s, %s, at most %s bytes a file, types %s;'
                       ' or as the owner of storage.buckets: %s', p_name,
                       CASE WHEN p_public THEN 'public' ELSE 'private' END, p_max_bytes,
                       array_to_string(p_content_types, ', '), command));
            RETURN 'refused';
    END;
    IF bucket.public AND NOT p_public THEN
        PERFORM public.studio_ops_finding(
            11, 'bucket_public', 'storage.buckets ' || p_name,
            format('The bucket %s is public: whoever knows a file''s address can read it.', p_name),
            format('If no system relies on that, make it private: UPDATE storage.buckets SET public = false'
                   ' WHERE id = %L', p_name));
    END IF;
    RETURN stands;
END
$$;
REVOKE ALL ON FUNCTION public.studio_ops_put_bucket(text, boolean, text[], bigint) FROM PUBLIC;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role') LOOP
        EXECUTE format('%s ON FUNCTION public.studio_ops_put_bucket(text, boolean, text[], bigint) %s %I',
                       CASE role WHEN 'service_role' THEN 'GRANT EXECUTE' ELSE 'REVOKE ALL' END,
                       CASE role WHEN 'service_role' THEN 'TO' ELSE 'FROM' END, role);
    END LOOP;
END
$$;

RESET lock_timeout;
