-- A one-off dyno whose client is gone is hung up on again and again: how often so far (R16 included), and when last.
ALTER TABLE dynos ADD COLUMN hang_ups BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dynos ADD COLUMN hung_up_at BIGINT;
