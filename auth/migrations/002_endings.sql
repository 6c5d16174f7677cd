-- +goose Up
ALTER TABLE accounts ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
-- Whose logins end, and which: those that began by then. The account may be gone.
CREATE TABLE endings (
    account_id TEXT PRIMARY KEY,
    at         BIGINT NOT NULL -- microseconds since 1970
);
CREATE INDEX endings_by_time ON endings (at);

-- +goose Down
DROP TABLE endings;
ALTER TABLE accounts DROP COLUMN disabled;
