-- A server's apps are read page by page.
DROP INDEX apps_of_server;
CREATE INDEX apps_of_server ON apps (server_id, id);

-- Releases that may expire: most were never deployed to, or their slug is gone.
CREATE INDEX releases_with_slug ON releases (created_at) WHERE slug_id IS NOT NULL;

-- The host name from its last letter to its first: names below a wildcard are next to each other.
ALTER TABLE domains ADD COLUMN from_end TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE domains SET from_end = reverse(hostname);
CREATE INDEX domains_from_end ON domains (from_end);
