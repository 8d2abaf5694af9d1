-- The ledger's database. Order of writing: blob, then the row that names it; entry, then the index that the sequencer
-- gives it. Everything but entry, batch's own columns and publication can be derived anew: `cloud fsck` does.

-- The sequencer's input and the log itself. idx NULL: submitted, not yet in the tree. Indexes are given in id order,
-- so the place of an entry is fixed at its commit; the sequencer only makes it part of a root.
CREATE TABLE entry (
    id   INTEGER PRIMARY KEY,
    idx  INTEGER UNIQUE,
    kind INTEGER NOT NULL,
    data BLOB NOT NULL,
    leaf BLOB NOT NULL UNIQUE
) STRICT;
CREATE INDEX entry_pending ON entry (id) WHERE idx IS NULL;

-- What a statement is looked up by. A key may use a jti once.
CREATE TABLE statement (
    identity BLOB PRIMARY KEY,
    entry    INTEGER NOT NULL UNIQUE REFERENCES entry (id),
    kind     TEXT NOT NULL,
    kid      BLOB NOT NULL,
    jti      BLOB NOT NULL,
    UNIQUE (kid, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_kind ON statement (kind, entry);

-- The ledger's tree. One row, moved by compare-and-swap.
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    size INTEGER NOT NULL,
    root BLOB NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

-- Tiles lie here and not in blobs because they change in the transaction that moves the head. Written before it, two
-- racing sequencers could leave different bytes under one name; written after it, a crash would leave a head without
-- its tiles. In one transaction neither state exists.
CREATE TABLE tile (
    level  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- Cosigned checkpoints. The first of a size is the one that proofs use; later ones of the same size are for freshness.
-- earliest_ms, latest_ms: lower bound and quorum bound of its cosignatures; NULL when no quorum is asked for.
CREATE TABLE publication (
    id          INTEGER PRIMARY KEY,
    size        INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    earliest_ms INTEGER,
    latest_ms   INTEGER,
    note        BLOB NOT NULL
) STRICT;
CREATE INDEX publication_size ON publication (size, id);

-- One tree of one gateway. frozen: two conflicting checkpoints are logged, nothing more is taken.
CREATE TABLE epoch (
    id       INTEGER PRIMARY KEY,
    gateway  BLOB NOT NULL,
    number   INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    root     BLOB NOT NULL,
    frontier BLOB NOT NULL,
    frozen   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (gateway, number)
) STRICT;

-- The entries between two checkpoints of a gateway: leaves first .. size-1 of its tree. before: the frontier at first,
-- from which and from the batch itself every range proof in it is made, so that gateway trees need no tiles.
CREATE TABLE batch (
    id     INTEGER PRIMARY KEY,
    epoch  INTEGER NOT NULL REFERENCES epoch (id),
    first  INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    root   BLOB NOT NULL,
    before BLOB NOT NULL,
    entry  INTEGER NOT NULL UNIQUE REFERENCES entry (id),
    blob   BLOB NOT NULL,
    bytes  INTEGER NOT NULL,
    UNIQUE (epoch, size)
) STRICT;

-- What one node says in one batch: rows of (sequence number, offset, verdict, link), packed. kid, not thumbprint: an
-- unknown node has no more than that, and the directory refuses a second key of the same kid. An empty kid holds what
-- is no reading at all. first_seq, last_seq: of readings whose signature holds, so that nobody else can widen them.
CREATE TABLE segment (
    kid       BLOB NOT NULL,
    batch     INTEGER NOT NULL REFERENCES batch (id),
    first_seq INTEGER,
    last_seq  INTEGER,
    unknown   INTEGER NOT NULL,
    rows      BLOB NOT NULL,
    PRIMARY KEY (kid, batch)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_seq ON segment (kid, last_seq, first_seq);
CREATE INDEX segment_batch ON segment (batch);

-- How many readings of a node have which verdict, for the status page.
CREATE TABLE tally (
    kid     BLOB NOT NULL,
    verdict TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (kid, verdict)
) STRICT, WITHOUT ROWID;

-- How far each witness followed, so that its consistency proof fits at the first try. A hint only.
CREATE TABLE witness (
    url  TEXT PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
