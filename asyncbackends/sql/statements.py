"""Every neutral statement that reads, rendered once per dialect and namespace.

An adapter's tables have the columns that stand here. The indexes that a statement names, for
servers that do not find them themselves, are ``object_type`` and ``object_parent``.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncbackends.sql.dialect import Dialect
from asyncbackends.sql.feed import PAGE

__all__ = ("EVERYTHING", "PRUNED", "Statements", "statements_for")

EVERYTHING: Final = 2**63 - 1
"""The limit of a statement that is to give all rows."""

PRUNED: Final = 1000
"""So many changes are thrown away at once, at most."""

# A row with the counters, op -1, and the changes. Their number is no parameter: servers that plan
# without parameters take it for a tenth of all there is.
PULL: Final = (
    "SELECT -1, c.revision, c.compacted, '', '' FROM ~counter c WHERE c.id = 1"
    " UNION ALL SELECT h.op, h.revision, 0, h.type, h.uuid FROM"
    " (SELECT g.op, g.revision, TEXT(g.type) AS type, ID(g.uuid) AS uuid FROM ~changes g"
    " WHERE g.revision > ? ORDER BY g.revision LIMIT 256) h"
).replace("256", str(PAGE))
CHUNK_TO_PRUNE: Final = (
    "SELECT max(h.revision) FROM (SELECT g.revision FROM ~changes g"
    " WHERE g.revision > ? AND g.revision <= ? ORDER BY g.revision LIMIT 1000) h"
).replace("1000", str(PRUNED))

KEPT_TEXTS: Final = 1000


class Statements:
    """The statements over the tables of one namespace, and how uuids are given to them."""

    def __init__(self, dialect: Dialect, namespace: str) -> None:
        self.dialect = dialect
        self.namespace = namespace
        self.id = dialect.id
        self._kept: dict[object, str] = {}
        sql = self.rendered
        self.ping = sql("SELECT 1")
        # Counters and the schema.
        self.meta = sql("SELECT TEXT(m.name), m.value, c.stamp FROM ~meta m, ~counter c")
        self.delete_meta = sql("DELETE FROM ~meta WHERE name = ?")
        self.new_meta = sql("INSERT INTO ~meta (name, value) VALUES (?, ?)")
        counter = "SELECT c.revision, c.compacted, c.stamp FROM ~counter c WHERE c.id = 1"
        self.counter = sql(counter)
        self.lock_counter = sql(f"{counter} LOCK(update)")
        self.raise_stamp = sql("UPDATE ~counter SET stamp = stamp + 1 WHERE id = 1")
        # The feed.
        self.pull = sql(PULL)
        self.last_to_prune = sql(
            "SELECT g.revision FROM ~changes g ORDER BY g.revision DESC LIMIT 1 OFFSET ?"
        )
        self.chunk_to_prune = sql(CHUNK_TO_PRUNE)
        self.prune = sql("DELETE FROM ~changes WHERE revision <= ?")
        self.raise_compacted = sql(
            "UPDATE ~counter SET compacted = ? WHERE id = 1 AND compacted < ?"
        )
        # Names.
        self.ids_of_name = sql("SELECT ID(o.uuid) FROM ~object o WHERE o.type = ? AND o.fq = ?")
        self.ids_of_names = sql(
            "SELECT TEXT(o.fq), ID(o.uuid) FROM ~object o WHERE o.type = ? AND o.fq IN ?"
        )
        self.identity = sql(
            "SELECT TEXT(o.type), TEXT(o.fq) FROM ~object o WHERE o.uuid = ? AND o.type <> ''"
        )
        self.names_of_ids = sql(
            "SELECT ID(o.uuid), TEXT(o.fq) FROM ~object o WHERE o.uuid IN ? AND o.type <> ''"
        )
        # Objects.
        self.object_state = sql(
            "SELECT s.revision, s.modified FROM ~object o JOIN ~state s ON s.uuid = o.uuid"
            " WHERE o.uuid = ? AND o.type <> ''"
        )
        self.object_document = sql(
            "SELECT TEXT(o.type), s.revision, d.properties"
            " FROM ~object o JOIN ~state s ON s.uuid = o.uuid LEFT JOIN ~doc d ON d.uuid = o.uuid"
            " WHERE o.uuid = ? AND o.type <> ''"
        )
        self.count_children = sql(
            "SELECT (SELECT count(*) FROM ~object o WHERE o.uuid = ? AND o.type = ?),"
            " (SELECT count(*) FROM ~object c WHERE c.parent_uuid = ? AND c.type = ?)"
        )
        self.relaxed = sql(
            "SELECT ID(r.from_uuid) FROM ~ref r WHERE r.to_uuid = ? AND r.relaxed"
            " ORDER BY r.from_uuid"
        )
        # Beside the objects.
        self.shares = sql(
            "SELECT ID(h.uuid), h.rwx FROM ~share h"
            " WHERE h.type = ? AND h.share_type = ? AND h.share_id = ? ORDER BY h.uuid"
        )
        self.useragent = sql("SELECT TEXT(u.name), u.value FROM ~useragent u WHERE u.name IN ?")
        self.row = sql(
            "SELECT k.columns, k.revision FROM ~kv k WHERE k.row_table = ? AND k.name = ?"
        )
        self.rows = sql(
            "SELECT TEXT(k.name), k.columns FROM ~kv k WHERE k.row_table = ? AND k.name > ?"
            " ORDER BY k.name LIMIT ?"
        )

    def rendered(self, statement: str) -> str:
        """Give a neutral statement as ``Connection.fetch`` takes it."""
        return self.dialect.rendered(statement, self.namespace)

    def kept(self, key: object, neutral: Callable[[], str]) -> str:
        """Give the statement with that key, which is put together and rendered the first time."""
        text = self._kept.get(key)
        if text is None:
            text = self.rendered(neutral())
            if len(self._kept) < KEPT_TEXTS:
                self._kept[key] = text
        return text

    def ids(self, uuids: Sequence[str]) -> list[Any]:
        """Give canonical uuids as a list parameter."""
        return list(map(self.id, uuids))


def statements_for(dialect: Dialect, namespace: str) -> Statements:
    """Give the statements of a namespace, made once."""
    made = _made.get((dialect, namespace))
    if made is None:
        made = _made[dialect, namespace] = Statements(dialect, namespace)
    return made


_made: dict[tuple[Dialect, str], Statements] = {}
