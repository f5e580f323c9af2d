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
    expires_at INTEGER NOT NULL,
    -- The trace that it came with, for its attempts to continue.
    traceparent TEXT,
    -- When it is to be delivered, if not at once.
    deliver_at INTEGER
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
-- Retention finds them by their message.
CREATE INDEX message_key_by_message ON message_key (message_id);

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
    -- Whether the endpoint counts its leases.
    limited INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message_id, endpoint_id, run)
);
CREATE INDEX delivery_ready ON delivery (endpoint_id, due_at, message_id) WHERE state = 0;
CREATE INDEX delivery_waiting ON delivery (due_at) WHERE state = 1;
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE state = 2;
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_id, message_id);
-- Leases of endpoints that count theirs have an index of their own; the others' do not enter it.
CREATE INDEX delivery_limited ON delivery (endpoint_id) WHERE state = 2 AND limited;
-- Manual resends pass what holds an endpoint's queue up.
CREATE INDEX delivery_resends ON delivery (endpoint_id, due_at, message_id) WHERE state = 0 AND run > 0;

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

-- What restricts an endpoint: its token bucket, the head of its ordered queue, its breaker. Others have no row.
CREATE TABLE restriction (
    endpoint_id TEXT NOT NULL PRIMARY KEY,
    tokens REAL NOT NULL,
    refilled_at INTEGER NOT NULL,
    -- The message at the head of an ordered queue, from its first claim on.
    head TEXT,
    -- The breaker: null when it is closed, else the end of the time it is open; how often it opened in a row; how many may be tried at a time after it.
    open_until INTEGER,
    openings INTEGER NOT NULL DEFAULT 0,
    probes INTEGER NOT NULL DEFAULT 0,
    closed_at INTEGER
) WITHOUT ROWID;

-- One row: which life of this database a live cursor belongs to.
CREATE TABLE incarnation (id TEXT NOT NULL);
INSERT INTO incarnation VALUES (lower(hex(randomblob(8))));

-- Where each consumer of an application's message stream is, as cursors, and until when its batch is out.
CREATE TABLE message_consumer (
    app_id TEXT NOT NULL,
    name TEXT NOT NULL,
    position TEXT NOT NULL,
    leased TEXT,
    lease_until INTEGER,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (app_id, name)
) WITHOUT ROWID;

-- The token bucket of what an organisation may do only so often.
CREATE TABLE allowance (
    id TEXT NOT NULL PRIMARY KEY,
    tokens REAL NOT NULL,
    refilled_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Attempts per application and time: those of one endpoint, and under the endpoint '' those of all. `width` is the length of a period and
-- `bucket` its begin, in microseconds.
CREATE TABLE attempt_statistic (
    app_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    width INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    destinations INTEGER NOT NULL,
    PRIMARY KEY (app_id, endpoint_id, width, bucket)
) WITHOUT ROWID;
CREATE INDEX attempt_statistic_by_time ON attempt_statistic (bucket);

-- One row: the attempts up to which `seq` are in the statistics. With one writer that is the order of commits.
CREATE TABLE attempt_counted (seq INTEGER NOT NULL);
INSERT INTO attempt_counted VALUES (0);
