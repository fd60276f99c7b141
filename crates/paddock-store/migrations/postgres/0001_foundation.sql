-- As migrations/sqlite, in PostgreSQL's words: BYTEA for BLOB, and texts compared byte by byte, so that lists have one
-- order on both.

-- One row: what belongs to the platform as a whole.
CREATE TABLE platform (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    routes_generation BIGINT NOT NULL,
    next_id_range BIGINT NOT NULL,
    -- The data key that seals secrets, itself sealed under the master key.
    data_key BYTEA
);
INSERT INTO platform (id, generation, routes_generation, next_id_range) VALUES (1, 0, 0, 0);

CREATE TABLE settings (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE accounts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL,
    -- The address in lower case: what makes it unique.
    email_key TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT COLLATE "C",
    password_hash TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE authorizations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_sha256 BYTEA NOT NULL UNIQUE,
    token_hint TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX authorizations_of_account ON authorizations (account_id, created_at);

CREATE TABLE login_failures (
    email_key TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    failed_at BIGINT NOT NULL
);
CREATE INDEX login_failures_by_email ON login_failures (email_key, failed_at);
CREATE INDEX login_failures_by_address ON login_failures (address, failed_at);
CREATE INDEX login_failures_by_time ON login_failures (failed_at);

CREATE TABLE account_features (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

CREATE TABLE apps (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    owner_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    stack TEXT COLLATE "C" NOT NULL,
    maintenance BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    id_range BIGINT NOT NULL UNIQUE,
    next_version BIGINT NOT NULL,
    -- No reference: apps and releases would each need the other first.
    current_release_id TEXT COLLATE "C",
    repo_bytes BIGINT,
    slug_bytes BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    released_at BIGINT
);
CREATE INDEX apps_of_owner ON apps (owner_id);

-- Apps whose rows are gone and whose files are not yet.
CREATE TABLE deleted_apps (
    app_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    id_range BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL
);

CREATE TABLE collaborators (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    role TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, account_id)
);
CREATE INDEX collaborators_of_account ON collaborators (account_id);

-- The config vars that the next release will have, sealed as one map.
CREATE TABLE config (
    app_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    sealed BYTEA NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE formation (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT COLLATE "C" NOT NULL,
    quantity BIGINT NOT NULL,
    size TEXT COLLATE "C" NOT NULL,
    command TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, process_type)
);

CREATE TABLE slugs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Empty when the app that made it is gone while a release of another app uses it.
    app_id TEXT COLLATE "C" REFERENCES apps (id) ON DELETE SET NULL,
    layer TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    checksum TEXT COLLATE "C",
    commit_id TEXT COLLATE "C",
    commit_description TEXT COLLATE "C",
    process_types TEXT COLLATE "C" NOT NULL,
    buildpack_description TEXT COLLATE "C",
    stack TEXT COLLATE "C" NOT NULL,
    stack_version TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX slugs_of_app ON slugs (app_id, created_at);

CREATE TABLE releases (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    slug_id TEXT COLLATE "C" REFERENCES slugs (id),
    status TEXT COLLATE "C" NOT NULL,
    rollback_of BIGINT,
    release_command TEXT COLLATE "C",
    output TEXT COLLATE "C",
    -- The config vars at this version, sealed as one map.
    config BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, version)
);
CREATE INDEX releases_of_slug ON releases (slug_id);
CREATE INDEX releases_pending ON releases (status) WHERE status = 'pending';

CREATE TABLE builds (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    status TEXT COLLATE "C" NOT NULL,
    source_kind TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    source_version TEXT COLLATE "C",
    source_description TEXT COLLATE "C",
    source_checksum TEXT COLLATE "C",
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    buildpacks TEXT COLLATE "C" NOT NULL,
    stack TEXT COLLATE "C" NOT NULL,
    slug_id TEXT COLLATE "C" REFERENCES slugs (id) ON DELETE SET NULL,
    release_id TEXT COLLATE "C" REFERENCES releases (id) ON DELETE SET NULL,
    branch TEXT COLLATE "C",
    old_head TEXT COLLATE "C",
    failure TEXT COLLATE "C",
    output_secret_sha256 BYTEA,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX builds_of_app ON builds (app_id, created_at);
CREATE INDEX builds_of_slug ON builds (slug_id);
CREATE INDEX builds_of_release ON builds (release_id);
-- An app builds one thing at a time.
CREATE UNIQUE INDEX builds_one_pending ON builds (app_id) WHERE status = 'pending';

CREATE TABLE sources (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    put_secret_sha256 BYTEA NOT NULL UNIQUE,
    get_secret_sha256 BYTEA NOT NULL UNIQUE,
    size_bytes BIGINT,
    sha256 BYTEA,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sources_by_expiry ON sources (expires_at);

CREATE TABLE dynos (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    process_type TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    command TEXT COLLATE "C" NOT NULL,
    size TEXT COLLATE "C" NOT NULL,
    -- No reference: a dyno on its way down may outlive its release.
    release_id TEXT COLLATE "C" NOT NULL,
    release_version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    desired TEXT COLLATE "C" NOT NULL,
    container_id TEXT COLLATE "C",
    address TEXT COLLATE "C",
    port BIGINT,
    attach_secret_sha256 BYTEA UNIQUE,
    terminal_rows BIGINT,
    terminal_columns BIGINT,
    -- Variables of this dyno alone (heroku run --env), sealed as one map.
    env BYTEA,
    time_to_live_seconds BIGINT,
    crash_count BIGINT NOT NULL,
    exit_status BIGINT,
    created_at BIGINT NOT NULL,
    state_changed_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    retry_at BIGINT,
    boot_deadline_at BIGINT
);
CREATE INDEX dynos_of_app ON dynos (app_id, name);

CREATE TABLE buildpack_installations (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    ordinal BIGINT NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, ordinal)
);

CREATE TABLE domains (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    hostname TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    cname TEXT COLLATE "C",
    status TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX domains_of_app ON domains (app_id, hostname);

CREATE TABLE app_features (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, name)
);

CREATE TABLE log_sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    secret_sha256 BYTEA NOT NULL UNIQUE,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    dyno TEXT COLLATE "C",
    source TEXT COLLATE "C",
    process_type TEXT COLLATE "C",
    lines BIGINT NOT NULL,
    tail BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX log_sessions_of_app ON log_sessions (app_id);
CREATE INDEX log_sessions_by_expiry ON log_sessions (expires_at);

CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    app_id TEXT COLLATE "C" REFERENCES apps (id) ON DELETE CASCADE,
    subject_id TEXT COLLATE "C" NOT NULL,
    phase TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT,
    attempt BIGINT NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    last_error TEXT COLLATE "C",
    run_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX jobs_of_app ON jobs (app_id);
CREATE INDEX jobs_open ON jobs (state, created_at);

-- Each change that somebody may want to have seen. No reference: an event outlives its app.
CREATE TABLE events (
    sequence BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    app_id TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX events_by_time ON events (created_at);
