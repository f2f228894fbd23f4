-- The ledger that many proxies share. Tables and columns are those of a
-- proxy's own ledger, so that a question is asked of either in the same words.
-- What is more here: which proxy a row came from (`node`), and what its number
-- was there (`local_id`). An entry's columns are as narrow as they can be: there
-- are more of them than of anything else.
-- Nothing in here says who a visitor is.
CREATE TABLE meta (schema BIGINT NOT NULL, created_ms BIGINT NOT NULL);

-- A proxy's own ledger, by the key that signs its checkpoints, and when it was
-- begun.
CREATE TABLE node (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    key TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    UNIQUE (name, created_ms)
);

-- How far a node was shipped: written in the transaction that stores its rows,
-- so that each is stored exactly once.
CREATE TABLE shipped (
    node BIGINT NOT NULL REFERENCES node (id),
    sort TEXT NOT NULL,
    last_id BIGINT NOT NULL,
    PRIMARY KEY (node, sort)
);

-- Texts are as long as a stranger likes: an index of hashes takes any.
CREATE TABLE site (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text TEXT COLLATE "C" NOT NULL,
    EXCLUDE USING hash (text WITH =)
);
CREATE TABLE page (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text TEXT COLLATE "C" NOT NULL,
    EXCLUDE USING hash (text WITH =)
);
CREATE TABLE revision (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text TEXT COLLATE "C" NOT NULL,
    EXCLUDE USING hash (text WITH =)
);
CREATE TABLE word (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text TEXT COLLATE "C" NOT NULL,
    EXCLUDE USING hash (text WITH =)
);

CREATE TABLE decision (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verdict TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    layer TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    via TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of all of it.
    mark BYTEA NOT NULL UNIQUE
);
CREATE TABLE decision_set (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    dropped BIGINT NOT NULL
);
CREATE TABLE set_member (
    set_id INTEGER NOT NULL REFERENCES decision_set (id),
    decision_id INTEGER NOT NULL REFERENCES decision (id),
    PRIMARY KEY (set_id, decision_id)
);
CREATE INDEX set_member_decision ON set_member (decision_id);

-- Seals name sets and decisions by the numbers they have in a node's ledger.
CREATE TABLE node_set (
    node BIGINT NOT NULL REFERENCES node (id),
    local_id BIGINT NOT NULL,
    set_id INTEGER NOT NULL REFERENCES decision_set (id),
    PRIMARY KEY (node, local_id)
);
CREATE TABLE node_decision (
    node BIGINT NOT NULL REFERENCES node (id),
    local_id BIGINT NOT NULL,
    decision_id INTEGER NOT NULL REFERENCES decision (id),
    PRIMARY KEY (node, local_id)
);

-- One partition a month, and one for times that no clock should show.
CREATE TABLE entry (
    id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    site INTEGER NOT NULL,
    page INTEGER NOT NULL,
    policy INTEGER NOT NULL,
    set_id INTEGER NOT NULL,
    class SMALLINT NOT NULL,
    undecided SMALLINT NOT NULL,
    signal SMALLINT NOT NULL,
    mode SMALLINT NOT NULL
) PARTITION BY RANGE (time_ms);
CREATE TABLE entry_other PARTITION OF entry DEFAULT;
CREATE INDEX entry_id ON entry (id);
CREATE INDEX entry_time ON entry (time_ms);
CREATE INDEX entry_set ON entry (set_id);

-- Entries that were stored together: where they came from, and that entry
-- `first_id` is `first_local` there, the next one the next, and so on.
CREATE TABLE shipment (
    first_id BIGINT PRIMARY KEY,
    last_id BIGINT NOT NULL,
    node BIGINT NOT NULL REFERENCES node (id),
    first_local BIGINT NOT NULL,
    time_ms BIGINT NOT NULL
);
CREATE INDEX shipment_node ON shipment (node, first_local);

CREATE TABLE gap (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node BIGINT NOT NULL REFERENCES node (id),
    local_id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    why TEXT NOT NULL,
    UNIQUE (node, local_id)
);

CREATE TABLE receipt (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node BIGINT NOT NULL REFERENCES node (id),
    local_id BIGINT NOT NULL,
    -- SHA-256 of the number as text, by which it is erased.
    number_hash BYTEA NOT NULL,
    number BYTEA NOT NULL,
    leaf BYTEA NOT NULL,
    time_ms BIGINT NOT NULL,
    site TEXT COLLATE "C" NOT NULL,
    granted BIGINT NOT NULL,
    asked BIGINT NOT NULL,
    vendors_allowed TEXT NOT NULL,
    vendors_refused TEXT NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    gpc BIGINT NOT NULL,
    notice_revision BIGINT NOT NULL,
    notice BYTEA NOT NULL,
    choices BYTEA NOT NULL,
    language TEXT COLLATE "C" NOT NULL,
    valid_s BIGINT NOT NULL,
    UNIQUE (node, local_id)
);
CREATE INDEX receipt_time ON receipt (time_ms);
CREATE INDEX receipt_number ON receipt (number_hash);

-- A visitor may have a receipt erased at another proxy than the one that gave
-- it to them: the node that erased it, and the node whose row it was, each have
-- a row here. `receipt` is the row's number in its node's ledger. Numbers
-- ascend as rows come: a node asks for those behind the last it was told.
CREATE TABLE erased_receipt (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    node BIGINT NOT NULL REFERENCES node (id),
    number_hash BYTEA NOT NULL,
    receipt BIGINT,
    leaf BYTEA,
    time_ms BIGINT NOT NULL,
    PRIMARY KEY (number_hash, node)
);
CREATE INDEX erased_receipt_node ON erased_receipt (node, id);

CREATE TABLE notice (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash BYTEA NOT NULL,
    time_ms BIGINT NOT NULL,
    site TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    language TEXT COLLATE "C" NOT NULL,
    layer TEXT COLLATE "C" NOT NULL,
    gpc BIGINT NOT NULL,
    operator TEXT NOT NULL,
    policy_url TEXT NOT NULL,
    choices_url TEXT NOT NULL,
    html BYTEA NOT NULL,
    UNIQUE (hash, site, revision, language, layer, gpc)
);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node BIGINT NOT NULL REFERENCES node (id),
    local_id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (node, local_id)
);
CREATE INDEX audit_about ON audit USING hash (about);

CREATE TABLE seal (
    node BIGINT NOT NULL REFERENCES node (id),
    id BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    sets BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    receipts BIGINT NOT NULL,
    gaps BIGINT NOT NULL,
    audits BIGINT NOT NULL,
    root BYTEA NOT NULL,
    marks BYTEA NOT NULL,
    -- What stands for rows that were pruned before they were sent.
    cover BYTEA,
    PRIMARY KEY (node, id)
);
CREATE TABLE checkpoint (
    node BIGINT NOT NULL REFERENCES node (id),
    size BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (node, size)
);

-- What it all adds up to, of all nodes together.
CREATE TABLE hourly (
    hour BIGINT NOT NULL,
    site BIGINT NOT NULL,
    class BIGINT NOT NULL,
    undecided BIGINT NOT NULL,
    signal BIGINT NOT NULL,
    mode BIGINT NOT NULL,
    views BIGINT NOT NULL,
    PRIMARY KEY (hour, site, class, undecided, signal, mode)
);
CREATE TABLE daily_purpose (
    day BIGINT NOT NULL,
    site BIGINT NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    times BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (day, site, purpose, verdict)
);
CREATE TABLE daily_vendor (
    day BIGINT NOT NULL,
    site BIGINT NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    times BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (day, site, vendor_id, purpose, verdict)
);
CREATE TABLE daily_kind (
    vendor_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    site BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (vendor_id, day, site, kind, verdict)
);
CREATE TABLE daily_page (
    vendor_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    site BIGINT NOT NULL,
    page BIGINT NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    views BIGINT NOT NULL,
    PRIMARY KEY (vendor_id, day, site, page, purpose, verdict)
);
CREATE TABLE daily_choice (
    day BIGINT NOT NULL,
    site TEXT COLLATE "C" NOT NULL,
    notice_revision BIGINT NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    gpc BIGINT NOT NULL,
    times BIGINT NOT NULL,
    PRIMARY KEY (day, site, notice_revision, act, method, gpc)
);
CREATE TABLE combination (
    set_id BIGINT NOT NULL,
    site BIGINT NOT NULL,
    page BIGINT NOT NULL,
    views BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (set_id, site, page)
);
CREATE TABLE seen (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sort TEXT COLLATE "C" NOT NULL,
    site BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    views BIGINT NOT NULL,
    page BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    via TEXT COLLATE "C" NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    vendor TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    reported BIGINT NOT NULL,
    UNIQUE (sort, site, name)
);
CREATE INDEX seen_reported ON seen (sort, site, reported);

-- SQLite's name for it.
CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS BIGINT
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN strpos(whole, part);

-- Makes the partition for entries of that time, unless it is there. It runs
-- with the rights of whoever made it: a proxy need not own the tables.
CREATE FUNCTION make_partition(time_ms BIGINT) RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', to_timestamp(time_ms / 1000) AT TIME ZONE 'UTC');
    name TEXT := 'entry_' || to_char(month, 'YYYY_MM');
BEGIN
    IF month < '2020-01-01' OR month > '2099-12-01' OR to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF entry FOR VALUES FROM (%s) TO (%s)',
            name,
            (extract(epoch FROM month) * 1000)::BIGINT,
            (extract(epoch FROM month + INTERVAL '1 month') * 1000)::BIGINT
        );
    EXCEPTION WHEN duplicate_table THEN
        -- Another proxy was faster.
        NULL;
    END;
END
$$;
