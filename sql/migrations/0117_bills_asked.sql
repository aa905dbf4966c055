-- When RunPod was last asked what it has billed for a pod, so that all of them have their turn.

SET lock_timeout = '5s';

ALTER TABLE public.training_calls ADD COLUMN IF NOT EXISTS bill_asked_at timestamptz;
ALTER TABLE public.orphan_pods ADD COLUMN IF NOT EXISTS bill_asked_at timestamptz;

SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS training_calls_pods_ended ON public.training_calls (ended_at)
    WHERE provider = 'runpod' AND remote_id IS NOT NULL;
RESET statement_timeout;

RESET lock_timeout;
