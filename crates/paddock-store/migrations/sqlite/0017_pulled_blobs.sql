-- Blobs that another registry gave to builds of an app. Who has been given the bytes may use what became of them; to know
-- their digest is not enough.
CREATE TABLE pulled_blobs (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, digest)
);
CREATE INDEX pulled_blobs_by_use ON pulled_blobs (used_at);
