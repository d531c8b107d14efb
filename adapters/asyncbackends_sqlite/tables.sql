-- The tables of one namespace; its prefix stands where the ~ is.
--
-- An object's parts are rows of its own integer id, so that new objects are appended everywhere.
-- What other objects, lists and the feed know it by is its uuid, as 16 bytes. There are no foreign
-- keys and no unique names: the one writer checks them, and integrity = legacy shares the file.

CREATE TABLE ~meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Identity: written once, never updated.
CREATE TABLE ~object (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    fq TEXT NOT NULL,
    parent_type TEXT,
    parent_uuid BLOB,
    created INTEGER NOT NULL
);
CREATE INDEX ~object_type ON ~object (type, uuid, fq);
CREATE INDEX ~object_name ON ~object (type, fq, uuid);
CREATE INDEX ~object_parent ON ~object (parent_uuid, type, uuid, fq) WHERE parent_uuid IS NOT NULL;

-- All that every change touches.
CREATE TABLE ~state (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, modified INTEGER NOT NULL);

-- Scalar and structured properties as one JSON object; none where there are none.
CREATE TABLE ~doc (id INTEGER PRIMARY KEY, properties TEXT NOT NULL);

-- Elements of lists, by the sort key of their position, and of maps, by their key.
CREATE TABLE ~elem (
    id INTEGER NOT NULL,
    field TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (id, field, key)
) WITHOUT ROWID;

-- Names never change, so copies of them need no care. to_fq is NULL where the target is missing.
CREATE TABLE ~ref (
    from_id INTEGER NOT NULL,
    to_uuid BLOB NOT NULL,
    from_type TEXT NOT NULL,
    from_uuid BLOB NOT NULL,
    from_fq TEXT NOT NULL,
    to_type TEXT NOT NULL,
    to_fq TEXT,
    attr TEXT NOT NULL,
    relaxed INTEGER NOT NULL,
    PRIMARY KEY (from_id, to_uuid)
) WITHOUT ROWID;
CREATE INDEX ~ref_back ON ~ref (to_uuid, from_type, from_uuid, from_fq);
CREATE INDEX ~ref_dangling ON ~ref (to_uuid) WHERE to_fq IS NULL;

-- Indexed properties.
CREATE TABLE ~indexed (
    type TEXT NOT NULL,
    prop TEXT NOT NULL,
    key TEXT NOT NULL,
    uuid BLOB NOT NULL,
    PRIMARY KEY (type, prop, key, uuid)
) WITHOUT ROWID;
CREATE INDEX ~indexed_uuid ON ~indexed (uuid, prop);

CREATE TABLE ~share (
    type TEXT NOT NULL,
    share_type TEXT NOT NULL,
    share_id TEXT NOT NULL,
    uuid BLOB NOT NULL,
    rwx INTEGER NOT NULL,
    PRIMARY KEY (type, share_type, share_id, uuid)
) WITHOUT ROWID;
CREATE INDEX ~share_uuid ON ~share (uuid);

CREATE TABLE ~useragent (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE ~kv (
    row_table TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    columns TEXT NOT NULL,
    PRIMARY KEY (row_table, key)
) WITHOUT ROWID;

CREATE TABLE ~fence (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, token INTEGER NOT NULL) WITHOUT ROWID;

-- The feed that watches read.
CREATE TABLE ~change (revision INTEGER PRIMARY KEY, op INTEGER NOT NULL, type TEXT NOT NULL, uuid BLOB NOT NULL);

INSERT INTO ~meta (key, value) VALUES ('version', 1), ('revision', 0), ('compacted', 0), ('schema_stamp', 0);
