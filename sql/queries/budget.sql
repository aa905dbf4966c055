-- name: open_month
-- The month's running total, made where it is not there yet.
INSERT INTO budget_totals (scope, month) VALUES (:scope, :month) ON CONFLICT (scope, month) DO NOTHING;

-- name: lock_month
-- The month's running total, held until the transaction ends: whoever reserves next waits.
SELECT settled_usd, reserved_usd FROM budget_totals WHERE scope = :scope AND month = :month FOR UPDATE;

-- name: position
-- The month's running total and what is allowed; nothing of it held.
SELECT coalesce(t.settled_usd, 0) AS settled_usd, coalesce(t.reserved_usd, 0) AS reserved_usd,
       l.limit_usd, l.alert_usd
FROM (SELECT limit_usd, alert_usd FROM budget_limits WHERE scope = :scope AND valid_from <= :now
      ORDER BY valid_from DESC LIMIT 1) l
LEFT JOIN budget_totals t ON t.scope = :scope AND t.month = :month;

-- name: reservation
-- A reservation by its key, with what of it is still reserved.
SELECT r.scope, r.month, r.user_id, r.lora_model_id, r.run_id, r.amount_usd,
       (SELECT sum(amount_usd) FROM job_costs WHERE reservation_key = :key AND kind IN ('reserve', 'release')) AS left_usd
FROM job_costs r WHERE r.source_key = :key AND r.kind = 'reserve';

-- name: append
-- One line of the ledger; nothing when its source key is there already.
INSERT INTO job_costs (kind, scope, month, reservation_key, provider, service, model, user_id, lora_model_id, run_id,
                       stage, quantity, unit, unit_price, price_version, amount_usd, occurred_at, source_key, note)
VALUES (:kind, :scope, :month, :reservation_key, :provider, :service, :model, :user_id, :lora_model_id, :run_id,
        :stage, :quantity, :unit, :unit_price, :price_version, :amount_usd, :occurred_at, :source_key, :note)
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

-- name: month_by_lines
-- What the month's lines add up to, to prove the running total.
SELECT coalesce(sum(amount_usd) FILTER (WHERE kind IN ('settle', 'correct')), 0) AS settled_usd,
       coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0) AS reserved_usd
FROM job_costs WHERE scope = :scope AND month = :month;

-- name: unequal_totals
-- Months whose running total is not what their lines add up to, in one snapshot of both.
SELECT coalesce(t.scope, l.scope) AS scope, coalesce(t.month, l.month) AS month,
       coalesce(t.settled_usd, 0) AS settled_usd, coalesce(t.reserved_usd, 0) AS reserved_usd,
       coalesce(l.settled_usd, 0) AS settled_lines_usd, coalesce(l.reserved_usd, 0) AS reserved_lines_usd
FROM budget_totals t
FULL JOIN (SELECT scope, month,
                  coalesce(sum(amount_usd) FILTER (WHERE kind IN ('settle', 'correct')), 0) AS settled_usd,
                  coalesce(sum(amount_usd) FILTER (WHERE kind IN ('reserve', 'release')), 0) AS reserved_usd
           FROM job_costs WHERE scope IS NOT NULL AND month IS NOT NULL GROUP BY scope, month) l
    ON l.scope = t.scope AND l.month = t.month
WHERE coalesce(t.settled_usd, 0) <> coalesce(l.settled_usd, 0)
   OR coalesce(t.reserved_usd, 0) <> coalesce(l.reserved_usd, 0)
ORDER BY month, scope;
