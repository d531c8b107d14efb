"""The statements of write units, by what stands before and behind their rows. Pure.

``18446744073709551615 + condition`` is how a unit refuses itself: where the condition holds, the
sum is more than an integer can be, and the server ends the packet with error 1690. Rows are
reached by the primary key, FORCEd where a server might scan a small table instead, and would wait
for locks of rows that it does not need.
"""

from functools import lru_cache
from typing import Final

from asyncbackends_mysql.dialect import named

__all__ = ("ALL_ONES", "NOW", "UnitStatements", "unit_statements")

ALL_ONES: Final = 18446744073709551615
NOW: Final = "@n = CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

Pair = tuple[str, str]


class UnitStatements:
    """Those of one namespace."""

    def __init__(self, namespace: str) -> None:
        def pair(head: str, tail: str = "") -> Pair:
            return named(head, namespace), named(tail, namespace)

        # Conditions of which each is a scalar; the rows they read stay as they are.
        self.stale_fence = pair("(SELECT COUNT(*) FROM ~fence WHERE ", " LOCK IN SHARE MODE)")
        self.states = pair("(SELECT COUNT(*) FROM ~state WHERE ", " FOR UPDATE)")
        self.rows = pair("(SELECT COUNT(*) FROM ~kv WHERE ", " FOR UPDATE)")
        self.objects = pair(
            "(SELECT COUNT(*) FROM ~object FORCE INDEX (PRIMARY) WHERE ", " LOCK IN SHARE MODE)"
        )
        self.objects_named = pair(
            "(SELECT COUNT(*) * 4294967296 + COUNT(DISTINCT type, fq)"
            " FROM ~object FORCE INDEX (object_name) WHERE ",
            " LOCK IN SHARE MODE)",
        )
        self.first_named = pair(
            "(SELECT uuid FROM ~object FORCE INDEX (object_name) WHERE ",
            " ORDER BY uuid LIMIT 1 LOCK IN SHARE MODE)",
        )
        # Conditions that are looked at after the rows they depend on were locked.
        self.refs_there = pair("(SELECT COUNT(*) FROM ~ref FORCE INDEX (PRIMARY) WHERE ", ")")
        self.names_taken = pair(
            "(SELECT COUNT(*) FROM ~object FORCE INDEX (object_name) WHERE ", ")"
        )
        self.stamp = named("(SELECT stamp FROM ~counter WHERE id = 1)", namespace)
        self.revision = named("(SELECT revision FROM ~counter WHERE id = 1)", namespace)
        self.name_of = pair("(SELECT o.fq FROM ~object o WHERE o.uuid = ", ")")
        # What is taken away.
        self.delete_refs = pair("DELETE r FROM ~ref r FORCE INDEX (PRIMARY) WHERE ")
        self.delete_elements = pair("DELETE e FROM ~elem e FORCE INDEX (PRIMARY) WHERE ")
        self.delete_indexes = pair("DELETE i FROM ~indexed i FORCE INDEX (indexed_uuid) WHERE ")
        self.delete_shares = pair("DELETE h FROM ~share h FORCE INDEX (PRIMARY) WHERE ")
        self.delete_useragent = pair("DELETE u FROM ~useragent u FORCE INDEX (PRIMARY) WHERE ")
        self.delete_rows = pair("DELETE k FROM ~kv k FORCE INDEX (PRIMARY) WHERE ")
        self.delete_objects = pair("DELETE o FROM ~object o FORCE INDEX (PRIMARY) WHERE ")
        self.orphan = pair("UPDATE ~object FORCE INDEX (PRIMARY) SET parent_uuid = NULL WHERE ")
        self.bury_parts = tuple(
            pair(text)
            for text in (
                "DELETE b FROM ~state b FORCE INDEX (PRIMARY) WHERE ",
                "DELETE b FROM ~doc b FORCE INDEX (PRIMARY) WHERE ",
                "DELETE b FROM ~elem b FORCE INDEX (PRIMARY) WHERE ",
                "DELETE b FROM ~indexed b FORCE INDEX (indexed_uuid) WHERE ",
                "DELETE b FROM ~share b FORCE INDEX (share_uuid) WHERE ",
            )
        )
        self.bury_object = pair(
            "UPDATE ~object FORCE INDEX (PRIMARY) SET type = '', fq = '', twin = uuid,"
            " parent_type = NULL, parent_uuid = NULL WHERE "
        )
        self.dangle = pair("UPDATE ~ref FORCE INDEX (ref_back) SET to_fq = NULL WHERE ")
        # What is put.
        self.put_objects = pair(
            "INSERT INTO ~object (uuid, type, fq, twin, parent_type, parent_uuid, created) VALUES ",
            f" ON DUPLICATE KEY UPDATE type = IF({ALL_ONES} + (type <> ''), VALUES(type), ''),"
            " fq = VALUES(fq), twin = VALUES(twin), parent_type = VALUES(parent_type),"
            " parent_uuid = VALUES(parent_uuid), created = VALUES(created)",
        )
        # Refs that dangled until now.
        self.find_refs = pair(
            "UPDATE ~ref r FORCE INDEX (ref_back) JOIN ~object o ON o.uuid = r.to_uuid"
            " AND o.type = r.to_type SET r.to_fq = o.fq WHERE r.to_fq IS NULL AND "
        )
        self.put_tombs = pair(
            "INSERT INTO ~object (uuid, type, fq, twin, created) SELECT t.uuid, '', '', t.uuid, 0"
            " FROM (",
            ") t WHERE NOT EXISTS (SELECT 1 FROM ~object o WHERE o.uuid = t.uuid)",
        )
        self.put_documents = pair(
            "INSERT INTO ~doc (uuid, properties) VALUES ",
            " ON DUPLICATE KEY UPDATE properties = VALUES(properties)",
        )
        self.put_elements = pair(
            "INSERT INTO ~elem (uuid, field, item, value) VALUES ",
            " ON DUPLICATE KEY UPDATE value = VALUES(value)",
        )
        self.last_element = pair("(SELECT MAX(item) FROM ~elem WHERE ", ")")
        self.append_element = pair("INSERT INTO ~elem (uuid, field, item, value) VALUES ")
        self.put_refs = pair(
            "INSERT INTO ~ref"
            " (from_uuid, to_uuid, from_type, from_fq, to_type, to_fq, attr, relaxed) VALUES ",
            " ON DUPLICATE KEY UPDATE to_type = VALUES(to_type), to_fq = VALUES(to_fq),"
            " attr = VALUES(attr), relaxed = GREATEST(relaxed, VALUES(relaxed))",
        )
        self.relax_refs = pair("UPDATE ~ref FORCE INDEX (PRIMARY) SET relaxed = 1 WHERE ")
        self.put_indexes = pair(
            "INSERT INTO ~indexed (type, prop, item, uuid) VALUES ",
            " ON DUPLICATE KEY UPDATE uuid = VALUES(uuid)",
        )
        self.put_shares = pair(
            "INSERT INTO ~share (type, share_type, share_id, uuid, rwx) VALUES ",
            " ON DUPLICATE KEY UPDATE rwx = VALUES(rwx)",
        )
        self.put_useragent = pair(
            "INSERT INTO ~useragent (name, value) VALUES ",
            " ON DUPLICATE KEY UPDATE value = VALUES(value)",
        )
        self.new_rows = pair("INSERT INTO ~kv (row_table, name, revision, columns) VALUES ")
        self.put_rows = pair(
            "INSERT INTO ~kv (row_table, name, revision, columns) VALUES ",
            " ON DUPLICATE KEY UPDATE columns = VALUES(columns)",
        )
        self.raise_fence = pair(
            "INSERT INTO ~fence (name, epoch, token) SELECT f.a, f.b, f.c FROM (SELECT ",
            ") f WHERE NOT EXISTS (SELECT 1 FROM ~fence g WHERE g.name = f.a"  # noqa: S608  # ours
            " AND g.epoch = f.b AND g.token = f.c)"
            f" ON DUPLICATE KEY UPDATE token = IF({ALL_ONES} + (epoch > VALUES(epoch)"
            " OR epoch = VALUES(epoch) AND token > VALUES(token)), VALUES(token), 0),"
            " epoch = VALUES(epoch)",
        )
        # Last: the counter, and what takes its revisions from it.
        self.count = pair(
            "UPDATE ~counter SET revision = LAST_INSERT_ID(revision) + ", " WHERE id = 1"
        )
        self.put_states = pair(
            "INSERT INTO ~state (uuid, revision, modified) VALUES ",
            " ON DUPLICATE KEY UPDATE revision = VALUES(revision), modified = VALUES(modified)",
        )
        self.set_state = pair("UPDATE ~state SET revision = LAST_INSERT_ID() + ")
        self.put_changes = pair("INSERT INTO ~changes (revision, op, type, uuid) VALUES ")
        self.set_rows = pair("UPDATE ~kv FORCE INDEX (PRIMARY) SET revision = LAST_INSERT_ID() + ")


@lru_cache(maxsize=64)
def unit_statements(namespace: str) -> UnitStatements:
    """Give those of a namespace, made once."""
    return UnitStatements(namespace)
