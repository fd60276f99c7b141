-- What runs databases: one server process with a container, a volume, an address and user ids of its own. It is shared by
-- the small add-ons of a version, or one add-on's own.
CREATE TABLE data_servers (
    id TEXT NOT NULL PRIMARY KEY,
    -- The server of the platform on whose machine it runs.
    server_id TEXT NOT NULL REFERENCES servers (id),
    -- From the same numbers as an app's: nobody else ever has these user ids.
    id_range BIGINT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    shared BIGINT NOT NULL,
    -- The plan whose limits it has; empty when it is shared.
    plan TEXT,
    volume_id TEXT NOT NULL UNIQUE,
    container_id TEXT,
    state TEXT NOT NULL,
    address TEXT,
    -- The superuser's.
    password BLOB NOT NULL,
    -- Certificate and key, once there is an address to certify.
    tls BLOB,
    failed_starts BIGINT NOT NULL,
    next_start_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX data_servers_of_server ON data_servers (server_id, service, version);

CREATE TABLE addons (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The app that it is billed to; empty when that is gone and the add-on is on its way out. Nothing cascades: what it
    -- has on a data server and in volumes has to be removed first, and this row knows of it.
    app_id TEXT REFERENCES apps (id),
    -- The server of the platform that looks after it, which was the app's.
    server_id TEXT NOT NULL REFERENCES servers (id),
    service TEXT NOT NULL,
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    data_server_id TEXT REFERENCES data_servers (id),
    options TEXT NOT NULL,
    -- Names on the data server, sealed as one map.
    secret BLOB NOT NULL,
    provision_message TEXT,
    storage_state TEXT NOT NULL,
    storage_since BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX addons_of_app ON addons (app_id, name);
CREATE INDEX addons_of_server ON addons (server_id, name);
CREATE INDEX addons_of_data_server ON addons (data_server_id);

CREATE TABLE attachments (
    id TEXT NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    namespace TEXT,
    -- The names of its config vars; empty until the add-on is provisioned.
    var_names TEXT NOT NULL,
    -- The same with values, sealed as one map.
    vars BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, name)
);
CREATE INDEX attachments_of_addon ON attachments (addon_id);

-- Logins to an add-on. While one is exchanged for another of the same name both work.
CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    login TEXT NOT NULL,
    password BLOB NOT NULL,
    state TEXT NOT NULL,
    -- When it ends, whoever uses it then.
    revoke_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (addon_id, login)
);
CREATE INDEX credentials_by_name ON credentials (addon_id, name, created_at);
CREATE INDEX credentials_to_revoke ON credentials (revoke_at) WHERE revoke_at IS NOT NULL;
