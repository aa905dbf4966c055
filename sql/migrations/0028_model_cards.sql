-- The test images of a published LoRA on its card at Hugging Face, added once they are judged.

SET lock_timeout = '5s';

ALTER TABLE public.lora_training_jobs
    ADD COLUMN IF NOT EXISTS card_due_at timestamptz,       -- when they are to be added; NULL: nothing is to be done
    ADD COLUMN IF NOT EXISTS card_attempt int NOT NULL DEFAULT 0, -- failures in a row
    ADD COLUMN IF NOT EXISTS card_error text,
    ADD COLUMN IF NOT EXISTS card_samples int;              -- how many are on the card; NULL: none were added

CREATE INDEX IF NOT EXISTS lora_training_jobs_card_due ON public.lora_training_jobs (card_due_at)
    WHERE card_due_at IS NOT NULL;

RESET lock_timeout;
