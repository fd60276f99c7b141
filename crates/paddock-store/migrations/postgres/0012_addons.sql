-- What runs databases: one server process with a container, a volume, an address and user ids of its own. It is shared by
-- the small add-ons of a version, or one add-on's own.
CREATE TABLE data_servers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- The server of the platform on whose machine it runs.
    server_id TEXT COLLATE "C" NOT NULL REFERENCES servers (id),
    -- From the same numbers as an app's: nobody else ever has these user ids.
    id_range BIGINT NOT NULL UNIQUE,
    service TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    shared BIGINT NOT NULL,
    -- The plan whose limits it has; empty when it is shared.
    plan TEXT COLLATE "C",
    volume_id TEXT COLLATE "C" NOT NULL UNIQUE,
    container_id TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C",
    -- The superuser's.
    password BYTEA NOT NULL,
    -- Certificate and key, once there is an address to certify.
    tls BYTEA,
    failed_starts BIGINT NOT NULL,
    next_start_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX data_servers_of_server ON data_servers (server_id, service, version);

CREATE TABLE addons (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    -- The app that it is billed to; empty when that is gone and the add-on is on its way out. Nothing cascades: what it
    -- has on a data server and in volumes has to be removed first, and this row knows of it.
    app_id TEXT COLLATE "C" REFERENCES apps (id),
    -- The server of the platform that looks after it, which was the app's.
    server_id TEXT COLLATE "C" NOT NULL REFERENCES servers (id),
    service TEXT COLLATE "C" NOT NULL,
    plan TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    data_server_id TEXT COLLATE "C" REFERENCES data_servers (id),
    options TEXT COLLATE "C" NOT NULL,
    -- Names on the data server, sealed as one map.
    secret BYTEA NOT NULL,
    provision_message TEXT COLLATE "C",
    storage_state TEXT COLLATE "C" NOT NULL,
    storage_since BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX addons_of_app ON addons (app_id, name);
CREATE INDEX addons_of_server ON addons (server_id, name);
CREATE INDEX addons_of_data_server ON addons (data_server_id);

CREATE TABLE attachments (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    addon_id TEXT COLLATE "C" NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C",
    -- The names of its config vars; empty until the add-on is provisioned.
    var_names TEXT COLLATE "C" NOT NULL,
    -- The same with values, sealed as one map.
    vars BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, name)
);
CREATE INDEX attachments_of_addon ON attachments (addon_id);

-- Logins to an add-on. While one is exchanged for another of the same name both work.
CREATE TABLE credentials (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    addon_id TEXT COLLATE "C" NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    login TEXT COLLATE "C" NOT NULL,
    password BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- When it ends, whoever uses it then.
    revoke_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (addon_id, login)
);
CREATE INDEX credentials_by_name ON credentials (addon_id, name, created_at);
CREATE INDEX credentials_to_revoke ON credentials (revoke_at) WHERE revoke_at IS NOT NULL;
