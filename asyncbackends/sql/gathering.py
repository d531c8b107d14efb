"""Loads the few rows that writes look at, in one statement, as tables in memory."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from asyncbackends.object_model.positions import position_from_sort_key
from asyncbackends.object_model.tables import KvRow, Ref, Row, Tables
from asyncbackends.object_model.views import TypeView
from asyncbackends.object_model.writes import (
    Create,
    Delete,
    ElementUpdate,
    KvDelete,
    KvPut,
    KvReplace,
    RefTarget,
    RefUpdate,
    Relax,
    Share,
    Update,
    UseragentDelete,
    Write,
)
from asyncbackends.protocols.values import Fence
from asyncbackends.sql.statements import Statements

__all__ = ("Gathered", "Wanted", "gathered", "wanted_by")

COUNTER, HEAD, NAME, TARGET, CHILD, DOC, ELEM, REF, HOLDER, KV, AGENT, FENCE = range(12)
ENOUGH: Final = 11
"""So many children show that an object cannot be deleted."""

_HEAD: Final = (
    "ID(o.uuid), TEXT(o.type), TEXT(o.fq), TEXT(o.parent_type), ID(o.parent_uuid), NULL,"
    " s.revision, o.created, s.modified FROM ~object o JOIN ~state s ON s.uuid = o.uuid"
)
# Each: part, id, a, b, c, d, e, n, m, k.
BRANCHES: Final = {
    COUNTER: "SELECT 0, '', '', '', '', '', '', revision, compacted, stamp FROM ~counter",
    HEAD: f"SELECT 1, {_HEAD} WHERE o.uuid IN ?",
    NAME: f"SELECT 2, {_HEAD} WHERE o.type IN ? AND o.fq IN ?",
    TARGET: (
        f"SELECT 3, {_HEAD} JOIN ~ref r ON r.to_uuid = o.uuid AND r.from_type = o.type"
        " WHERE r.from_uuid IN ?"
    ),
    CHILD: f"(SELECT 4, {_HEAD} WHERE o.parent_uuid IN ? LIMIT ?)",
    DOC: (
        "SELECT 5, ID(d.uuid), NULL, NULL, NULL, NULL, d.properties, 0, 0, 0"
        " FROM ~doc d WHERE d.uuid IN ?"
    ),
    ELEM: (
        "SELECT 6, ID(e.uuid), TEXT(e.field), TEXT(e.item), NULL, NULL, e.value, 0, 0, 0"
        " FROM ~elem e WHERE e.uuid IN ?"
    ),
    REF: (
        "SELECT 7, ID(r.from_uuid), TEXT(r.to_type), NULL, NULL, ID(r.to_uuid), r.attr,"
        " CASE WHEN r.relaxed THEN 1 ELSE 0 END, 0, 0 FROM ~ref r WHERE r.from_uuid IN ?"
    ),
    HOLDER: (
        "SELECT 8, ID(r.from_uuid), TEXT(r.from_type), TEXT(r.from_fq), TEXT(r.to_type),"
        " ID(r.to_uuid), r.attr, s.revision, CASE WHEN r.relaxed THEN 1 ELSE 0 END, s.modified"
        " FROM ~ref r JOIN ~state s ON s.uuid = r.from_uuid WHERE r.to_uuid IN ?"
    ),
    KV: (
        "SELECT 9, NULL, TEXT(v.row_table), TEXT(v.name), NULL, NULL, v.columns, v.revision, 0, 0"
        " FROM ~kv v WHERE v.row_table IN ? AND v.name IN ?"
    ),
    AGENT: (
        "SELECT 10, NULL, TEXT(u.name), NULL, NULL, NULL, NULL, 0, 0, 0"
        " FROM ~useragent u WHERE u.name IN ?"
    ),
    FENCE: (
        "SELECT 11, NULL, TEXT(f.name), NULL, NULL, NULL, NULL, f.epoch, f.token, 0"
        " FROM ~fence f WHERE f.name IN ?"
    ),
}
ALL_CHILDREN: Final = 1_000_000_000
UNREAD: Final = "\0"
"""Stands for a useragent's value: no value has a NUL."""

_decode_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Wanted:
    """What writes look at."""

    def __init__(self) -> None:
        self.heads: set[str] = set()
        self.names: set[tuple[str, str]] = set()
        self.documents: set[str] = set()
        self.elements: set[str] = set()
        self.refs: set[str] = set()
        """With the heads of the same-type objects that they lead to."""
        self.holders: set[str] = set()
        """Whose holders are wanted, with their ref."""
        self.children: set[str] = set()
        """Whose children are wanted: enough of them to see that there are some."""
        self.deletes = 0
        self.rows: set[tuple[str, str]] = set()
        self.useragent: set[str] = set()
        self.fence: str | None = None

    def statement(self, sql: Statements) -> tuple[str, list[Any]]:
        """Give the statement that reads all this, and its parameters."""

        def ids(uuids: Iterable[str]) -> list[Any]:
            return sql.ids(sorted(uuids))

        enough = ENOUGH + self.deletes if len(self.children) == 1 else ALL_CHILDREN
        types, keys = _columns(self.names)
        tables, row_keys = _columns(self.rows)
        parts: list[tuple[int, list[Any]]] = [
            (HEAD, [ids(self.heads)]),
            (NAME, [types, keys]),
            (TARGET, [ids(self.refs)]),
            (CHILD, [ids(self.children), enough]),
            (DOC, [ids(self.documents)]),
            (ELEM, [ids(self.elements)]),
            (REF, [ids(self.refs)]),
            (HOLDER, [ids(self.holders)]),
            (KV, [tables, row_keys]),
            (AGENT, [sorted(self.useragent)]),
            (FENCE, [[] if self.fence is None else [self.fence]]),
        ]
        chosen = [(part, given) for part, given in parts if given[0]]
        names = (COUNTER, *(part for part, _ in chosen))
        text = sql.kept(
            ("gather", names), lambda: " UNION ALL ".join(BRANCHES[part] for part in names)
        )
        return text, [parameter for _, given in chosen for parameter in given]


def _columns(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Give the distinct values of each column: their product has all pairs, and few others."""
    pairs = [*pairs]
    return sorted({first for first, _ in pairs}), sorted({second for _, second in pairs})


def wanted_by(writes: Iterable[Write], fence: Fence | None) -> Wanted:
    """Say what writes look at."""
    wanted = Wanted()
    if fence is not None:
        wanted.fence = fence.name
    for write in writes:
        match write:
            case Create():
                _whole(wanted, write.uuid)
                wanted.elements.add(write.uuid)
                wanted.names.add((write.obj_type, write.key))
                if write.parent_uuid is not None:
                    wanted.heads.add(write.parent_uuid)
                elif write.parent_type is not None and write.parent_key is not None:
                    wanted.names.add((write.parent_type, write.parent_key))
                _targets(wanted, write.refs.values())
            case Update():
                _whole(wanted, write.uuid)
                if write.elements:
                    wanted.elements.add(write.uuid)
                _targets(wanted, write.refs.values())
            case Delete():
                _whole(wanted, write.uuid)
                wanted.children.add(write.uuid)
                wanted.deletes += 1
            case ElementUpdate():
                wanted.heads.add(write.uuid)
                wanted.elements.add(write.uuid)
            case RefUpdate():
                _whole(wanted, write.uuid)
                wanted.heads.add(write.to_uuid)
            case Relax():
                wanted.heads.add(write.uuid)
                wanted.refs.add(write.uuid)
            case Share():
                wanted.heads.add(write.uuid)
            case KvPut() | KvReplace() | KvDelete():
                wanted.rows.add((write.table, write.key))
            case UseragentDelete():
                wanted.useragent.add(write.key)
            case _:
                pass
    return wanted


def _whole(wanted: Wanted, uuid: str) -> None:
    wanted.heads.add(uuid)
    wanted.documents.add(uuid)
    wanted.refs.add(uuid)
    wanted.holders.add(uuid)


def _targets(wanted: Wanted, refs: Iterable[Sequence[RefTarget]]) -> None:
    for targets in refs:
        for ref in targets:
            if ref.uuid is not None:
                wanted.heads.add(ref.uuid)
            elif ref.key is not None:
                wanted.names.add((ref.to_type, ref.key))


class Gathered(msgspec.Struct, kw_only=True):
    """What was found."""

    tables: Tables
    stamp: int
    """The counter's, at that time."""


def gathered(rows: Iterable[Sequence[Any]], view: Callable[[str], TypeView]) -> Gathered:
    """Make tables of the rows that a Wanted's statement gave."""
    loading = _Loading()
    for row in rows:
        loading.add(row)
    return Gathered(tables=loading.tables(view), stamp=loading.stamp)


class _Loading:
    def __init__(self) -> None:
        self.stamp = 0
        self._tables = Tables()
        self._heads: dict[str, tuple[Any, ...]] = {}
        self._documents: dict[str, str] = {}
        self._elements: dict[str, list[tuple[str, str, str]]] = {}
        self._refs: dict[str, dict[str, Ref]] = {}

    def add(self, row: Sequence[Any]) -> None:
        part, uuid, a, b, c, d, e, n, m, k = row
        tables = self._tables
        if part in {HEAD, NAME, TARGET, CHILD}:
            if a:
                self._heads[uuid] = (a, b, c, d, n, m, k)
        elif part == DOC:
            self._documents[uuid] = e
        elif part == ELEM:
            self._elements.setdefault(uuid, []).append((a, b, e))
        elif part == REF:
            self._refs.setdefault(uuid, {})[d] = Ref(a, e, bool(n))
        elif part == HOLDER:
            self._heads.setdefault(uuid, (a, b, None, None, n, 0, k))
            self._refs.setdefault(uuid, {})[d] = Ref(c, e, bool(m))
        elif part == COUNTER:
            tables.revision, self.stamp = n, k
        elif part == KV:
            columns = {name: bytes(raw).decode() for name, raw in _decode_columns(e).items()}
            tables.tables.setdefault(a, {})[b] = KvRow(columns, n)
        elif part == AGENT:
            tables.useragent[a] = UNREAD
        else:
            tables.fences[a] = (n, m)

    def tables(self, view: Callable[[str], TypeView]) -> Tables:
        """Put the objects' parts together."""
        tables = self._tables
        for uuid, head in self._heads.items():
            obj_type, key, parent_type, parent_uuid, revision, created, modified = head
            lists = view(obj_type).object_type.lists if uuid in self._elements else {}
            elements: dict[str, dict[str, str]] = {}
            for field, item, text in self._elements.get(uuid, ()):
                at = position_from_sort_key(item) if field in lists else item
                elements.setdefault(field, {})[at] = text
            tables.objects[uuid] = Row(
                obj_type=obj_type,
                uuid=uuid,
                key=key,
                parent_type=parent_type,
                parent_uuid=parent_uuid,
                revision=revision,
                created=created,
                modified=modified,
                document=self._documents.get(uuid, "{}"),
                elements=elements,
                refs=self._refs.get(uuid, {}),
            )
            tables.names.setdefault((obj_type, key), {})[uuid] = True
            tables.types.setdefault(obj_type, {})[uuid] = True
            if parent_uuid is not None:
                tables.children.setdefault(parent_uuid, {})[uuid] = True
            for to in self._refs.get(uuid, ()):
                tables.holders.setdefault(to, {})[uuid] = True
        return tables
