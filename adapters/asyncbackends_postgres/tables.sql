-- The tables of one namespace, a schema of that name; it stands where the ~ is.
--
-- Statements are separated by lines of two dashes alone, since functions hold semicolons. Names
-- are compared code point by code point. Times are microseconds since 1970.

CREATE SCHEMA ~
--
CREATE TABLE ~meta (name text COLLATE "C" PRIMARY KEY, value text NOT NULL)
--
-- Locked last by every unit that changes something: the order of revisions is that of commits.
CREATE TABLE ~counter (
    id smallint PRIMARY KEY CHECK (id = 1),
    revision bigint NOT NULL,
    compacted bigint NOT NULL,
    stamp bigint NOT NULL
)
--
-- Identity: written once. The owner of a name has the nil uuid as its twin, a legacy duplicate its
-- own. A tombstone has no type and no name: legacy refs and orphans lead there.
CREATE TABLE ~object (
    uuid uuid PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    fq text COLLATE "C" NOT NULL,
    twin uuid NOT NULL,
    parent_type text COLLATE "C",
    parent_uuid uuid REFERENCES ~object (uuid),
    created bigint NOT NULL
)
--
CREATE UNIQUE INDEX object_name ON ~object (type, fq, twin) INCLUDE (uuid)
--
CREATE INDEX object_type ON ~object (type, uuid) INCLUDE (fq)
--
CREATE INDEX object_parent ON ~object (parent_uuid, type, uuid) INCLUDE (fq)
--
-- All that every change touches.
CREATE TABLE ~state (
    uuid uuid PRIMARY KEY REFERENCES ~object (uuid) ON DELETE CASCADE,
    revision bigint NOT NULL,
    modified bigint NOT NULL
) WITH (fillfactor = 85)
--
-- Scalar and structured properties as one JSON object; none where there are none. Text: jsonb
-- makes an integer of 1e308.
CREATE TABLE ~doc (
    uuid uuid PRIMARY KEY REFERENCES ~object (uuid) ON DELETE CASCADE,
    properties text NOT NULL
)
--
-- Elements of lists, by the sort key of their position, and of maps, by their key.
CREATE TABLE ~elem (
    uuid uuid REFERENCES ~object (uuid) ON DELETE CASCADE,
    field text COLLATE "C",
    item text COLLATE "C",
    value text NOT NULL,
    PRIMARY KEY (uuid, field, item)
)
--
-- Names never change, so copies of them need no care. to_fq is NULL where nothing of that type is.
CREATE TABLE ~ref (
    from_uuid uuid REFERENCES ~object (uuid) ON DELETE CASCADE,
    to_uuid uuid REFERENCES ~object (uuid),
    from_type text COLLATE "C" NOT NULL,
    from_fq text COLLATE "C" NOT NULL,
    to_type text COLLATE "C" NOT NULL,
    to_fq text COLLATE "C",
    attr text NOT NULL,
    relaxed boolean NOT NULL,
    PRIMARY KEY (from_uuid, to_uuid)
)
--
CREATE INDEX ref_back ON ~ref (to_uuid, from_type, from_uuid) INCLUDE (from_fq)
--
CREATE INDEX ref_dangling ON ~ref (to_uuid) WHERE to_fq IS NULL
--
-- Indexed properties.
CREATE TABLE ~indexed (
    type text COLLATE "C",
    prop text COLLATE "C",
    item text COLLATE "C",
    uuid uuid REFERENCES ~object (uuid) ON DELETE CASCADE,
    PRIMARY KEY (type, prop, item, uuid)
)
--
CREATE INDEX indexed_uuid ON ~indexed (uuid, prop)
--
CREATE TABLE ~share (
    type text COLLATE "C",
    share_type text COLLATE "C",
    share_id text COLLATE "C",
    uuid uuid REFERENCES ~object (uuid) ON DELETE CASCADE,
    rwx smallint NOT NULL,
    PRIMARY KEY (type, share_type, share_id, uuid)
)
--
CREATE INDEX share_uuid ON ~share (uuid)
--
CREATE TABLE ~useragent (name text COLLATE "C" PRIMARY KEY, value text NOT NULL)
--
CREATE TABLE ~kv (
    row_table text COLLATE "C",
    name text COLLATE "C",
    revision bigint NOT NULL,
    columns text NOT NULL,
    PRIMARY KEY (row_table, name)
)
--
CREATE TABLE ~fence (
    name text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    token bigint NOT NULL
)
--
-- The feed that watches read.
CREATE TABLE ~changes (
    revision bigint PRIMARY KEY,
    op smallint NOT NULL,
    type text COLLATE "C" NOT NULL,
    uuid uuid NOT NULL
)
--
INSERT INTO ~counter (id, revision, compacted, stamp) VALUES (1, 0, 0, 0)
--
INSERT INTO ~meta (name, value) VALUES ('version', '1')
