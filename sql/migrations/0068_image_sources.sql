-- Which address an image was fetched from, as the hash of it: an address may hold a key.

SET lock_timeout = '5s';

ALTER TABLE public.training_images ADD COLUMN IF NOT EXISTS source_sha256 text; -- NULL: a file, or not known

RESET lock_timeout;
