-- Finance's tables, in the ledger's database file: a decision, its log entry and the loan change in one transaction.

-- How far the projector is: the place of the last fact it took, and the last publication it decided on.
CREATE TABLE finance_cursor (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    idx         INTEGER NOT NULL,
    place       INTEGER NOT NULL, -- the offset at that index
    publication INTEGER NOT NULL
) STRICT;
INSERT INTO finance_cursor VALUES (1, -1, 0, 0);

-- Every valid reading of every node, as the decision core sees it: folded by several loans, and held until it links.
-- starts: it may begin a fold after a gap: the first reading of a boot, or the genesis of its chain.
CREATE TABLE finance_reading (
    node        BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    starts      INTEGER NOT NULL,
    latest_ms   INTEGER NOT NULL,
    observation BLOB NOT NULL,
    PRIMARY KEY (node, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX finance_reading_starts ON finance_reading (node, seq) WHERE starts = 1;

-- decided: the state after the last decision; state: the same with every reading folded since (not cited yet).
-- from_size, from_ms: the next decision is made as of no earlier checkpoint than that. due: there is something to fold.
-- silent_at_ms: the as-of time at which silence breaks it without a new reading; NULL once it has.
CREATE TABLE finance_loan (
    number        INTEGER PRIMARY KEY,
    id            BLOB NOT NULL UNIQUE,
    version       INTEGER NOT NULL,
    lot           TEXT NOT NULL,
    facility      BLOB NOT NULL,
    lender        BLOB NOT NULL,
    borrower      BLOB NOT NULL,
    principal     INTEGER NOT NULL,
    released      INTEGER NOT NULL DEFAULT 0,
    opened_ms     INTEGER NOT NULL,
    from_size     INTEGER NOT NULL,
    from_ms       INTEGER NOT NULL,
    rules         BLOB NOT NULL,
    decided       BLOB NOT NULL,
    state         BLOB NOT NULL,
    decisions     INTEGER NOT NULL,
    last_decision BLOB,
    due           INTEGER NOT NULL,
    silent_at_ms  INTEGER
) STRICT;
-- One lot secures one loan at a time.
CREATE UNIQUE INDEX finance_loan_lot ON finance_loan (lot) WHERE released = 0;
CREATE INDEX finance_loan_facility ON finance_loan (facility) WHERE released = 0;
CREATE INDEX finance_loan_due ON finance_loan (number) WHERE due = 1;
CREATE INDEX finance_loan_silent ON finance_loan (silent_at_ms) WHERE silent_at_ms IS NOT NULL;

-- Whose readings a loan folds, and which of them no decision has cited yet (NULL: none).
CREATE TABLE finance_watch (
    node      BLOB NOT NULL,
    loan      BLOB NOT NULL REFERENCES finance_loan (id),
    first_seq INTEGER,
    last_seq  INTEGER,
    uncited   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, loan)
) STRICT, WITHOUT ROWID;
CREATE INDEX finance_watch_loan ON finance_watch (loan);

-- Where a fold went on over a declared gap: what lies between is in no window, even if it came later.
CREATE TABLE finance_gap (
    loan      BLOB NOT NULL REFERENCES finance_loan (id),
    node      BLOB NOT NULL,
    last_seq  INTEGER NOT NULL,
    next_seq  INTEGER NOT NULL,
    PRIMARY KEY (loan, node, last_seq)
) STRICT, WITHOUT ROWID;

-- publication: whose note is the decision's as-of checkpoint.
CREATE TABLE finance_decision (
    loan        BLOB NOT NULL REFERENCES finance_loan (id),
    n           INTEGER NOT NULL,
    identity    BLOB NOT NULL UNIQUE,
    publication INTEGER NOT NULL REFERENCES publication (id),
    data        BLOB NOT NULL,
    PRIMARY KEY (loan, n)
) STRICT, WITHOUT ROWID;

-- What happened, for GET /v1/events and the webhook alike. next_ms: when to try to deliver it; NULL: done, or given up.
CREATE TABLE finance_event (
    id       INTEGER PRIMARY KEY,
    type     TEXT NOT NULL,
    loan     BLOB NOT NULL,
    time_ms  INTEGER NOT NULL,
    data     TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_ms  INTEGER
) STRICT;
CREATE INDEX finance_event_next ON finance_event (next_ms) WHERE next_ms IS NOT NULL;

-- Answers already given, by Idempotency-Key.
CREATE TABLE finance_request (
    key    TEXT PRIMARY KEY,
    body   BLOB NOT NULL,
    answer BLOB NOT NULL
) STRICT, WITHOUT ROWID;
