-- What an hour of the machine costs that is ordered at RunPod, and what a run was expected to cost: for one that is
-- paid by the hour, less than what is reserved for it.

SET lock_timeout = '5s';

INSERT INTO public.prices (provider, service, unit, unit_usd, valid_from, source) VALUES
    ('runpod', 'gpu', 'hour', 1.79, '2026-11-20 UTC', 'A100 80GB PCIe, secure cloud')
ON CONFLICT (provider, service, valid_from) DO NOTHING;

ALTER TABLE public.lora_training_jobs
    ADD COLUMN IF NOT EXISTS expected_usd numeric(12, 4); -- NULL: as quoted_usd

RESET lock_timeout;
