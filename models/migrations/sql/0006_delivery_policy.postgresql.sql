-- Leases of endpoints that count theirs have an index of their own; the others' do not enter it.
ALTER TABLE delivery ADD COLUMN limited boolean NOT NULL DEFAULT false;
CREATE INDEX delivery_limited ON delivery (endpoint_id) WHERE state = 2 AND limited;
-- Manual resends pass what holds an endpoint's queue up.
CREATE INDEX delivery_resends ON delivery (endpoint_id, due_at, message_id) WHERE state = 0 AND run > 0;

-- The message at the head of an ordered queue, from its first claim on.
ALTER TABLE restriction ADD COLUMN head text COLLATE "C";

-- The breaker: null when it is closed, else the end of the time it is open; how often it opened in a row; how many may be tried at a time after it.
ALTER TABLE restriction ADD COLUMN open_until bigint;
ALTER TABLE restriction ADD COLUMN openings integer NOT NULL DEFAULT 0;
ALTER TABLE restriction ADD COLUMN probes integer NOT NULL DEFAULT 0;
ALTER TABLE restriction ADD COLUMN closed_at bigint;
