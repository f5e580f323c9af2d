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
INSERT INTO attempt_counted SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'attempt'), 0);
