-- Two ways of asking whose answers were put together from a hundred thousand entries of other indexes.

SET lock_timeout = '5s';

SET statement_timeout = 0;
CREATE INDEX IF NOT EXISTS lora_library_published_base ON public.lora_library (base_model, created_at)
    WHERE is_published;
-- What operations look for among what nobody sees; it is counted from the index alone.
CREATE INDEX IF NOT EXISTS lora_library_restricted_used ON public.lora_library (uses, lora_model_id)
    WHERE NOT is_listed AND NOT is_archived;
RESET statement_timeout;

RESET lock_timeout;
