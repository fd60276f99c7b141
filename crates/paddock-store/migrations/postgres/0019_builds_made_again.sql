-- A key of everything that a build was made of, where all of it is known before it begins; empty where not, and where it is not to
-- be used again.
ALTER TABLE builds ADD COLUMN made_of TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX builds_by_what_they_are_made_of ON builds (app_id, made_of) WHERE made_of <> '';
