-- What a manifest was made about: the image that it signs, say. That need not be there.
ALTER TABLE registry_manifests ADD COLUMN subject TEXT;

-- Of what an image names the blobs had to be there, and all else is its subject. Indices say theirs when they are pushed again.
UPDATE registry_manifests SET subject = (SELECT MIN(r.digest) FROM registry_references r
    WHERE r.app_id = registry_manifests.app_id AND r.repository = registry_manifests.repository
    AND r.manifest = registry_manifests.digest
    AND NOT EXISTS (SELECT 1 FROM registry_blobs b WHERE b.app_id = r.app_id AND b.digest = r.digest))
WHERE media_type = 'application/vnd.oci.image.manifest.v1+json';

-- Who is about something does not name it: neither would go before the other.
DELETE FROM registry_references WHERE EXISTS (SELECT 1 FROM registry_manifests m WHERE m.app_id = registry_references.app_id
    AND m.repository = registry_references.repository AND m.digest = registry_references.manifest
    AND m.subject = registry_references.digest);

-- When a tag last went elsewhere, or was deleted: it stays for a while from then on.
ALTER TABLE registry_manifests ADD COLUMN untagged_at BIGINT NOT NULL DEFAULT 0;

CREATE INDEX registry_manifests_about ON registry_manifests (app_id, repository, subject, digest);
