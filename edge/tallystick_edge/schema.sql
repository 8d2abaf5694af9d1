-- The gateway's log: buffer, journal and log at once. `entry` only grows.
-- One epoch is one Merkle tree over entry rows first_row, first_row + 1, ...: leaf index = row - first_row.

CREATE TABLE IF NOT EXISTS entry (
    row INTEGER PRIMARY KEY,            -- from 0, without holes
    data BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS epoch (
    number INTEGER PRIMARY KEY,         -- from 1; the highest is the open one
    first_row INTEGER NOT NULL,
    size INTEGER NOT NULL,              -- leaves under the last signed checkpoint
    frontier BLOB NOT NULL,             -- of the tree of that size
    confirmed_size INTEGER NOT NULL     -- leaves that the ledger holds durably
) STRICT;

CREATE TABLE IF NOT EXISTS checkpoint (
    epoch INTEGER NOT NULL,
    size INTEGER NOT NULL,
    note BLOB NOT NULL,                 -- C2SP checkpoint with the gateway's one signature
    bytes INTEGER NOT NULL,             -- of the entries since the checkpoint before
    ledger_index INTEGER,               -- where the ledger put it, once it said so
    PRIMARY KEY (epoch, size)
) STRICT, WITHOUT ROWID;

-- Entries that were logged while their kid was not enrolled: nobody has checked their signatures.
CREATE TABLE IF NOT EXISTS unknown (
    row INTEGER PRIMARY KEY
) STRICT;

-- Rows that could not be read back: what they held, before a note took their place in the tree.
CREATE TABLE IF NOT EXISTS quarantine (
    row INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- Enrolments and revocations from the ledger, in its order. Their count is the downlink cursor.
CREATE TABLE IF NOT EXISTS downlink (
    number INTEGER PRIMARY KEY,         -- from 0, without holes
    statement BLOB NOT NULL,
    received_ms INTEGER                 -- wall time then, if there was one
) STRICT;

-- One row: what the ledger said last.
CREATE TABLE IF NOT EXISTS head (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    note BLOB,                          -- the newest ledger checkpoint that met the witness policy
    witnessed_size INTEGER NOT NULL,
    synced_ms INTEGER                   -- wall time of the last answer
) STRICT;
INSERT OR IGNORE INTO head VALUES (0, NULL, 0, NULL);
