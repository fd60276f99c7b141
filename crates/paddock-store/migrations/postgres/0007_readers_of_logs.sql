-- Whoever asked for a log session may read it for as long as they may see the app. Sessions of before end within a day.
ALTER TABLE log_sessions ADD COLUMN account_id TEXT COLLATE "C" REFERENCES accounts (id);
