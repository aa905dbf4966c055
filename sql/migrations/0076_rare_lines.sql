-- Rare lines of the ledger are found without reading the many: flagged ones, and those of providers other than
-- the one that nearly all generations are made at. What a month's runs have cost is read from an index alone.
-- On a large table see 0008_indexes.sql for building them beforehand.

SET lock_timeout = '5s';
SET statement_timeout = 0;

CREATE INDEX IF NOT EXISTS job_costs_flagged ON public.job_costs (scope, month, occurred_at DESC, id DESC) WHERE flagged;
CREATE INDEX IF NOT EXISTS job_costs_provider
    ON public.job_costs (left(provider, 80), scope, month, occurred_at DESC, id DESC) WHERE provider <> 'kie';
-- An index takes 2,704 bytes at most, and another system's word may be longer: no write is refused for it.
CREATE INDEX IF NOT EXISTS job_costs_models
    ON public.job_costs (left(coalesce(model, service), 120), month, occurred_at DESC, id DESC);
DROP INDEX IF EXISTS public.job_costs_model;
CREATE INDEX IF NOT EXISTS cost_rollup_runs ON public.cost_rollup (start, key) INCLUDE (settled_usd, reserved_usd)
    WHERE scope = 'trainings' AND dimension = 'run' AND grain = 'month';

RESET statement_timeout;
RESET lock_timeout;
