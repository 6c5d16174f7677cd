-- +goose Up
CREATE TABLE records (
    key      TEXT PRIMARY KEY, -- 22 characters, a truncated hash
    subject  TEXT NOT NULL,    -- whose login it is, or ''
    rev      BIGINT NOT NULL,
    expires  BIGINT NOT NULL,  -- microseconds since 1970
    document TEXT NOT NULL     -- the record as JSON, with its version
);
CREATE INDEX records_by_subject ON records (subject) WHERE subject <> '';
CREATE INDEX records_by_expiry ON records (expires);

-- +goose Down
DROP TABLE records;
