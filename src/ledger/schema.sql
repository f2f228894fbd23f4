-- Small and normalised: a page view costs one row of `entry` and its place in
-- one index. Texts, decisions and sets of decisions are stored once.
-- Nothing in here says who a visitor is.
CREATE TABLE meta (schema INTEGER NOT NULL, created_ms INTEGER NOT NULL);

CREATE TABLE site (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE page (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE revision (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
-- Signals and modes.
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

-- What is unknown is the empty text: two NULLs are never equal, and each
-- decision must be here once.
CREATE TABLE decision (
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
CREATE TABLE decision_set (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, dropped INTEGER NOT NULL);
CREATE TABLE set_member (
    set_id INTEGER NOT NULL REFERENCES decision_set (id),
    decision_id INTEGER NOT NULL REFERENCES decision (id),
    PRIMARY KEY (set_id, decision_id)
) WITHOUT ROWID;

CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    site INTEGER NOT NULL REFERENCES site (id),
    page INTEGER NOT NULL REFERENCES page (id),
    class INTEGER NOT NULL,
    undecided INTEGER NOT NULL,
    signal INTEGER NOT NULL REFERENCES word (id),
    policy INTEGER NOT NULL REFERENCES revision (id),
    mode INTEGER NOT NULL REFERENCES word (id),
    set_id INTEGER NOT NULL REFERENCES decision_set (id)
);
CREATE INDEX entry_time ON entry (time_ms);

CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    why TEXT NOT NULL
);

-- How far each spool file is stored: written in the transaction that stores
-- its lines, so that each is stored exactly once.
CREATE TABLE spool (file TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
