-- What moves databases: backups, restores, copies.
CREATE TABLE transfers (
    id TEXT NOT NULL PRIMARY KEY,
    -- The app that lists it; empty when that is gone. Then its file is still to be removed, and this row knows of it.
    app_id TEXT REFERENCES apps (id) ON DELETE SET NULL,
    -- The server of the platform that does it and has its file.
    server_id TEXT NOT NULL REFERENCES servers (id),
    num BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- The database that is backed up, or written to.
    addon_id TEXT REFERENCES addons (id) ON DELETE SET NULL,
    -- The database that a copy is made of.
    from_addon_id TEXT REFERENCES addons (id) ON DELETE SET NULL,
    -- The backup that is restored; empty for what lies at an address, which is its job's secret.
    from_transfer_id TEXT,
    from_name TEXT NOT NULL,
    to_name TEXT NOT NULL,
    -- What its file is called in the store of backups, if it has one.
    object TEXT NOT NULL,
    -- The schedule that asked for it, which may be gone.
    schedule_id TEXT,
    -- Extensions that are to be there before a restore, with commas between.
    extensions TEXT NOT NULL,
    source_bytes BIGINT,
    processed_bytes BIGINT NOT NULL,
    warnings BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    canceled_at BIGINT,
    -- It is listed no more: its file is being removed.
    deleted_at BIGINT,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, num)
);
CREATE INDEX transfers_of_addon ON transfers (addon_id, created_at);
CREATE INDEX transfers_from_addon ON transfers (from_addon_id);
CREATE INDEX transfers_of_server ON transfers (server_id, deleted_at);

CREATE TABLE transfer_logs (
    transfer_id TEXT NOT NULL REFERENCES transfers (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (transfer_id, seq)
);

-- The last number that an app's transfers have: of one that is deleted it is not given again.
CREATE TABLE transfer_numbers (
    app_id TEXT NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    last BIGINT NOT NULL
);

CREATE TABLE transfer_schedules (
    id TEXT NOT NULL PRIMARY KEY,
    addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hour BIGINT NOT NULL,
    timezone TEXT NOT NULL,
    -- The last day, there, that a backup was asked for.
    last_day TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (addon_id)
);
