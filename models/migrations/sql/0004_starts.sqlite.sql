-- Each start of the process that owns the file: the id that its cursors name, and how many attempts and messages there had been when it began.
CREATE TABLE process_start (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    attempt INTEGER NOT NULL,
    message INTEGER NOT NULL
);

-- The places of consumers are restored with the messages, so all of them are places in these.
INSERT INTO process_start (id, attempt, message) VALUES (lower(hex(randomblob(6))), 0, 0);
UPDATE message_consumer SET position = (SELECT id FROM process_start) || substr(position, 13), leased = (SELECT id FROM process_start) || substr(leased, 13);
