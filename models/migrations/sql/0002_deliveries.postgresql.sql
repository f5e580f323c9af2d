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
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (id);
CREATE TABLE message_default PARTITION OF message DEFAULT;
CREATE INDEX message_by_app ON message (app_id, id);
CREATE INDEX message_app_commits ON message (app_id, xid, id);
CREATE INDEX message_org_commits ON message (org_id, xid, id);

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
    PRIMARY KEY (message_id, endpoint_id, run)
) PARTITION BY RANGE (message_id);
CREATE TABLE delivery_default PARTITION OF delivery DEFAULT WITH (fillfactor = 70);
CREATE INDEX delivery_ready ON delivery (endpoint_id, due_at, message_id) WHERE state = 0;
CREATE INDEX delivery_waiting ON delivery (due_at) WHERE state = 1;
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE state = 2;
CREATE INDEX delivery_by_endpoint ON delivery (endpoint_id, message_id);

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

-- The token bucket of an endpoint with a rate limit; others have no row.
CREATE TABLE restriction (
    endpoint_id text COLLATE "C" NOT NULL PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at bigint NOT NULL
);
