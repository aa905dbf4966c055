-- When days were last added up together with their hours, so that the day that has not ended is right as
-- well. An earlier version adds a day up once it has ended, and leaves this behind rolled_at.

SET lock_timeout = '5s';

ALTER TABLE public.delivery_rollup_state ADD COLUMN IF NOT EXISTS added_at timestamptz;

RESET lock_timeout;
