-- By which way an image of a training was fetched; NULL for one that was given as a file.

SET lock_timeout = '5s';
ALTER TABLE public.training_images ADD COLUMN IF NOT EXISTS way text; -- direct, proxy
RESET lock_timeout;
