-- Storage's words for why it refuses files, without what differs from file to file: files that are refused alike
-- are one alert, and the address that the alert opens names them by a hash of these words.

SET lock_timeout = '5s';

CREATE OR REPLACE FUNCTION public.generation_refusal(message text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(regexp_replace(regexp_replace(coalesce(message, ''), '\S*[0-9a-f]{8}-\S+', '…', 'g'),
                               '[0-9][0-9.,]*', '…', 'g'), 300)
$$;
GRANT EXECUTE ON FUNCTION public.generation_refusal(text) TO PUBLIC;

RESET lock_timeout;
