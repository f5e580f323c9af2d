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
