-- The time in microseconds since the epoch, by the database's clock: every due time and lease is computed with it.
CREATE FUNCTION graphook_now() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM now()) * 1000000)::bigint $$;

-- Ids are time-ordered, so a range of ids is a span of time and retention drops a partition.
CREATE TABLE message (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    org_id text COLLATE "C" NOT NULL,
    app_id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    event_id text COLLATE "C",
    channels jsonb,
    tags jsonb,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- The trace that it came with, for its attempts to continue.
    traceparent text,
    -- When it is to be delivered, if not at once.
    deliver_at bigint
) PARTITION BY RANGE (id);
CREATE TABLE message_default PARTITION OF message DEFAULT;
CREATE INDEX message_by_app ON message (app_id, id);
CREATE INDEX message_app_commits ON message (app_id, xid, id);
CREATE INDEX message_org_commits ON message (org_id, xid, id);
CREATE INDEX message_by_tags ON message USING gin (tags jsonb_path_ops) WITH (gin_pending_list_limit = 512) WHERE tags IS NOT NULL;
CREATE INDEX message_by_channels ON message USING gin (channels jsonb_path_ops) WITH (gin_pending_list_limit = 512) WHERE channels IS NOT NULL;

-- The bytes that are signed and sent, kept until `expires_at`.
CREATE TABLE message_content (
    message_id text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (message_id, expires_at)
) PARTITION BY RANGE (expires_at);
CREATE TABLE message_content_default PARTITION OF message_content DEFAULT;

-- The uniqueness of an event id within its application: a partitioned table cannot hold it.
CREATE TABLE message_key (
    app_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, event_id)
);
-- Retention finds them by their message.
CREATE INDEX message_key_by_message ON message_key (message_id);

CREATE TABLE idempotency (
    org_id text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_hash text NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (org_id, operation, key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE delivery (
    message_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    run smallint NOT NULL,
    org_id text COLLATE "C" NOT NULL,
    app_id text COLLATE "C" NOT NULL,
    state smallint NOT NULL,
    due_at bigint NOT NULL,
    tries smallint NOT NULL DEFAULT 0,
    claim integer NOT NULL DEFAULT 0,
    interrupts smallint NOT NULL DEFAULT 0,
    leased_by text,
    lease_until bigint,
    reason text,
    -- Whether the endpoint counts its leases.
    limited boolean NOT NULL DEFAULT false,
    PRIMARY KEY (message_id, endpoint_id, run)
) PARTITION BY RANGE (message_id);
CREATE TABLE delivery_default PARTITION OF delivery DEFAULT WITH (fillfactor = 70);
CREATE INDEX delivery_ready ON delivery (endpoint_id, due_at, message_id) WHERE state = 0;
CREATE INDEX delivery_waiting ON delivery (due_at) WHERE state = 1;
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE state = 2;
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_id, message_id);
-- Leases of endpoints that count theirs have an index of their own; the others' do not enter it.
CREATE INDEX delivery_limited ON delivery (endpoint_id) WHERE state = 2 AND limited;
-- Manual resends pass what holds an endpoint's queue up.
CREATE INDEX delivery_resends ON delivery (endpoint_id, due_at, message_id) WHERE state = 0 AND run > 0;

CREATE TABLE attempt (
    id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    run smallint NOT NULL,
    claim integer NOT NULL,
    org_id text COLLATE "C" NOT NULL,
    app_id text COLLATE "C" NOT NULL,
    status smallint NOT NULL,
    trigger_type smallint NOT NULL,
    url text NOT NULL,
    response_status_code smallint NOT NULL,
    response bytea NOT NULL,
    response_headers text,
    request_headers text NOT NULL,
    sensitive_headers text NOT NULL,
    error_code text,
    started_at bigint NOT NULL,
    duration_ms integer NOT NULL,
    next_attempt_at bigint,
    expunged boolean NOT NULL DEFAULT false,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (message_id, id),
    UNIQUE (message_id, endpoint_id, run, claim)
) PARTITION BY RANGE (message_id);
CREATE TABLE attempt_default PARTITION OF attempt DEFAULT;
CREATE INDEX attempt_by_id ON attempt (id);
CREATE INDEX attempt_by_endpoint ON attempt (endpoint_id, id);
CREATE INDEX attempt_app_commits ON attempt (app_id, xid, id);

-- A message to more endpoints than one transaction should write: workers page through the rest.
CREATE TABLE fanout (
    message_id text COLLATE "C" NOT NULL PRIMARY KEY,
    app_id text COLLATE "C" NOT NULL,
    after_endpoint text COLLATE "C" NOT NULL
);

-- What restricts an endpoint: its token bucket, the head of its ordered queue, its breaker. Others have no row.
CREATE TABLE restriction (
    endpoint_id text COLLATE "C" NOT NULL PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at bigint NOT NULL,
    -- The message at the head of an ordered queue, from its first claim on.
    head text COLLATE "C",
    -- The breaker: null when it is closed, else the end of the time it is open; how often it opened in a row; how many may be tried at a time after it.
    open_until bigint,
    openings integer NOT NULL DEFAULT 0,
    probes integer NOT NULL DEFAULT 0,
    closed_at bigint
);

-- Where each consumer of an application's message stream is, as cursors, and until when its batch is out.
CREATE TABLE message_consumer (
    app_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    position text NOT NULL,
    leased text,
    lease_until bigint,
    seen_at bigint NOT NULL,
    PRIMARY KEY (app_id, name)
);

-- The token bucket of what an organisation may do only so often.
CREATE TABLE allowance (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at bigint NOT NULL
);

-- Attempts per application and time: those of one endpoint, and under the endpoint '' those of all. `width` is the length of a period and
-- `bucket` its begin, in microseconds.
CREATE TABLE attempt_statistic (
    app_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    width bigint NOT NULL,
    bucket bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    destinations bigint NOT NULL,
    PRIMARY KEY (app_id, endpoint_id, width, bucket)
);
CREATE INDEX attempt_statistic_by_time ON attempt_statistic (bucket);

-- What settling has counted and nobody has added to the statistics yet. Only appended to and deleted from, so that those who settle never
-- wait for each other.
CREATE TABLE attempt_count (
    app_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    destinations bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
