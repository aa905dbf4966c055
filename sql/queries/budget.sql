-- name: open_month
-- The month's running total, made where it is not there yet.
INSERT INTO budget_totals (scope, month) VALUES (:scope, :month) ON CONFLICT (scope, month) DO NOTHING;

-- name: lock_month
-- The month's running total, held until the transaction ends: whoever reserves next waits.
SELECT settled_usd, reserved_usd FROM budget_totals WHERE scope = :scope AND month = :month FOR UPDATE;

-- name: position
-- The running total of a scope's month, or of all of them together, and what is allowed; nothing of it held.
SELECT coalesce(t.settled_usd, 0) AS settled_usd, coalesce(t.reserved_usd, 0) AS reserved_usd,
       l.limit_usd, l.alert_usd,
       (SELECT coalesce(sum(amount_usd), 0) FROM budget_overrides
        WHERE scope = :scope AND month = :month AND ended_at IS NULL AND approved_at <= :now AND expires_at > :now) AS override_usd
FROM (SELECT sum(settled_usd) AS settled_usd, sum(reserved_usd) AS reserved_usd FROM budget_totals
      WHERE month = :month AND (scope = :scope OR CAST(:scope AS text) = 'everything')) t
LEFT JOIN (SELECT limit_usd, alert_usd FROM budget_limits WHERE scope = :scope AND valid_from <= :now
           ORDER BY valid_from DESC LIMIT 1) l ON true;

-- name: reservation
-- A reservation by its key, with what of it is still reserved.
SELECT r.scope, r.month, r.user_id, r.lora_model_id, r.run_id, r.provider, r.service, r.model, r.stage, r.amount_usd,
       (SELECT sum(amount_usd) FROM job_costs WHERE reservation_key = :key AND kind IN ('reserve', 'release')) AS left_usd
FROM job_costs r WHERE r.source_key = :key AND r.kind = 'reserve';

-- name: append
-- One line of the ledger; nothing when its source key is there already.
INSERT INTO job_costs (kind, scope, month, reservation_key, provider, service, model, user_id, lora_model_id, run_id,
                       generation_id, stage, quantity, unit, unit_price, price_version, amount_usd, occurred_at,
                       source_key, flagged, note, corrects)
VALUES (:kind, :scope, :month, :reservation_key, :provider, :service, :model, :user_id, :lora_model_id, :run_id,
        :generation_id, :stage, :quantity, :unit, :unit_price, :price_version, :amount_usd, :occurred_at,
        :source_key, :flagged, :note, :corrects)
ON CONFLICT (source_key) WHERE source_key IS NOT NULL DO NOTHING;

-- name: add_to_month
-- Adds to the month's running total, in the transaction of the lines that it adds up.
UPDATE budget_totals SET settled_usd = settled_usd + :settled, reserved_usd = reserved_usd + :reserved
WHERE scope = :scope AND month = :month;

-- name: price
-- The price of a service that held at a moment.
SELECT provider, service, unit, unit_usd, valid_from, source FROM prices
WHERE provider = :provider AND service = :service AND valid_from <= :at
ORDER BY valid_from DESC LIMIT 1;

-- name: family_price
-- The highest price that holds at a moment for a unit: of the same provider, else of any.
SELECT p.provider, p.service, p.unit, p.unit_usd, p.valid_from, p.source
FROM (SELECT DISTINCT ON (provider, service) * FROM prices WHERE valid_from <= :at
      ORDER BY provider, service, valid_from DESC) p
WHERE p.unit = :unit ORDER BY p.provider = :provider DESC, p.unit_usd DESC LIMIT 1;

-- name: prices
-- Every price, the newest of each service first.
SELECT provider, service, unit, unit_usd, valid_from, source, set_by, set_by_id FROM prices
ORDER BY provider, service, valid_from DESC LIMIT 500;

-- name: add_price
-- A further price of a service, from when on; nothing when there is one from that moment.
INSERT INTO prices (provider, service, unit, unit_usd, valid_from, source, set_by, set_by_id)
VALUES (:provider, :service, :unit, :unit_usd, :valid_from, :source, :set_by, :set_by_id)
ON CONFLICT (provider, service, valid_from) DO NOTHING;

-- name: fix_rate
-- Keeps what a provider's unit costs on a day; the day's first word holds.
INSERT INTO credit_rates (provider, day, unit_usd, version) VALUES (:provider, :day, :unit_usd, :version)
ON CONFLICT (provider, day) DO NOTHING;

-- name: rate
-- What a provider's unit costs on a day.
SELECT unit_usd, version FROM credit_rates WHERE provider = :provider AND day = :day;

-- name: limits
-- What was allowed a month, the newest word first.
SELECT scope, limit_usd, alert_usd, valid_from, set_by, set_by_id, reason FROM budget_limits
ORDER BY valid_from DESC, id DESC LIMIT 100;

-- name: add_limit
-- What may be spent from now on; nothing when there is a word of that moment.
INSERT INTO budget_limits (scope, limit_usd, alert_usd, valid_from, set_by, set_by_id, reason)
VALUES (:scope, :limit_usd, :alert_usd, :valid_from, :set_by, :set_by_id, :reason)
ON CONFLICT (scope, valid_from) DO NOTHING;

-- name: overrides
-- A month's overrides, the newest first.
SELECT id, scope, month, amount_usd, reason, approved_by, approved_by_id, approved_at, expires_at, ended_at, ended_by,
       ended_by_id
FROM budget_overrides WHERE month = :month ORDER BY approved_at DESC LIMIT 50;

-- name: add_override
-- More money for a month, once by its id.
INSERT INTO budget_overrides (id, scope, month, amount_usd, reason, approved_by, approved_by_id, approved_at, expires_at)
VALUES (:id, :scope, :month, :amount_usd, :reason, :approved_by, :approved_by_id, :now, :expires_at)
ON CONFLICT (id) DO NOTHING;

-- name: end_override
-- Ends an override that still holds.
UPDATE budget_overrides SET ended_at = :now, ended_by = :by, ended_by_id = :by_id
WHERE id = :id AND ended_at IS NULL AND expires_at > :now
RETURNING id, scope, month, amount_usd, reason, approved_by, approved_by_id, approved_at, expires_at, ended_at, ended_by,
          ended_by_id;

-- name: line
-- One line of the ledger.
SELECT id, occurred_at, scope, month, kind, provider, service, model, stage, user_id, lora_model_id, run_id, generation_id,
       reservation_key, quantity, unit, unit_price, price_version, amount_usd, flagged, note, source_key, corrects
FROM job_costs WHERE id = :id;

-- name: written
-- The amount of the line with this source key.
SELECT amount_usd FROM job_costs WHERE source_key = :key;

-- name: hold_line
-- Has whoever corrects the same line wait until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('studio-ops line ' || CAST(:id AS text), 0));

-- name: corrections
-- What corrections have added to a line so far.
SELECT coalesce(sum(amount_usd), 0) AS usd FROM job_costs WHERE kind = 'correct' AND corrects = :id;

-- name: add_training_cost
-- Has a LoRA's own column of its cost follow a correction.
UPDATE lora_models SET training_cost = coalesce(training_cost, 0) + :amount WHERE id = :lora_model_id;

-- name: month_by_lines
-- What the month's lines add up to, to prove the running total.
SELECT coalesce(sum(amount_usd) FILTER (WHERE kind IS NULL OR kind NOT IN ('reserve', 'release')), 0) AS settled_usd,
       coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0) AS reserved_usd
FROM job_costs WHERE scope = :scope AND month = :month AND amount_usd IS DISTINCT FROM 'NaN';

-- name: unequal_totals
-- Months whose running total, with what waits to be added to it, is not what their lines add up to, in one snapshot.
SELECT coalesce(t.scope, l.scope) AS scope, coalesce(t.month, l.month) AS month,
       coalesce(t.settled_usd, 0) AS settled_usd, coalesce(t.reserved_usd, 0) AS reserved_usd,
       coalesce(l.settled_usd, 0) AS settled_lines_usd, coalesce(l.reserved_usd, 0) AS reserved_lines_usd
FROM (SELECT scope, month, sum(settled_usd) AS settled_usd, sum(reserved_usd) AS reserved_usd
      FROM (SELECT scope, month, settled_usd, reserved_usd FROM budget_totals
            UNION ALL
            SELECT scope, month, settled_usd, reserved_usd FROM cost_changes WHERE NOT in_totals) both_
      GROUP BY scope, month) t
FULL JOIN (SELECT scope, month,
                  coalesce(sum(amount_usd) FILTER (WHERE kind IS NULL OR kind NOT IN ('reserve', 'release')), 0) AS settled_usd,
                  coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0) AS reserved_usd
           FROM job_costs WHERE scope IS NOT NULL AND month IS NOT NULL AND amount_usd IS DISTINCT FROM 'NaN' GROUP BY scope, month) l
    ON l.scope = t.scope AND l.month = t.month
WHERE coalesce(t.settled_usd, 0) <> coalesce(l.settled_usd, 0)
   OR coalesce(t.reserved_usd, 0) <> coalesce(l.reserved_usd, 0)
ORDER BY month, scope;

-- name: fold_alone
-- Lets one process at a time take changes up; the others leave it to that one.
SELECT pg_try_advisory_xact_lock(5919) AS alone;

-- name: fold
-- Takes up to so many changes of lines up into sums and running totals; how many.
WITH taken AS (
    DELETE FROM cost_changes WHERE id = ANY(ARRAY(SELECT id FROM cost_changes ORDER BY id LIMIT :limit)) RETURNING *
), cells AS MATERIALIZED (
    SELECT s.scope, d.dimension, d.grain, d.start, d.key,
           sum(t.settled_usd) AS settled_usd, sum(t.reserved_usd) AS reserved_usd, sum(t.lines) AS lines
    FROM taken t
    CROSS JOIN LATERAL (VALUES (t.scope), ('everything')) s(scope)
    CROSS JOIN LATERAL (VALUES
        ('all', 'day', t.day, ''), ('all', 'month', t.month, ''),
        ('provider', 'day', t.day, t.provider), ('provider', 'month', t.month, t.provider),
        ('stage', 'day', t.day, t.stage), ('stage', 'month', t.month, t.stage),
        ('model', 'day', t.day, t.model), ('model', 'month', t.month, t.model),
        ('kind', 'month', t.month, t.kind),
        ('user', 'month', t.month, coalesce(CAST(t.user_id AS text), '')),
        ('run', 'month', t.month, CAST(t.run_id AS text)),
        ('flagged', 'month', t.month, CASE WHEN t.flagged THEN t.provider || '/' || t.model END)
    ) d(dimension, grain, start, key)
    WHERE d.key IS NOT NULL
    GROUP BY s.scope, d.dimension, d.grain, d.start, d.key
), summed AS (
    INSERT INTO cost_rollup AS r (scope, dimension, grain, start, key, settled_usd, reserved_usd, lines)
    SELECT scope, dimension, grain, start, key, settled_usd, reserved_usd, lines FROM cells
    ORDER BY scope, dimension, grain, start, key
    ON CONFLICT (scope, dimension, grain, start, key) DO UPDATE
    SET settled_usd = r.settled_usd + EXCLUDED.settled_usd, reserved_usd = r.reserved_usd + EXCLUDED.reserved_usd,
        lines = r.lines + EXCLUDED.lines
), totalled AS (
    INSERT INTO budget_totals AS b (scope, month, settled_usd, reserved_usd)
    SELECT scope, month, sum(settled_usd), sum(reserved_usd) FROM taken WHERE NOT in_totals
    GROUP BY scope, month ORDER BY scope, month
    ON CONFLICT (scope, month) DO UPDATE
    SET settled_usd = b.settled_usd + EXCLUDED.settled_usd, reserved_usd = b.reserved_usd + EXCLUDED.reserved_usd
)
SELECT count(*) AS n FROM taken;

-- name: folded
-- Notes when changes were last taken up.
UPDATE cost_fold_state SET folded_at = :now;

-- name: folded_at
-- When changes were last taken up.
SELECT folded_at FROM cost_fold_state;

-- name: days
-- Settled dollars by the day.
SELECT start AS day, settled_usd AS usd FROM cost_rollup
WHERE scope = :scope AND dimension = 'all' AND grain = 'day' AND start >= :since AND settled_usd <> 0 ORDER BY start;

-- name: parts
-- What the month is made of by a dimension, what most was paid for first.
SELECT key, settled_usd, reserved_usd, lines FROM cost_rollup
WHERE scope = :scope AND dimension = :dimension AND grain = 'month' AND start = :month
  AND (settled_usd <> 0 OR reserved_usd <> 0)
ORDER BY settled_usd DESC, reserved_usd DESC, key LIMIT :limit;

-- name: months
-- What each month came to, the newest first.
SELECT start AS month, settled_usd, reserved_usd, lines FROM cost_rollup
WHERE scope = :scope AND dimension = 'all' AND grain = 'month' AND lines <> 0 ORDER BY start DESC LIMIT :limit;

-- name: flagged_models
-- What was priced by its family since a month, and has no price of its own at a moment; the newest month with lines of it.
SELECT r.key, max(r.start) FILTER (WHERE r.lines > 0) AS month FROM cost_rollup r
WHERE r.scope = 'everything' AND r.dimension = 'flagged' AND r.grain = 'month' AND r.start >= :month
  AND NOT EXISTS (SELECT FROM prices p WHERE p.provider || '/' || p.service = r.key AND p.valid_from <= :now)
GROUP BY r.key HAVING sum(r.lines) > 0 ORDER BY r.key LIMIT 50;

-- name: people
-- The names that these users are known by; who has none is left out.
SELECT id, name FROM (SELECT u AS id, studio_ops_person_name(u) AS name FROM unnest(CAST(:ids AS uuid[])) u OFFSET 0) p
WHERE name IS NOT NULL;

-- name: counted_lines
-- How many lines of a month have a value of a dimension, and what they come to.
SELECT coalesce(sum(lines), 0) AS lines, coalesce(sum(settled_usd), 0) AS settled_usd,
       coalesce(sum(reserved_usd), 0) AS reserved_usd
FROM cost_rollup
WHERE scope = :scope AND dimension = :dimension AND grain = 'month' AND key = :key
  AND start = :month;

-- name: counted_failures
-- How many lines a month's runs have that failed or were cancelled, and what they come to.
SELECT coalesce(sum(k.lines), 0) AS lines, coalesce(sum(k.settled_usd), 0) AS settled_usd,
       coalesce(sum(k.reserved_usd), 0) AS reserved_usd
FROM cost_rollup k
WHERE k.scope = 'trainings' AND k.dimension = 'run' AND k.grain = 'month' AND k.start = :month
  AND k.scope = ANY(CAST(:scopes AS text[]))
  AND k.key IN (SELECT CAST(r.id AS text) FROM lora_training_jobs r WHERE r.state IN ('failed', 'cancelled'));

-- name: scopes_with
-- The scopes that have lines with this value of a dimension in a month.
SELECT scope FROM cost_rollup
WHERE scope = ANY(CAST(:scopes AS text[])) AND dimension = :dimension AND grain = 'month' AND start = :month AND key = :key
  AND lines > 0;

-- name: ledger
-- Lines newest first before a place: by the index of whatever narrows them most, `by` says which.
WITH failures AS (
    SELECT r.id FROM lora_training_jobs r JOIN cost_rollup k ON k.key = CAST(r.id AS text)
    WHERE CAST(:by AS text) IN ('runs', 'runs_often', 'runs_narrowed') AND 'trainings' = ANY(CAST(:scopes AS text[]))
      AND k.scope = 'trainings' AND k.dimension = 'run' AND k.grain = 'month' AND k.start = :month
      AND r.state IN ('failed', 'cancelled')
), wanted AS (
    SELECT l.* FROM unnest(CAST(:scopes AS text[])) s(scope) CROSS JOIN LATERAL (
        SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'scope' AND c.scope = s.scope
          AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
          AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
          AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
          AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
        ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit) l
    UNION ALL
    SELECT l.* FROM unnest(CAST(:scopes AS text[])) s(scope) CROSS JOIN LATERAL (
        SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'flagged' AND c.flagged AND c.scope = s.scope
          AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
          AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
          AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
          AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
        ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit) l
    UNION ALL
    SELECT l.* FROM unnest(CAST(:scopes AS text[])) s(scope) CROSS JOIN LATERAL (
        SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'provider' AND left(c.provider, 80) = :provider AND c.provider <> 'kie'
          AND c.scope = s.scope
          AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
          AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
          AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
        ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit) l
    UNION ALL
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'user' AND c.user_id = CAST(:user_id AS uuid)
       AND c.scope = ANY(CAST(:scopes AS text[]))
       AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
       AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
       AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(c.model, c.service), 120) = :model)
       AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
       AND (NOT CAST(:only_flagged AS boolean) OR c.flagged)
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'model' AND left(coalesce(c.model, c.service), 120) = :model
       AND c.scope = ANY(CAST(:scopes AS text[]))
       AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
       AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
       AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
       AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
       AND (NOT CAST(:only_flagged AS boolean) OR c.flagged)
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'kind' AND c.kind = :kind AND c.kind <> 'settle'
       AND c.scope = ANY(CAST(:scopes AS text[]))
       AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
       AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
       AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
    UNION ALL
    -- Their places come from the index alone, and only the lines of one page are read.
    (SELECT c.* FROM (
         SELECT p.id FROM job_costs p WHERE CAST(:by AS text) = 'runs' AND p.run_id = ANY(ARRAY(SELECT id FROM failures))
           AND p.scope = 'trainings'
           AND p.month = :month AND (p.occurred_at, p.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
         ORDER BY p.occurred_at DESC, p.id DESC LIMIT :limit) page
     JOIN job_costs c USING (id))
    UNION ALL
    -- Read in their order, and those of other runs left out.
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'runs_often' AND c.scope = 'trainings'
       AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
       AND (c.run_id IN (SELECT id FROM failures)) IS TRUE
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'runs_narrowed' AND c.run_id = ANY(ARRAY(SELECT id FROM failures))
       AND c.scope = ANY(CAST(:scopes AS text[]))
       AND c.month = :month AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
       AND (CAST(:provider AS text) IS NULL OR c.provider = :provider)
       AND (CAST(:stage AS text) IS NULL OR c.stage = :stage)
       AND (CAST(:model AS text) IS NULL OR left(coalesce(c.model, c.service), 120) = :model)
       AND (CAST(:kind AS text) IS NULL OR c.kind = :kind)
       AND (CAST(:user_id AS uuid) IS NULL OR c.user_id = CAST(:user_id AS uuid))
       AND (NOT CAST(:only_flagged AS boolean) OR c.flagged)
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
    UNION ALL
    (SELECT * FROM job_costs c WHERE CAST(:by AS text) = 'run' AND c.run_id = CAST(:run_id AS uuid)
       AND (c.occurred_at, c.id) < (CAST(:before_at AS timestamptz), CAST(:before_id AS uuid))
     ORDER BY c.occurred_at DESC, c.id DESC LIMIT :limit)
)
SELECT id, occurred_at, scope, month, kind, provider, service, model, stage, user_id, run_id, generation_id, quantity,
       unit, unit_price, price_version, amount_usd, flagged, note, source_key, corrects
FROM wanted ORDER BY occurred_at DESC, id DESC LIMIT :limit;

-- name: add_balance
-- What is left at a provider, as it said.
INSERT INTO provider_balances (provider, taken_at, credits) VALUES (:provider, :now, :credits)
ON CONFLICT (provider, taken_at) DO NOTHING;

-- name: balance
-- What was left at a provider when it last said so.
SELECT credits, taken_at FROM provider_balances WHERE provider = :provider ORDER BY taken_at DESC LIMIT 1;

-- name: prune_balances
-- Forgets what was left before a time.
DELETE FROM provider_balances WHERE taken_at < :before;
