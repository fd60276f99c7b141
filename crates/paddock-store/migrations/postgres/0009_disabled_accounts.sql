-- An account that the operator disabled: it is nobody's way in until it is enabled again, and what it owns goes on.
ALTER TABLE accounts ADD COLUMN disabled_at BIGINT;
