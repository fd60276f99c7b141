-- What an app's attachments say, sealed as one map beside the user's (`sealed`, `config`); empty where there is none.
ALTER TABLE config ADD COLUMN attached BLOB;
ALTER TABLE releases ADD COLUMN attached BLOB;
-- The version whose slug and config vars of the user's it goes on with: it changes what attachments say and nothing else.
ALTER TABLE releases ADD COLUMN laid_on BIGINT;
