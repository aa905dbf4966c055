-- The same company's database before its migration 011, with the other choice wherever legacy.sql
-- assumes a type: result_urls jsonb, status varchar with a CHECK of older words, times without a zone,
-- columns that must have a value, no row-level security, a trigger of their own, and a login of the
-- Node application (company_app) that is no member of service_role. There are no LoRA tables yet.

INSERT INTO auth.users (id, email) VALUES
    ('a0000000-0000-4000-8000-000000000001', 'ada@example.com'),
    ('a0000000-0000-4000-8000-000000000002', 'bo@example.com');

CREATE TABLE public.generations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES auth.users (id),
    model varchar(100) NOT NULL,
    prompt text NOT NULL,
    credits integer NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'pending',
    task_id varchar(100),
    result_urls jsonb DEFAULT '[]',
    error_message text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT generations_status_check CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'paused'))
);
GRANT SELECT, INSERT, UPDATE ON public.generations TO company_app;

CREATE TABLE public.touched (generation_id uuid);
GRANT INSERT ON public.touched TO company_app;
CREATE FUNCTION public.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    INSERT INTO public.touched VALUES (NEW.id);
    RETURN NEW;
END
$$;
CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.generations
    FOR EACH ROW EXECUTE FUNCTION public.set_updated_at();

INSERT INTO public.generations (id, user_id, model, prompt, credits, status, task_id, result_urls, created_at, updated_at)
VALUES
    ('10000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'flux', 'a', 2, 'pending', NULL,
     '[]', now() - interval '1 hour', now() - interval '1 hour'),
    ('10000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000001', 'flux', 'b', 2, 'processing',
     'task_2', NULL, now() - interval '1 hour', now() - interval '1 hour'),
    ('10000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000002', 'flux', 'c', 2, 'completed',
     'task_3', '["https://tempfile.example/3.jpg"]', now() - interval '2 days', now() - interval '2 days'),
    ('10000000-0000-4000-8000-000000000004', 'a0000000-0000-4000-8000-000000000002', 'flux', 'd', 2, 'failed',
     'task_4', 'null', now() - interval '2 days', now() - interval '2 days'),
    ('10000000-0000-4000-8000-000000000005', 'a0000000-0000-4000-8000-000000000002', 'flux', 'e', 2, 'paused',
     'task_5', '[]', now() - interval '2 days', now() - interval '2 days'),
    ('10000000-0000-4000-8000-000000000006', 'a0000000-0000-4000-8000-000000000002', 'flux', 'f', 2, 'completed',
     'task_6', '["https://tempfile.example/6.jpg"]', now() - interval '40 days', now() - interval '40 days');

CREATE TABLE public.jobs (
    id uuid PRIMARY KEY,
    status text
);
INSERT INTO public.jobs VALUES ('b0000000-0000-4000-8000-000000000001', 'done');

CREATE TABLE public.job_costs (
    id uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES public.jobs (id),
    service text NOT NULL,
    cost double precision NOT NULL
);
INSERT INTO public.job_costs VALUES
    ('c0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'kie', 0.025);
