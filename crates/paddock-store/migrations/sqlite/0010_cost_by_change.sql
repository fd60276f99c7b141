-- A server's apps are read page by page.
DROP INDEX apps_of_server;
CREATE INDEX apps_of_server ON apps (server_id, id);

-- Releases that may expire: most were never deployed to, or their slug is gone.
CREATE INDEX releases_with_slug ON releases (created_at) WHERE slug_id IS NOT NULL;

-- The host name from its last letter to its first: names below a wildcard are next to each other.
ALTER TABLE domains ADD COLUMN from_end TEXT NOT NULL DEFAULT '';
UPDATE domains SET from_end = (
    WITH RECURSIVE letters (place, text) AS (
        SELECT length(hostname), ''
        UNION ALL SELECT place - 1, text || substr(hostname, place, 1) FROM letters WHERE place > 0
    )
    SELECT text FROM letters WHERE place = 0
);
CREATE INDEX domains_from_end ON domains (from_end);
