-- What the entries and receipts add up to, so that a question about a year
-- costs no more than one about a day. Days and hours are those of UTC, counted
-- since 1970. `verdict` is `allow`, `block`, or `would block` where verdicts
-- were only recorded. A vendor without an id is one that nobody knows.
CREATE TABLE hourly (
    hour INTEGER NOT NULL,
    site INTEGER NOT NULL,
    class INTEGER NOT NULL,
    undecided INTEGER NOT NULL,
    signal INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    views INTEGER NOT NULL,
    PRIMARY KEY (hour, site, class, undecided, signal, mode)
) WITHOUT ROWID;

-- `requests` are those of `times` that were about something a browser fetches.
CREATE TABLE daily_purpose (
    day INTEGER NOT NULL,
    site INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    verdict TEXT NOT NULL,
    times INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (day, site, purpose, verdict)
) WITHOUT ROWID;

CREATE TABLE daily_vendor (
    day INTEGER NOT NULL,
    site INTEGER NOT NULL,
    vendor_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    verdict TEXT NOT NULL,
    vendor TEXT NOT NULL,
    times INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (day, site, vendor_id, purpose, verdict)
) WITHOUT ROWID;

CREATE TABLE daily_kind (
    vendor_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    site INTEGER NOT NULL,
    kind TEXT NOT NULL,
    verdict TEXT NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (vendor_id, day, site, kind, verdict)
) WITHOUT ROWID;

-- On how many views of a page a vendor was met; `*` for any of them.
CREATE TABLE daily_page (
    vendor_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    site INTEGER NOT NULL,
    page INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    verdict TEXT NOT NULL,
    views INTEGER NOT NULL,
    PRIMARY KEY (vendor_id, day, site, page, purpose, verdict)
) WITHOUT ROWID;

CREATE TABLE daily_choice (
    day INTEGER NOT NULL,
    site TEXT NOT NULL,
    notice_revision INTEGER NOT NULL,
    act TEXT NOT NULL,
    method TEXT NOT NULL,
    gpc INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (day, site, notice_revision, act, method, gpc)
) WITHOUT ROWID;

-- Which sets of decisions were taken on which page.
CREATE TABLE combination (
    set_id INTEGER NOT NULL,
    site INTEGER NOT NULL,
    page INTEGER NOT NULL,
    views INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (set_id, site, page)
) WITHOUT ROWID;

-- Every vendor, host and cookie there ever was, in the order of discovery,
-- with the page, the kind and the script it was first met with.
CREATE TABLE seen (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sort TEXT NOT NULL,
    site INTEGER NOT NULL,
    name TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    views INTEGER NOT NULL,
    page INTEGER NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,
    via TEXT NOT NULL,
    vendor_id TEXT NOT NULL,
    vendor TEXT NOT NULL,
    purpose TEXT NOT NULL,
    verdict TEXT NOT NULL,
    -- Whether nothing but reports of browsers say that it was there.
    reported INTEGER NOT NULL,
    UNIQUE (sort, site, name)
);
CREATE INDEX seen_reported ON seen (sort, site, reported, views, last_ms);

-- How far entries and receipts were added up; one row.
CREATE TABLE rolled (entries INTEGER NOT NULL, receipts INTEGER NOT NULL);
INSERT INTO rolled VALUES (0, 0);

-- What is rare is found by its sets, without reading the entries themselves,
-- which lie all over a large file.
CREATE INDEX entry_set ON entry (set_id, time_ms, page, site);
CREATE INDEX set_member_decision ON set_member (decision_id);
