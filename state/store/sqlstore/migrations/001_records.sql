-- +goose Up
CREATE TABLE records (
    key       TEXT PRIMARY KEY, -- 22 characters, a truncated hash
    subject   TEXT NOT NULL,    -- whose login it is, or ''
    strategy  TEXT NOT NULL,    -- the slug of the strategy that made it, or ''
    issued_at BIGINT NOT NULL,  -- when the login began, in microseconds since 1970, or 0
    last_seen BIGINT NOT NULL,  -- when the login was used, or 0
    ends_at   BIGINT NOT NULL,  -- when the login ends, however much it is used, or 0
    revoked   BOOLEAN NOT NULL, -- the login has ended, and the record stays to say so
    rev       BIGINT NOT NULL,
    expires   BIGINT NOT NULL,  -- microseconds since 1970
    document  TEXT NOT NULL     -- the record as JSON, with its version: last, since a list of logins does not read it
);
CREATE INDEX records_by_subject ON records (subject, strategy, revoked, issued_at, key) WHERE subject <> '';
CREATE INDEX records_by_expiry ON records (expires);

-- +goose Down
DROP TABLE records;
