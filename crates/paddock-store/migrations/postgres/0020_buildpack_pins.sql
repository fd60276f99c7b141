-- What ran for a buildpack of an app in its last successful build: 'builtin', 'sha256:…' of an archive or 'commit:…' of a repository.
-- looked_at is when it was last looked for a newer one; 0 has the next build look. detected is 1 where nobody named it.
CREATE TABLE buildpack_pins (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    reference TEXT COLLATE "C" NOT NULL,
    ran TEXT COLLATE "C" NOT NULL,
    looked_at BIGINT NOT NULL,
    detected BIGINT NOT NULL,
    PRIMARY KEY (app_id, reference)
);
-- Archives of named buildpacks in the mirror of a server. Number 0 is what was fetched last; others were imported by the operator.
CREATE TABLE buildpack_archives (
    server_id TEXT COLLATE "C" NOT NULL REFERENCES servers (id),
    name TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, name, number)
);
-- What ran for each buildpack of a build, in their order: reference and what ran. Empty where it is not known.
ALTER TABLE builds ADD COLUMN ran TEXT COLLATE "C" NOT NULL DEFAULT '[]';
