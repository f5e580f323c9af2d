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

-- When a message is to be delivered, if not at once.
ALTER TABLE message ADD COLUMN deliver_at bigint;

-- The token bucket of what an organisation may do only so often.
CREATE TABLE allowance (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    tokens double precision NOT NULL,
    refilled_at bigint NOT NULL
);
