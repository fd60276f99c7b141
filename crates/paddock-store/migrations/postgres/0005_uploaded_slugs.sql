-- A slug that a client packs has a row before it has a layer: until then the layer is empty, and this opens the upload.
ALTER TABLE slugs ADD COLUMN put_secret_sha256 BYTEA;
CREATE UNIQUE INDEX slugs_by_put_secret ON slugs (put_secret_sha256);
