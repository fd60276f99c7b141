-- An account that was deleted keeps its row: releases and builds of other people's apps name it.
ALTER TABLE accounts ADD COLUMN deleted_at BIGINT;

-- SSH keys of accounts. A key tells who somebody is, so no two accounts have the same.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL,
    comment TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX keys_of_account ON keys (account_id, created_at);

-- How many requests an account had left, as of some seconds ago.
CREATE TABLE rate_limits (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    left_requests BIGINT NOT NULL,
    measured_at BIGINT NOT NULL
);

-- Requests that may be carried out once, for a while: a repeated one is answered with the outcome of the first.
CREATE TABLE request_outcomes (
    -- SHA-256 of who asked for what under which request id.
    request_sha256 BLOB NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    -- The run of the server that carries it out.
    owner TEXT NOT NULL,
    -- Empty until it is carried out; the body may hold a token and is sealed.
    status BIGINT,
    body BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX request_outcomes_by_time ON request_outcomes (created_at);
