-- From format 1 to format 2: a decision says which script asked.
CREATE TABLE decision_2 (
    id INTEGER PRIMARY KEY,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    layer TEXT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    vendor_id TEXT NOT NULL,
    vendor TEXT NOT NULL,
    purpose TEXT NOT NULL,
    rule TEXT NOT NULL,
    via TEXT NOT NULL,
    UNIQUE (what, kind, layer, verdict, reason, vendor_id, vendor, purpose, rule, via)
);
INSERT INTO decision_2
    SELECT id, verdict, reason, layer, kind, what, vendor_id, vendor, purpose, rule, '' FROM decision;
DROP TABLE decision;
ALTER TABLE decision_2 RENAME TO decision;
UPDATE meta SET schema = 2;
