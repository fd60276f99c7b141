-- What each build used, did and made: JSON with a version of its own.
CREATE TABLE build_records (
    build_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    record TEXT COLLATE "C" NOT NULL
);
CREATE INDEX build_records_of_app ON build_records (app_id);
