-- Who did it, beside the name that they had: for a person the address, as the audit log keeps it. Two people of
-- one name are told apart by it, and a new name makes nobody somebody else. NULL: from before this migration.

SET lock_timeout = '5s';

ALTER TABLE public.resync_plans
    ADD COLUMN IF NOT EXISTS created_by_id text,
    ADD COLUMN IF NOT EXISTS started_by_id text,
    ADD COLUMN IF NOT EXISTS changed_by_id text;
ALTER TABLE public.alerts ADD COLUMN IF NOT EXISTS acknowledged_by_id text;
ALTER TABLE public.failure_groups
    ADD COLUMN IF NOT EXISTS owner_id text,
    ADD COLUMN IF NOT EXISTS changed_by_id text;
ALTER TABLE public.job_runs ADD COLUMN IF NOT EXISTS asked_by_id text;
ALTER TABLE public.job_pauses
    ADD COLUMN IF NOT EXISTS paused_by_id text,
    ADD COLUMN IF NOT EXISTS ended_by_id text;
ALTER TABLE public.budget_limits ADD COLUMN IF NOT EXISTS set_by_id text;
ALTER TABLE public.prices ADD COLUMN IF NOT EXISTS set_by_id text;
ALTER TABLE public.budget_overrides
    ADD COLUMN IF NOT EXISTS approved_by_id text,
    ADD COLUMN IF NOT EXISTS ended_by_id text;
ALTER TABLE public.lora_standing
    ADD COLUMN IF NOT EXISTS hidden_by_id text,
    ADD COLUMN IF NOT EXISTS archived_by_id text;
ALTER TABLE public.training_calls ADD COLUMN IF NOT EXISTS judged_by_id text;
ALTER TABLE public.staff ADD COLUMN IF NOT EXISTS added_by_id text;
ALTER TABLE public.staff_sessions ADD COLUMN IF NOT EXISTS ended_by_id text;
ALTER TABLE public.check_results ADD COLUMN IF NOT EXISTS asked_by_id text;

-- Of plans the audit log knows it already.
UPDATE public.resync_plans p SET started_by_id = a.actor_id
FROM public.audit_log a
WHERE p.started_by_id IS NULL AND a.object_id = p.id::text AND a.action = 'plan.start' AND a.object_type = 'plan';

RESET lock_timeout;
