-- How large the rehearsal is meant to be, and how far its filling or clearing has come.

SET lock_timeout = '5s';

ALTER TABLE public.rehearsals
    ADD COLUMN IF NOT EXISTS generations int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS done int NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS total int NOT NULL DEFAULT 0;

RESET lock_timeout;
