-- What people did with consentry, and what it did of its own accord. Nothing
-- about visitors.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    act TEXT NOT NULL,
    about TEXT NOT NULL,
    -- JSON.
    detail TEXT NOT NULL
);
CREATE INDEX audit_about ON audit (about);
-- The last audit entry that is under the seal or an earlier one.
ALTER TABLE seal ADD COLUMN audits INTEGER NOT NULL DEFAULT 0;
