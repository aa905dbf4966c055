-- Alerts that several processes watch at once.

SET lock_timeout = '5s';

-- When a process last recorded that the cause was there, by the database's clock: who looked before then does
-- not resolve it.
ALTER TABLE public.alerts ADD COLUMN IF NOT EXISTS recorded_at timestamptz;

RESET lock_timeout;
