-- Servers that use this database, each with a data folder of its own, where what its apps run from lies.
CREATE TABLE servers (
    id TEXT NOT NULL PRIMARY KEY,
    -- Another value with each start: a process that finds another than its own has been succeeded.
    incarnation TEXT NOT NULL,
    started_at BIGINT NOT NULL
);
-- Empty in a database from before there were several: the first server that opens it takes them over.
ALTER TABLE apps ADD COLUMN server_id TEXT REFERENCES servers (id);
CREATE INDEX apps_of_server ON apps (server_id);
ALTER TABLE deleted_apps ADD COLUMN server_id TEXT REFERENCES servers (id);
