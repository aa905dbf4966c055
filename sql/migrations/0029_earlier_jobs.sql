-- The newest jobs of the company's application, whose characters can be trained.

SET lock_timeout = '5s';
SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS jobs_newest ON public.jobs (created_at DESC);
RESET statement_timeout;
RESET lock_timeout;
