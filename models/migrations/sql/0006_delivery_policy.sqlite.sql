-- Leases of endpoints that count theirs have an index of their own; the others' do not enter it.
ALTER TABLE delivery ADD COLUMN limited INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_limited ON delivery (endpoint_id) WHERE state = 2 AND limited;
-- Manual resends pass what holds an endpoint's queue up.
CREATE INDEX delivery_resends ON delivery (endpoint_id, due_at, message_id) WHERE state = 0 AND run > 0;

-- The message at the head of an ordered queue, from its first claim on.
ALTER TABLE restriction ADD COLUMN head TEXT;
