-- Generations at fal, and generations that are made with a LoRA.

SET lock_timeout = '5s';

ALTER TABLE public.generations
    ADD COLUMN IF NOT EXISTS task_addresses jsonb,        -- where fal is asked about it; NULL: its id is enough
    ADD COLUMN IF NOT EXISTS lora_model_id uuid,          -- the LoRA that it is made with
    ADD COLUMN IF NOT EXISTS lora_way text,               -- direct, first_frame, references
    ADD COLUMN IF NOT EXISTS frame_id uuid,               -- the generation that makes its first frame
    ADD COLUMN IF NOT EXISTS frame_for uuid,              -- the generation whose first frame this one is
    ADD COLUMN IF NOT EXISTS frame_size text,             -- fal's name of the first frame's size
    ADD COLUMN IF NOT EXISTS frame_ready_at timestamptz;  -- when its first frame was handed to it

SET statement_timeout = 0;
-- On a large table see 0008_indexes.sql for building these beforehand. Few rows have a LoRA.
CREATE INDEX IF NOT EXISTS generations_framed ON public.generations (frame_ready_at DESC)
    WHERE frame_ready_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS generations_by_references ON public.generations (created_at DESC)
    WHERE lora_way = 'references';
RESET statement_timeout;

RESET lock_timeout;
