-- The lines of some runs in a month, newest first, from the index alone.
SET lock_timeout = '5s';
SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS job_costs_runs ON public.job_costs (run_id, month, occurred_at DESC, id DESC) INCLUDE (scope)
    WHERE run_id IS NOT NULL;
DROP INDEX IF EXISTS public.job_costs_run;
RESET statement_timeout;
RESET lock_timeout;
