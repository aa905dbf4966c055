-- name: write
-- Writes a message for a channel, once by its key.
INSERT INTO notifications (key, channel, label, recipient, title, body, next_attempt_at, created_at)
VALUES (:key, :channel, :label, :recipient, :title, :body, :send_at, :now)
ON CONFLICT (key, channel) DO NOTHING;

-- name: hold_unsent
-- The copies of a message, held, and whether each still waits for its first time to be sent.
SELECT state = 'waiting' AND attempts = 0 AND next_attempt_at > :now AS is_unsent FROM notifications
WHERE key = :key ORDER BY channel FOR UPDATE;

-- name: rewrite
-- Changes what a message says that nobody has been sent.
UPDATE notifications SET title = :title, body = :body WHERE key = :key AND state = 'waiting' AND attempts = 0;

-- name: take
-- Takes one message that is due for this process: who finds it taken leaves it, until that one's time is over.
UPDATE notifications SET state = 'sending', attempts = attempts + 1, lease_until = :lease_until
WHERE id = (SELECT id FROM notifications
            WHERE state IN ('waiting', 'sending') AND next_attempt_at <= :now AND (lease_until IS NULL OR lease_until <= :now)
            ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, key, channel, label, recipient, title, body, attempts, created_at;

-- name: sent
-- Records that a message was taken by the other side.
UPDATE notifications SET state = 'sent', ended_at = :now, lease_until = NULL, error = NULL WHERE id = :id AND state = 'sending';

-- name: not_sent
-- Records why a message was not taken, and when it is tried again; never again without a time.
UPDATE notifications
SET state = CASE WHEN CAST(:next_attempt_at AS timestamptz) IS NULL THEN 'failed' ELSE 'waiting' END,
    next_attempt_at = coalesce(CAST(:next_attempt_at AS timestamptz), next_attempt_at),
    ended_at = CASE WHEN CAST(:next_attempt_at AS timestamptz) IS NULL THEN CAST(:now AS timestamptz) END,
    lease_until = NULL, error = :error
WHERE id = :id AND state = 'sending';

-- name: last_of_channels
-- Of each channel its newest message that has been tried: how often, and what became of it.
SELECT c.channel, n.state, n.attempts, n.error, n.created_at, n.ended_at, n.next_attempt_at
FROM unnest(CAST(:channels AS text[])) c(channel)
CROSS JOIN LATERAL (SELECT * FROM notifications n WHERE n.channel = c.channel AND n.attempts > 0
                    ORDER BY n.created_at DESC LIMIT 1) n;

-- name: of_keys
-- What became of the messages with these keys.
SELECT key, label, state, attempts, error, ended_at, next_attempt_at FROM notifications
WHERE key = ANY(CAST(:keys AS text[])) ORDER BY created_at, label;

-- name: prune
-- Forgets messages that were written before the given time and are over.
DELETE FROM notifications WHERE created_at < :before AND state IN ('sent', 'failed');

-- name: choose
-- Notes that somebody wants to be told by mail.
INSERT INTO notification_choices (person, email, since) VALUES (:person, :email, :now)
ON CONFLICT (person) DO UPDATE SET email = EXCLUDED.email, since = EXCLUDED.since;

-- name: choose_none
-- Notes that somebody wants no mail any more.
DELETE FROM notification_choices WHERE person = :person;

-- name: choice
-- Where somebody wants to be told by mail.
SELECT email FROM notification_choices WHERE person = :person;
