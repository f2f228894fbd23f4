-- What was stored together is sealed together: the root of a tree of hashes
-- (RFC 6962) over all of it, and the first bytes of each hash, to find what was
-- changed later. Seals are the leaves of the ledger's own tree.
CREATE TABLE seal (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    -- The last rows that are under this seal or an earlier one.
    sets INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    receipts INTEGER NOT NULL,
    gaps INTEGER NOT NULL,
    root BLOB NOT NULL,
    marks BLOB NOT NULL
);
-- The ledger's tree, to go on from; one row.
CREATE TABLE tree (size INTEGER NOT NULL, peaks BLOB NOT NULL);
INSERT INTO tree VALUES (0, x'');
-- Rows from before there were seals are under none.
INSERT INTO seal VALUES (
    0,
    0,
    (SELECT ifnull(max(id), 0) FROM decision_set),
    (SELECT ifnull(max(id), 0) FROM entry),
    (SELECT ifnull(max(id), 0) FROM receipt),
    (SELECT ifnull(max(id), 0) FROM gap),
    x'',
    x''
);
-- The tree as it was at a time, signed; each is a text to export.
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, note TEXT NOT NULL);
