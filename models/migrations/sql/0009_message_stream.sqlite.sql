CREATE TABLE message_consumer (
    app_id TEXT NOT NULL,
    name TEXT NOT NULL,
    position TEXT NOT NULL,
    leased TEXT,
    lease_until INTEGER,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (app_id, name)
) WITHOUT ROWID;

-- When a message is to be delivered, if not at once.
ALTER TABLE message ADD COLUMN deliver_at INTEGER;

-- The token bucket of what an organisation may do only so often.
CREATE TABLE allowance (
    id TEXT NOT NULL PRIMARY KEY,
    tokens REAL NOT NULL,
    refilled_at INTEGER NOT NULL
) WITHOUT ROWID;
