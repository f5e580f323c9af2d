-- `seq` is the order of commits: SQLite has one writer.
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    event_id TEXT,
    channels TEXT,
    tags TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX message_by_app ON message (app_id, id);
CREATE INDEX message_app_commits ON message (app_id, seq);
CREATE INDEX message_org_commits ON message (org_id, seq);

-- The bytes that are signed and sent, kept until `expires_at`.
CREATE TABLE message_content (
    message_id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX message_content_expiry ON message_content (expires_at);

CREATE TABLE message_key (
    app_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (app_id, event_id)
) WITHOUT ROWID;

CREATE TABLE idempotency (
    org_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, operation, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE delivery (
    message_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    state INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    claim INTEGER NOT NULL DEFAULT 0,
    interrupts INTEGER NOT NULL DEFAULT 0,
    leased_by TEXT,
    lease_until INTEGER,
    reason TEXT,
    PRIMARY KEY (message_id, endpoint_id, run)
);
CREATE INDEX delivery_ready ON delivery (endpoint_id, due_at, message_id) WHERE state = 0;
CREATE INDEX delivery_waiting ON delivery (due_at) WHERE state = 1;
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE state = 2;
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_id, message_id);

CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    message_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    claim INTEGER NOT NULL,
    org_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    trigger_type INTEGER NOT NULL,
    url TEXT NOT NULL,
    response_status_code INTEGER NOT NULL,
    response BLOB NOT NULL,
    response_headers TEXT,
    request_headers TEXT NOT NULL,
    sensitive_headers TEXT NOT NULL,
    error_code TEXT,
    started_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    next_attempt_at INTEGER,
    expunged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (message_id, endpoint_id, run, claim)
);
CREATE INDEX attempt_by_message ON attempt (message_id, id);
CREATE INDEX attempt_by_endpoint ON attempt (endpoint_id, id);
CREATE INDEX attempt_app_commits ON attempt (app_id, seq);

CREATE TABLE fanout (
    message_id TEXT NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL,
    after_endpoint TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE restriction (
    endpoint_id TEXT NOT NULL PRIMARY KEY,
    tokens REAL NOT NULL,
    refilled_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: which life of this database a live cursor belongs to.
CREATE TABLE incarnation (id TEXT NOT NULL);
INSERT INTO incarnation VALUES (lower(hex(randomblob(8))));
