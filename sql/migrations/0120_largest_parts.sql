-- The parts of a month by what was paid for them, as they are shown; what is only promised decides among equals.
SET lock_timeout = '5s';
SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS cost_rollup_paid
    ON public.cost_rollup (scope, dimension, grain, start, settled_usd DESC, reserved_usd DESC, key);
DROP INDEX IF EXISTS public.cost_rollup_largest;
RESET statement_timeout;
RESET lock_timeout;
