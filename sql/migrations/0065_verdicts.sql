-- Runs whose test images wait for a verdict, by how long they have.

SET lock_timeout = '5s';
SET statement_timeout = 0;

CREATE INDEX IF NOT EXISTS lora_training_jobs_unjudged ON public.lora_training_jobs (heartbeat_at)
    WHERE state = 'awaiting_verdict';

RESET statement_timeout;
RESET lock_timeout;
