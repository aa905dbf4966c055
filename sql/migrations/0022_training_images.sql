-- The images of trainings that are being put together or have been launched, and how their downloads go.

SET lock_timeout = '5s';

-- One row an image that somebody gave. `lora_model_id` is the draft's id and later that of its LoRA, which
-- need not exist yet. Sizes, format and sha256 are of the file as it is stored; a refused one is not stored.
-- `stored_at` is NULL until the file lies at its path; `n` is never given twice within a draft.
CREATE TABLE IF NOT EXISTS public.training_images (
    lora_model_id uuid NOT NULL,
    n int NOT NULL,
    owner text NOT NULL,                          -- the customer or the person, the first part of the path
    source text NOT NULL,                         -- file, url, reference, generated
    original_name text NOT NULL,
    original_sha256 text NOT NULL,
    bucket text,
    path text,
    sha256 text,
    bytes bigint NOT NULL,
    width int NOT NULL,
    height int NOT NULL,
    format text NOT NULL,                         -- jpg, png, webp; empty for what is no image
    phash text NOT NULL DEFAULT '',
    verdict text NOT NULL,                        -- fits, converted, warned, refused
    reasons text[] NOT NULL DEFAULT '{}',
    thumbnail bytea,
    approved boolean NOT NULL DEFAULT true,
    added_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    stored_at timestamptz,
    removed_at timestamptz,
    PRIMARY KEY (lora_model_id, n)
);
-- The same image twice is one.
CREATE UNIQUE INDEX IF NOT EXISTS training_images_once ON public.training_images (lora_model_id, original_sha256)
    WHERE removed_at IS NULL;

-- The ZIP that was made of a training's images; `images` is a hash of theirs, so that a retry knows it again.
CREATE TABLE IF NOT EXISTS public.training_zips (
    lora_model_id uuid PRIMARY KEY,
    bucket text NOT NULL,
    path text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    images int NOT NULL,
    images_sha256 text NOT NULL,
    used_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS training_zips_path ON public.training_zips (bucket, path);

-- Downloads of images by the hour and the way: how many came that way and how many did not; `lost` are those
-- that came no way at all, counted at the last that was tried.
CREATE TABLE IF NOT EXISTS public.training_image_downloads (
    hour timestamptz NOT NULL,
    way text NOT NULL,                            -- direct, proxy
    succeeded bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    lost bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, way)
);

DO $$
DECLARE
    tab text;
    role text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['training_images', 'training_zips', 'training_image_downloads'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', tab);
        FOR role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON public.%I FROM %I', tab, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
            EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', 'Service can manage all ' || tab, tab);
            EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                           'Service can manage all ' || tab, tab);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO service_role', tab);
        END IF;
    END LOOP;
END
$$;

RESET lock_timeout;
