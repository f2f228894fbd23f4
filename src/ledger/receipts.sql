-- Receipts of choices, without anything about who made them. Numbers of rows
-- are never given out twice: what was erased leaves its place behind.
CREATE TABLE receipt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number BLOB NOT NULL UNIQUE,
    -- SHA-256 of what was recorded; it stays when the rest is erased.
    leaf BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    site TEXT NOT NULL,
    granted INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    vendors_allowed TEXT NOT NULL,
    vendors_refused TEXT NOT NULL,
    act TEXT NOT NULL,
    method TEXT NOT NULL,
    gpc INTEGER NOT NULL,
    notice_revision INTEGER NOT NULL,
    notice BLOB NOT NULL,
    choices BLOB NOT NULL,
    language TEXT NOT NULL,
    valid_s INTEGER NOT NULL
);
CREATE INDEX receipt_time ON receipt (time_ms);

-- What is left of an erased receipt: its place, and the hash of its number,
-- with which only somebody who holds the number can ask.
CREATE TABLE erased_receipt (
    number_hash BLOB PRIMARY KEY,
    receipt INTEGER,
    leaf BLOB,
    time_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- The texts that visitors were asked with; `html` is compressed with Zstandard.
CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    site TEXT NOT NULL,
    revision INTEGER NOT NULL,
    language TEXT NOT NULL,
    layer TEXT NOT NULL,
    gpc INTEGER NOT NULL,
    operator TEXT NOT NULL,
    policy_url TEXT NOT NULL,
    choices_url TEXT NOT NULL,
    html BLOB NOT NULL,
    UNIQUE (hash, site, revision, language, layer, gpc)
);
