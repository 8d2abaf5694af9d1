-- What readings declare as given up by their node. finance_gap holds these gaps too, once a fold went on over them.
CREATE TABLE finance_declared (
    node      BLOB NOT NULL,
    seq       INTEGER NOT NULL, -- of the reading that declares
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    PRIMARY KEY (node, seq)
) STRICT, WITHOUT ROWID;
