-- What an app's registry has. The bytes of blobs lie in the data directory of the app's server.
CREATE TABLE registry_blobs (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    digest TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, digest)
);
CREATE INDEX registry_blobs_by_digest ON registry_blobs (digest);

CREATE TABLE registry_manifests (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- What follows the app's name: a process type, mostly.
    repository TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    media_type TEXT COLLATE "C" NOT NULL,
    -- As it was sent.
    content TEXT COLLATE "C" NOT NULL,
    -- The image that it is of, where it is one that can be run here.
    image_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, repository, digest)
);
CREATE INDEX registry_manifests_of_image ON registry_manifests (app_id, image_id);

-- What a manifest names: blobs, and manifests of its repository.
CREATE TABLE registry_references (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    repository TEXT COLLATE "C" NOT NULL,
    manifest TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, repository, manifest, digest)
);
CREATE INDEX registry_references_to ON registry_references (app_id, digest);

CREATE TABLE registry_tags (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    repository TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, repository, tag)
);

-- Uploads under way; what has come of one is its file's length.
CREATE TABLE registry_uploads (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    repository TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX registry_uploads_of_app ON registry_uploads (app_id, updated_at);

-- The images of an app: pushed and to be converted, converted, built.
CREATE TABLE images (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- The digest of its configuration.
    id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- Why it cannot be run, in a sentence.
    failure TEXT COLLATE "C",
    -- The configuration, as far as it is of use, as JSON.
    config TEXT COLLATE "C" NOT NULL,
    -- Its mountable layers, the uppermost first, as JSON; none before it is ready.
    layers TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, id)
);

-- Which mountable layer the tar with this digest became on a server.
CREATE TABLE converted_layers (
    server_id TEXT COLLATE "C" NOT NULL REFERENCES servers (id),
    diff_id TEXT COLLATE "C" NOT NULL,
    layer TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, diff_id)
);

-- Which tar is in a blob, compressed or not; found when it was converted.
CREATE TABLE layer_blobs (
    blob TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    diff_id TEXT COLLATE "C" NOT NULL
);

-- What steps of Dockerfiles came to: what they began with and did is their key.
CREATE TABLE build_steps (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    -- Empty for a step that wrote nothing.
    layer TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, key)
);

-- What process types run of images, as JSON; empty for slugs.
ALTER TABLE slugs ADD COLUMN images TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What the next build is laid upon; the stack is what the current release is.
ALTER TABLE apps ADD COLUMN build_stack TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE apps SET build_stack = stack;

-- What is to be said of a dyno that does not do as it should, beside its command.
ALTER TABLE dynos ADD COLUMN remark TEXT COLLATE "C" NOT NULL DEFAULT '';
