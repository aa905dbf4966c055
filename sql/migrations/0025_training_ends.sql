-- Since when a run is being ended: a provider that does not confirm it in time leaves the run to a person.

SET lock_timeout = '5s';

ALTER TABLE public.lora_training_jobs ADD COLUMN IF NOT EXISTS ending_since timestamptz; -- NULL: it is not

UPDATE public.lora_training_jobs SET ending_since = now() WHERE state = 'ending' AND ending_since IS NULL;

SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS lora_training_jobs_unconfirmed ON public.lora_training_jobs (updated_at)
    WHERE state = 'needs_attention' AND ends_as IS NOT NULL;
RESET statement_timeout;

RESET lock_timeout;
