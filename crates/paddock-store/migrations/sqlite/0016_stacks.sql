-- Stacks that the operator added to a server; `host` and `container` are no rows.
CREATE TABLE stacks (
    server_id TEXT NOT NULL REFERENCES servers (id),
    name TEXT NOT NULL,
    is_beta BIGINT NOT NULL,
    -- From then on nothing is built on it.
    ends_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, name)
);

-- Builds take the version that was added last; slugs stay on theirs, also when the stack is gone.
CREATE TABLE stack_versions (
    server_id TEXT NOT NULL REFERENCES servers (id),
    name TEXT NOT NULL,
    -- Of its layers.
    version TEXT NOT NULL,
    -- What it calls itself.
    system TEXT NOT NULL,
    -- Its root file systems as mountable layers, the uppermost first, as JSON: where dynos run, and where builds do.
    run_layers TEXT NOT NULL,
    build_layers TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, name, version)
);

-- The version that it is laid upon, from its first moment on; empty for `host`, whose version is the machine's.
ALTER TABLE builds ADD COLUMN stack_version TEXT NOT NULL DEFAULT '';

-- Whether some slug, or some build that runs, needs a version.
CREATE INDEX slugs_by_stack ON slugs (stack, stack_version);
