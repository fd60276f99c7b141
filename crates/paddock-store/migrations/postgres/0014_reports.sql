-- Reports about databases (pg:diagnose), each readable for a month by its id.
CREATE TABLE reports (
    -- Random: who has it reads the report.
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- A report goes with its database.
    addon_id TEXT COLLATE "C" NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    -- What whoever asked for it calls the app and the database.
    app_name TEXT COLLATE "C" NOT NULL,
    database_name TEXT COLLATE "C" NOT NULL,
    -- What was found, sealed: texts of statements are in it.
    checks BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX reports_of_addon ON reports (addon_id, created_at);
CREATE INDEX reports_by_age ON reports (created_at);
