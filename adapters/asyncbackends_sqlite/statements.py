"""Every statement of the engine, with the tables' prefix filled in."""

from collections.abc import Sequence
from functools import cache
from typing import Final

__all__ = (
    "IDS",
    "IN_BACK_REFS",
    "IN_INDEX",
    "IN_PARENTS",
    "IN_UUIDS",
    "LIST_SOURCES",
    "Statements",
    "hex_id",
    "packed_ids",
    "statements_for",
    "text_id",
)

# One parameter holds many uuids, 16 bytes each.
IDS: Final = """
WITH RECURSIVE packed(bytes) AS (SELECT ?), ids(n, uuid) AS (
  SELECT 0, substr(bytes, 1, 16) FROM packed
  UNION ALL
  SELECT n + 1, substr(bytes, 16 * n + 17, 16) FROM ids, packed WHERE n + 1 < length(bytes) / 16
) """

NEW_OBJECT: Final = """
INSERT OR IGNORE INTO ~object (uuid, type, fq, created, parent_type, parent_uuid)
SELECT n.uuid, n.type, n.fq, n.created, """
NEW_VALUES: Final = "(SELECT ? AS uuid, ? AS type, ? AS fq, ? AS created) n"
NAME_IS_FREE: Final = (
    " AND NOT EXISTS (SELECT 1 FROM ~object o WHERE o.type = n.type AND o.fq = n.fq)"
)

# What a list may start from: (uuid, name) with its restriction, by an index that covers both.
LIST_SOURCES: Final = {
    "type": ("o.uuid", "o.fq", "~object o INDEXED BY ~object_type WHERE o.type = ?"),
    "parent": (
        "o.uuid",
        "o.fq",
        "~object o INDEXED BY ~object_parent WHERE o.type = ? AND o.parent_uuid = ?",
    ),
    "back_ref": (
        "r.from_uuid",
        "r.from_fq",
        "~ref r INDEXED BY ~ref_back WHERE r.from_type = ? AND r.to_uuid = ?",
    ),
}
# What is read of an object beside its identity, each part as one JSON array.
PARTS: Final = {
    "nothing": "NULL",
    "elements": """
(SELECT json_group_array(json_array(e.field, e.key, e.value)) FROM ~elem e WHERE e.id = o.id)""",
    "some elements": """
(SELECT json_group_array(json_array(e.field, e.key, e.value))
FROM json_each(?) f CROSS JOIN ~elem e ON e.id = o.id AND e.field = f.value)""",
    "refs": """
(SELECT json_group_array(json_array(r.to_type, hex(r.to_uuid), r.to_fq, r.attr))
FROM ~ref r WHERE r.from_id = o.id)""",
    "back_refs": """
(SELECT json_group_array(json_array(b.from_type, hex(b.from_uuid), b.from_fq, b.attr))
FROM json_each(?) t CROSS JOIN ~ref b ON b.to_uuid = o.uuid AND b.from_type = t.value
WHERE b.to_type = o.type)""",
    "children": """
(SELECT json_group_array(json_array(c.type, hex(c.uuid), c.fq))
FROM json_each(?) t CROSS JOIN ~object c INDEXED BY ~object_parent
ON c.parent_uuid = o.uuid AND c.type = t.value)""",
}
OBJECT: Final = (
    " SELECT o.uuid, o.fq, o.parent_type, o.parent_uuid, s.revision, o.created, s.modified,"
    " d.properties, "
)
OBJECT_SOURCE: Final = (
    "~object o CROSS JOIN ~state s ON s.id = o.id LEFT JOIN ~doc d ON d.id = o.id WHERE "
)
ONE_OBJECT: Final = f" FROM {OBJECT_SOURCE} o.uuid = ? AND o.type = ?"
MANY_OBJECTS: Final = f" FROM ids CROSS JOIN {OBJECT_SOURCE} o.uuid = ids.uuid AND o.type = ?"

IN_UUIDS: Final = "SELECT uuid FROM ids"
IN_PARENTS: Final = """
SELECT p.uuid FROM ids CROSS JOIN ~object p INDEXED BY ~object_parent
ON p.parent_uuid = ids.uuid AND p.type = ?"""
IN_BACK_REFS: Final = """
SELECT b.from_uuid FROM ids CROSS JOIN ~ref b INDEXED BY ~ref_back
ON b.to_uuid = ids.uuid AND b.from_type = ?"""
IN_INDEX: Final = """
SELECT i.uuid FROM json_each(?) k CROSS JOIN ~indexed i
ON i.type = ? AND i.prop = ? AND i.key = k.value"""


def packed_ids(uuids: Sequence[str]) -> bytes:
    """Give canonical uuids as one parameter."""
    return bytes.fromhex("".join(uuids).replace("-", ""))


def text_id(uuid: bytes) -> str:
    """Give a stored uuid as canonical text."""
    return hex_id(uuid.hex())


def hex_id(digits: str) -> str:
    """Give a uuid in hexadecimal digits as canonical text."""
    digits = digits.lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Statements:
    """The statements over the tables of one namespace."""

    def __init__(self, namespace: str) -> None:
        prefix = f"{namespace}_" if namespace else ""

        def sql(*parts: str) -> str:
            return "".join(parts).replace("~", prefix)

        self.filled = sql
        self._objects: dict[tuple[tuple[str, ...], bool], str] = {}
        # Counters and the schema.
        self.counters = sql(
            "SELECT (SELECT value FROM ~meta WHERE key = 'revision'),"
            " (SELECT value FROM ~meta WHERE key = 'compacted'),"
            " (SELECT value FROM ~meta WHERE key = 'schema_stamp')"
        )
        self.meta = sql("SELECT value FROM ~meta WHERE key = ?")
        self.set_meta = sql("INSERT OR REPLACE INTO ~meta (key, value) VALUES (?, ?)")
        # Objects.
        root = f"{NEW_OBJECT} NULL, NULL FROM {NEW_VALUES} WHERE TRUE"
        child = f"{NEW_OBJECT} p.type, p.uuid FROM {NEW_VALUES}, ~object p WHERE p.type = ? AND"
        by_uuid, by_name = f"{child} p.uuid = ?", f"{child} p.fq = ?"
        first = " ORDER BY p.uuid LIMIT 1"
        self.new_root = (sql(root), sql(root + NAME_IS_FREE))
        self.new_child = (sql(by_uuid), sql(by_uuid + NAME_IS_FREE))
        self.new_child_by_name = (sql(by_name + first), sql(by_name + NAME_IS_FREE + first))
        self.head = sql(
            "SELECT o.id, o.type, o.fq, o.parent_type, o.parent_uuid, s.revision, s.modified"
            " FROM ~object o JOIN ~state s ON s.id = o.id WHERE o.uuid = ?"
        )
        self.peer = sql("SELECT id, type, fq FROM ~object WHERE uuid = ?")
        self.by_uuid = sql("SELECT id, uuid, fq FROM ~object WHERE uuid = ? AND type = ?")
        self.by_name = sql(
            "SELECT id, uuid, fq FROM ~object WHERE type = ? AND fq = ? ORDER BY uuid"
        )
        self.delete_object = (
            sql("DELETE FROM ~elem WHERE id = ?"),
            sql("DELETE FROM ~doc WHERE id = ?"),
            sql("DELETE FROM ~state WHERE id = ?"),
            sql("DELETE FROM ~object WHERE id = ?"),
        )
        self.new_state = sql("INSERT INTO ~state (id, revision, modified) VALUES (?, ?, ?)")
        self.touch = sql("UPDATE ~state SET revision = ?, modified = ? WHERE id = ?")
        self.doc = sql("SELECT properties FROM ~doc WHERE id = ?")
        self.put_doc = sql("INSERT OR REPLACE INTO ~doc (id, properties) VALUES (?, ?)")
        self.elems_of_field = sql("SELECT key, value FROM ~elem WHERE id = ? AND field = ?")
        self.last_elem = sql(
            "SELECT key FROM ~elem WHERE id = ? AND field = ? ORDER BY key DESC LIMIT 1"
        )
        self.put_elem = sql(
            "INSERT OR REPLACE INTO ~elem (id, field, key, value) VALUES (?, ?, ?, ?)"
        )
        self.delete_elem = sql("DELETE FROM ~elem WHERE id = ? AND field = ? AND key = ?")
        self.put_index = sql("INSERT INTO ~indexed (type, prop, key, uuid) VALUES (?, ?, ?, ?)")
        self.delete_index = sql("DELETE FROM ~indexed WHERE uuid = ? AND prop = ?")
        self.delete_indexes = sql("DELETE FROM ~indexed WHERE uuid = ?")
        self.docs_of_type = sql(
            "SELECT o.uuid, d.properties FROM ~object o JOIN ~doc d ON d.id = o.id WHERE o.type = ?"
        )
        # Refs.
        self.new_ref = sql(
            "INSERT INTO ~ref (from_id, to_uuid, from_type, from_uuid, from_fq, to_type, to_fq,"
            " attr, relaxed) SELECT ?, o.uuid, ?, ?, ?, o.type, o.fq, ?, 0"
            " FROM ~object o WHERE o.uuid = ? AND o.type = ?"
        )
        self.put_ref = sql(
            "INSERT INTO ~ref (from_id, to_uuid, from_type, from_uuid, from_fq, to_type, to_fq,"
            " attr, relaxed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (from_id, to_uuid) DO UPDATE SET to_type = excluded.to_type,"
            " to_fq = excluded.to_fq, attr = excluded.attr, relaxed = relaxed OR excluded.relaxed"
        )
        self.delete_ref = sql("DELETE FROM ~ref WHERE from_id = ? AND to_uuid = ?")
        self.refs_of = sql("SELECT to_uuid, to_type, attr FROM ~ref WHERE from_id = ?")
        self.ref = sql("SELECT to_type FROM ~ref WHERE from_id = ? AND to_uuid = ?")
        self.incoming = sql(
            "SELECT from_type, from_uuid, relaxed FROM ~ref"
            " WHERE to_uuid = ? AND to_type = ? AND from_type <> ? ORDER BY from_uuid"
        )
        self.attach = sql(
            "UPDATE ~ref SET to_fq = ? WHERE to_uuid = ? AND to_type = ? AND to_fq IS NULL"
        )
        self.detach = sql("UPDATE ~ref SET to_fq = NULL WHERE to_uuid = ?")
        self.any_dangling = sql(
            "SELECT EXISTS (SELECT 1 FROM ~ref INDEXED BY ~ref_dangling WHERE to_fq IS NULL)"
        )
        self.relax = sql("UPDATE ~ref SET relaxed = 1 WHERE to_uuid = ? AND from_id = ?")
        self.relaxed = sql(
            "SELECT from_uuid FROM ~ref WHERE to_uuid = ? AND relaxed ORDER BY from_uuid"
        )
        self.children = sql("SELECT type, uuid FROM ~object WHERE parent_uuid = ? ORDER BY uuid")
        self.count_children = sql(
            "SELECT EXISTS (SELECT 1 FROM ~object WHERE uuid = ? AND type = ?),"
            " (SELECT count(*) FROM ~object WHERE parent_uuid = ? AND type = ?)"
        )
        # Names.
        self.object = sql("SELECT type, fq FROM ~object WHERE uuid = ?")
        self.object_state = sql(
            "SELECT s.revision, s.modified FROM ~object o JOIN ~state s ON s.id = o.id"
            " WHERE o.uuid = ?"
        )
        self.names_of_ids = sql(
            IDS, "SELECT o.uuid, o.fq FROM ids CROSS JOIN ~object o ON o.uuid = ids.uuid"
        )
        self.ids_of_names = sql(
            "SELECT o.fq, o.uuid FROM json_each(?) k CROSS JOIN ~object o INDEXED BY ~object_name"
            " ON o.type = ? AND o.fq = k.value ORDER BY o.uuid"
        )
        # Beside the objects.
        self.put_share = sql(
            "INSERT OR REPLACE INTO ~share (type, share_type, share_id, uuid, rwx)"
            " VALUES (?, ?, ?, ?, ?)"
        )
        self.delete_share = sql(
            "DELETE FROM ~share WHERE type = ? AND share_type = ? AND share_id = ? AND uuid = ?"
        )
        self.delete_shares = sql("DELETE FROM ~share WHERE uuid = ?")
        self.shares = sql(
            "SELECT uuid, rwx FROM ~share WHERE type = ? AND share_type = ? AND share_id = ?"
            " ORDER BY uuid"
        )
        self.put_useragent = sql("INSERT OR REPLACE INTO ~useragent (key, value) VALUES (?, ?)")
        self.delete_useragent = sql("DELETE FROM ~useragent WHERE key = ?")
        self.useragent = sql(
            "SELECT u.key, u.value FROM json_each(?) k CROSS JOIN ~useragent u ON u.key = k.value"
        )
        self.row = sql("SELECT columns, revision FROM ~kv WHERE row_table = ? AND key = ?")
        self.put_row = sql(
            "INSERT OR REPLACE INTO ~kv (row_table, key, revision, columns) VALUES (?, ?, ?, ?)"
        )
        self.delete_row = sql("DELETE FROM ~kv WHERE row_table = ? AND key = ?")
        self.rows = sql(
            "SELECT key, columns FROM ~kv WHERE row_table = ? AND key > ? ORDER BY key LIMIT ?"
        )
        self.fence = sql("SELECT epoch, token FROM ~fence WHERE name = ?")
        self.put_fence = sql("INSERT OR REPLACE INTO ~fence (name, epoch, token) VALUES (?, ?, ?)")
        # The feed.
        self.new_change = sql("INSERT INTO ~change (revision, op, type, uuid) VALUES (?, ?, ?, ?)")
        self.pull = sql(
            "SELECT (SELECT value FROM ~meta WHERE key = 'revision'),"
            " (SELECT value FROM ~meta WHERE key = 'compacted'),"
            " (SELECT json_group_array(json_array(revision, op, type, hex(uuid))) FROM"
            " (SELECT * FROM ~change WHERE revision > ? ORDER BY revision LIMIT ?))"
        )
        self.first_to_prune = sql(
            "SELECT revision FROM ~change ORDER BY revision DESC LIMIT 1 OFFSET ?"
        )
        self.prune = sql("DELETE FROM ~change WHERE revision <= ?")

    def objects(self, parts: tuple[str, ...], *, one: bool) -> str:
        """Give the statement that reads objects with these PARTS."""
        statement = self._objects.get((parts, one))
        if statement is None:
            columns = OBJECT + ", ".join(PARTS[part] for part in parts)
            text = columns + ONE_OBJECT if one else IDS + columns + MANY_OBJECTS
            statement = self._objects[parts, one] = self.filled(text)
        return statement


@cache
def statements_for(namespace: str) -> Statements:
    """Give the statements of a namespace, made once."""
    return Statements(namespace)
