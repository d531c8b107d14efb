-- The tables of one namespace; its prefix stands where the ~ is. Statements end at a line's end.
--
-- Names are bytes, so that they are compared exactly and without padding. A twin of zeros has the
-- name; a legacy duplicate has its own uuid there. An object of type '' is the place that refs and
-- parents lead to when nothing is there.

CREATE TABLE IF NOT EXISTS ~meta (
    name VARBINARY(64) NOT NULL PRIMARY KEY,
    value LONGTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ~counter (
    id INT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    compacted BIGINT NOT NULL,
    stamp BIGINT NOT NULL
) ENGINE=InnoDB;

-- Identity: hardly ever updated, so that foreign keys that are checked meet no lock.
CREATE TABLE IF NOT EXISTS ~object (
    uuid BINARY(16) NOT NULL PRIMARY KEY,
    type VARBINARY(255) NOT NULL,
    fq VARBINARY(1024) NOT NULL,
    twin BINARY(16) NOT NULL,
    parent_type VARBINARY(255) NULL,
    parent_uuid BINARY(16) NULL,
    created BIGINT NOT NULL,
    UNIQUE KEY object_name (type, fq, twin),
    KEY object_type (type, uuid, fq),
    KEY object_parent (parent_uuid, type, uuid, fq),
    FOREIGN KEY (parent_uuid) REFERENCES ~object (uuid)
) ENGINE=InnoDB;

-- All that every change touches.
CREATE TABLE IF NOT EXISTS ~state (
    uuid BINARY(16) NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    FOREIGN KEY (uuid) REFERENCES ~object (uuid) ON DELETE CASCADE
) ENGINE=InnoDB;

-- Text, not JSON: servers change the order of its keys and its numbers.
CREATE TABLE IF NOT EXISTS ~doc (
    uuid BINARY(16) NOT NULL PRIMARY KEY,
    properties LONGTEXT NOT NULL,
    FOREIGN KEY (uuid) REFERENCES ~object (uuid) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Elements of lists, by the sort key of their position, and of maps, by their key.
CREATE TABLE IF NOT EXISTS ~elem (
    uuid BINARY(16) NOT NULL,
    field VARBINARY(255) NOT NULL,
    item VARBINARY(640) NOT NULL,
    value LONGTEXT NOT NULL,
    PRIMARY KEY (uuid, field, item),
    FOREIGN KEY (uuid) REFERENCES ~object (uuid) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Names never change, so copies of them need no care. to_fq is NULL where the ref dangles.
CREATE TABLE IF NOT EXISTS ~ref (
    from_uuid BINARY(16) NOT NULL,
    to_uuid BINARY(16) NOT NULL,
    from_type VARBINARY(255) NOT NULL,
    from_fq VARBINARY(1024) NOT NULL,
    to_type VARBINARY(255) NOT NULL,
    to_fq VARBINARY(1024) NULL,
    attr LONGTEXT NOT NULL,
    relaxed TINYINT NOT NULL,
    PRIMARY KEY (from_uuid, to_uuid),
    KEY ref_back (to_uuid, from_type, from_uuid, from_fq),
    FOREIGN KEY (from_uuid) REFERENCES ~object (uuid) ON DELETE CASCADE,
    FOREIGN KEY (to_uuid) REFERENCES ~object (uuid)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ~indexed (
    type VARBINARY(255) NOT NULL,
    prop VARBINARY(255) NOT NULL,
    item VARBINARY(640) NOT NULL,
    uuid BINARY(16) NOT NULL,
    PRIMARY KEY (type, prop, item, uuid),
    KEY indexed_uuid (uuid, prop),
    FOREIGN KEY (uuid) REFERENCES ~object (uuid) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS ~share (
    type VARBINARY(255) NOT NULL,
    share_type VARBINARY(255) NOT NULL,
    share_id VARBINARY(255) NOT NULL,
    uuid BINARY(16) NOT NULL,
    rwx INT NOT NULL,
    PRIMARY KEY (type, share_type, share_id, uuid),
    KEY share_uuid (uuid),
    FOREIGN KEY (uuid) REFERENCES ~object (uuid) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS ~useragent (
    name VARBINARY(255) NOT NULL PRIMARY KEY,
    value LONGTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ~kv (
    row_table VARBINARY(255) NOT NULL,
    name VARBINARY(255) NOT NULL,
    revision BIGINT NOT NULL,
    columns LONGTEXT NOT NULL,
    PRIMARY KEY (row_table, name)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ~fence (
    name VARBINARY(2048) NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    token BIGINT NOT NULL
) ENGINE=InnoDB;

-- The feed that watches read.
CREATE TABLE IF NOT EXISTS ~changes (
    revision BIGINT NOT NULL PRIMARY KEY,
    op TINYINT NOT NULL,
    type VARBINARY(255) NOT NULL,
    uuid BINARY(16) NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO ~counter (id, revision, compacted, stamp) VALUES (1, 0, 0, 0);

-- Last: tables without a version are not finished.
INSERT IGNORE INTO ~meta (name, value) VALUES ('version', '1');
