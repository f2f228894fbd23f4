-- What stands for the rows under a seal that were pruned (`retention`).
ALTER TABLE seal ADD COLUMN cover BLOB;
-- Up to which seal each sort was pruned.
CREATE TABLE pruned (sort TEXT PRIMARY KEY, seal INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO pruned VALUES ('entries', 0), ('receipts', 0);
-- What was erased is looked for by its place, too.
CREATE INDEX erased_receipt_place ON erased_receipt (receipt);
