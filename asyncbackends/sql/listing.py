"""Lists of objects of a type as statements: by keyset, from the narrowest index. Pure.

What a list starts from gives uuids and names by an index that holds both, in the order of the uuids
or few enough to sort. Servers that plan before they know the parameters must not walk another index
in order, hoping to meet what is asked for: where they might, rows stand in a fence.
"""

from typing import Any, Final, NamedTuple

from asyncbackends.object_model.listing import Listing
from asyncbackends.sql.index_items import index_item
from asyncbackends.sql.statements import EVERYTHING, Statements

__all__ = ("ListQuery",)


class _Source(NamedTuple):
    """Where a list starts: the columns with uuid and name, and the rows.

    The slot is for what the uuid ``key`` must be greater than.
    """

    uuid: str
    fq: str
    rows: str
    key: str


def _fence(columns: str, rows: str) -> str:
    return f"(SELECT {columns} FROM {rows} LIMIT {EVERYTHING})"  # noqa: S608  # our fragments


def _fenced(columns: str, rows: str, key: str) -> _Source:
    return _Source("q.uuid", "q.fq", _fence(columns, f"{rows}{{}}") + " q WHERE TRUE", key)


SOURCES: Final = {
    "type": _Source("o.uuid", "o.fq", "~object o FORCE(object_type) WHERE o.type = ?{}", "o.uuid"),
    "uuids": _Source("o.uuid", "o.fq", "~object o WHERE o.type = ? AND o.uuid IN ?{}", "o.uuid"),
    "parent": _Source(
        "o.uuid", "o.fq", "~object o WHERE o.type = ? AND o.parent_uuid = ?{}", "o.uuid"
    ),
    "parents": _fenced(
        "o.uuid AS uuid, o.fq AS fq",
        "~object o FORCE(object_parent) WHERE o.type = ? AND o.parent_uuid IN ?",
        "o.uuid",
    ),
    "back_ref": _Source(
        "r.from_uuid",
        "r.from_fq",
        "~ref r WHERE r.from_type = ? AND r.to_uuid = ?{}",
        "r.from_uuid",
    ),
    # An object may refer to several of them.
    "back_refs": _fenced(
        "DISTINCT r.from_uuid AS uuid, r.from_fq AS fq",
        "~ref r WHERE r.from_type = ? AND r.to_uuid IN ?",
        "r.from_uuid",
    ),
    "indexed": _Source(
        "i.uuid",
        "o.fq",
        "~indexed i JOIN ~object o ON o.uuid = i.uuid"
        " WHERE i.type = ? AND i.prop = ? AND i.item = ?{}",
        "i.uuid",
    ),
    "indexed some": _fenced(
        "i.uuid AS uuid, o.fq AS fq",
        "~indexed i JOIN ~object o ON o.uuid = i.uuid"
        " WHERE i.type = ? AND i.prop = ? AND i.item IN ?",
        "i.uuid",
    ),
}
# What a list is restricted to beside its source.
PARENTS: Final = _fence(
    "t.uuid", "~object t FORCE(object_parent) WHERE t.type = ? AND t.parent_uuid IN ?"
)
INDEXED: Final = _fence("t.uuid", "~indexed t WHERE t.type = ? AND t.prop = ? AND t.item IN ?")
RESTRICTIONS: Final = {
    "uuids": "IN ?",
    "parent": "IN (SELECT p.uuid FROM ~object p WHERE p.type = ? AND p.parent_uuid = ?)",
    "parents": f"IN (SELECT p.uuid FROM {PARENTS} p)",  # noqa: S608  # our fragments
    "indexed": (
        "IN (SELECT j.uuid FROM ~indexed j WHERE j.type = ? AND j.prop = ? AND j.item = ?)"
    ),
    "indexed some": f"IN (SELECT j.uuid FROM {INDEXED} j)",  # noqa: S608  # our fragments
}


class ListQuery:
    """One list: its source, its restrictions, and their parameters."""

    def __init__(self, sql: Statements, wanted: Listing) -> None:
        self._sql = sql
        self._source = ""
        self._given: list[Any] = []
        self._restrictions: list[str] = []
        self._restricted: list[Any] = []
        obj_type = wanted.obj_type
        for one, some, anchors in (
            ("back_ref", "back_refs", wanted.back_refs),
            ("parent", "parents", wanted.parents),
        ):
            if anchors is not None and len(anchors) == 1:
                self._add(one, obj_type, sql.id(anchors[0]))
            elif anchors is not None:
                self._add(some, obj_type, sql.ids(anchors))
        if wanted.uuids is not None:
            uuids = [sql.ids(wanted.uuids)]
            self._add("uuids", *(uuids if self._source else [obj_type, *uuids]))
        for prop, keys in wanted.indexed.items():
            items = list(map(index_item, keys))
            if len(items) == 1:
                self._add("indexed", obj_type, prop, items[0])
            else:
                self._add("indexed some", obj_type, prop, items)
        if not self._source:
            self._add("type", obj_type)

    def _add(self, name: str, *given: Any) -> None:
        if self._source:
            self._restrictions.append(name)
            self._restricted += given
        else:
            self._source = name
            self._given += given

    def count(self) -> tuple[str, list[Any]]:
        """Give the statement that counts."""
        key = ("count", self._source, *self._restrictions)
        text = self._sql.kept(key, lambda: f"SELECT count(*) FROM {self._rows('')}")  # noqa: S608  # our fragments
        return text, [*self._given, *self._restricted]

    def page(self, after: str | None, limit: int | None) -> tuple[str, list[Any]]:
        """Give the statement of (uuid, name) behind an object."""
        source = SOURCES[self._source]
        columns = f"ID({source.uuid}), TEXT({source.fq})"
        text = self._sql.kept(
            ("page", *self._key(after, limit)), lambda: self._ordered(columns, after, limit)
        )
        return text, self._parameters(after)

    def uuids(self, after: str | None, limit: int | None) -> tuple[object, str, list[Any]]:
        """Give the neutral statement of bare uuids, with its key and its parameters."""
        columns = f"{SOURCES[self._source].uuid} AS uuid"
        text = self._ordered(columns, after, limit)
        return self._key(after, limit), text, self._parameters(after)

    def documents(self, after: str | None, limit: int) -> tuple[str, list[Any]]:
        """Give the statement of (uuid, name, document or NULL)."""
        text = self._sql.kept(
            ("documents", *self._key(after, limit)), lambda: self._with_documents(after, limit)
        )
        return text, self._parameters(after)

    def _key(self, after: str | None, limit: int | None) -> tuple[object, ...]:
        return (self._source, *self._restrictions, after is not None, limit)

    def _parameters(self, after: str | None) -> list[Any]:
        behind = [] if after is None else [self._sql.id(after)]
        return [*self._given, *behind, *self._restricted]

    def _rows(self, behind: str) -> str:
        source = SOURCES[self._source]
        restrictions = (f" AND {source.uuid} {RESTRICTIONS[name]}" for name in self._restrictions)
        return source.rows.format(behind) + "".join(restrictions)

    def _ordered(self, columns: str, after: str | None, limit: int | None) -> str:
        source = SOURCES[self._source]
        rows = self._rows("" if after is None else f" AND {source.key} > ?")
        # No parameter: servers that plan without them take it for a tenth of all there is.
        bound = "" if limit is None else f" LIMIT {limit}"
        return f"SELECT {columns} FROM {rows} ORDER BY {source.uuid}{bound}"  # noqa: S608  # our fragments

    def _with_documents(self, after: str | None, limit: int) -> str:
        source = SOURCES[self._source]
        page = self._ordered(f"{source.uuid} AS uuid, {source.fq} AS fq", after, limit)
        return (
            "SELECT ID(page.uuid), TEXT(page.fq), d.properties"  # noqa: S608  # our fragments
            f" FROM ({page}) page LEFT JOIN ~doc d ON d.uuid = page.uuid ORDER BY page.uuid"
        )
