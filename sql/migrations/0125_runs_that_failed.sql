-- The runs that failed or were cancelled, few among all: a month's lines are asked for theirs.
SET lock_timeout = '5s';
SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS lora_training_jobs_failed ON public.lora_training_jobs (id)
    WHERE state IN ('failed', 'cancelled');
RESET statement_timeout;
RESET lock_timeout;
