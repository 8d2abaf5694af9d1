-- One job: the items that are to get tags, what happened at the reader, and what the ledger knows.
CREATE TABLE job (
    id TEXT PRIMARY KEY,               -- 16 random bytes, hex
    format INTEGER NOT NULL,
    chip TEXT NOT NULL,                -- of rows that name none
    host TEXT NOT NULL,
    key_set TEXT NOT NULL,             -- names the keys of this job at their provider
    key_version INTEGER NOT NULL,      -- 1 to 254, stands on the tag beside each key
    will_lock INTEGER NOT NULL,        -- 1: a second pass locks, so keys are needed until then
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE item (
    row INTEGER PRIMARY KEY,           -- as the spreadsheet numbers it
    gtin TEXT NOT NULL,
    serial TEXT NOT NULL,
    name TEXT NOT NULL,
    chip TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'writing', 'written', 'locked')),
    uid TEXT UNIQUE,                   -- from the moment before the first byte is written
    epoch INTEGER,
    written_ms INTEGER,
    checked_ms INTEGER,                -- label scanned and tag tapped: they match
    salt TEXT,
    statement BLOB,
    identity TEXT UNIQUE,              -- of the statement
    sent_ms INTEGER,                   -- the ledger holds it
    UNIQUE (gtin, serial)
) STRICT;

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    row INTEGER REFERENCES item,
    uid TEXT,
    what TEXT NOT NULL,                -- write, verify, lock ...
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,                  -- NULL: the computer stopped in between
    state TEXT,
    code TEXT,
    reason TEXT,
    next_action TEXT
) STRICT;
CREATE INDEX attempt_row ON attempt (row);

-- Tags that are lost to the job: never given an item again.
CREATE TABLE abandoned (uid TEXT PRIMARY KEY, row INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT;

-- UIDs that were scanned beforehand, for a sealed job.
CREATE TABLE scanned (uid TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;

CREATE VIEW reject AS
SELECT id, row, uid, what, ended_ms, code, reason, next_action
FROM attempt WHERE state IN ('refused', 'unfinished');
