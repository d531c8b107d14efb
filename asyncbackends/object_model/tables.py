"""Objects and what stands beside them as tables in memory, and units that change them.

The memory engine keeps all of them so; engines that speak SQL load the few rows that writes look
at, apply the writes to these, and send what has become different.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.views import Selection
from asyncbackends.protocols.values import Change

__all__ = ("ALL_PARTS", "KvRow", "Ref", "Row", "Tables", "Unit", "find_name", "parts_of", "row_of")

MISSING: Final = object()
NO_LINKS: frozenset[str] = frozenset()
ALL_PARTS = Selection(None, None, None, NO_LINKS, NO_LINKS)


class Ref(msgspec.Struct, frozen=True):
    """A ref of an object, by the target's uuid."""

    to_type: str
    attr: str
    relaxed: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An object; a change makes another one."""

    obj_type: str
    uuid: str
    key: str
    parent_type: str | None
    parent_uuid: str | None
    revision: int
    created: int
    modified: int
    document: str
    elements: dict[str, dict[str, str]]
    """field: {position or key: JSON}"""
    refs: dict[str, Ref]


class KvRow(msgspec.Struct, frozen=True):
    """A row of columns (JSON), and the revision of its last write."""

    columns: dict[str, str]
    revision: int


class Tables:
    """All tables. Only a :class:`Unit` changes them."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, Row] = {}
        self.names: dict[tuple[str, str], dict[str, bool]] = {}
        self.types: dict[str, dict[str, bool]] = {}
        self.children: dict[str, dict[str, bool]] = {}
        self.holders: dict[str, dict[str, bool]] = {}
        """Who refers to an object, by its uuid; also where it does not exist."""
        self.shares: dict[tuple[str, str, str], dict[str, int]] = {}
        self.useragent: dict[str, str] = {}
        self.tables: dict[str, dict[str, KvRow]] = {}
        self.fences: dict[str, tuple[int, int]] = {}


class Unit:
    """Changes of the tables that all hold or are all taken back."""

    def __init__(self, tables: Tables, now: int) -> None:
        self.tables = tables
        self.now = now
        self.changes: list[Change] = []
        self.listed: set[str] = set()
        """Types that objects were added to or taken from."""
        self.revision = tables.revision
        """The one before it."""
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Set a key of a table."""
        self._undo.append((table, key, table.get(key, MISSING)))
        table[key] = value

    def drop(self, table: dict[Any, Any], key: Any) -> None:
        """Remove a key of a table, if it is there."""
        if key in table:
            self._undo.append((table, key, table.pop(key)))

    def next_revision(self) -> int:
        """Take the next revision."""
        self.tables.revision += 1
        return self.tables.revision

    def save(self, row: Row, op: Literal["create", "update"] = "update") -> Row:
        """Store an object under a new revision and note the change."""
        saved = msgspec.structs.replace(row, revision=self.next_revision(), modified=self.now)
        self.put(self.tables.objects, row.uuid, saved)
        self.changes.append(Change(saved.revision, op, row.obj_type, row.uuid))
        return saved

    def deleted(self, row: Row) -> int:
        """Note that an object was deleted, and give the revision of that."""
        revision = self.next_revision()
        self.changes.append(Change(revision, "delete", row.obj_type, row.uuid))
        return revision

    def take_back(self) -> None:
        """Undo everything, the last change first."""
        for table, key, value in reversed(self._undo):
            if value is MISSING:
                del table[key]
            else:
                table[key] = value
        self.tables.revision = self.revision

    def changed(self, table: dict[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
        """Give (key, value before, value now) of what is different; None for nothing."""
        before: dict[Any, Any] = {}
        for touched, key, value in self._undo:
            if touched is table:
                before.setdefault(key, None if value is MISSING else value)
        for key, value in before.items():
            now = table.get(key)
            if now is not value:
                yield key, value, now


def row_of(tables: Tables, obj_type: str, uuid: str) -> Row | None:
    """Give the object of that type with that id."""
    row = tables.objects.get(uuid)
    return row if row is not None and row.obj_type == obj_type else None


def find_name(tables: Tables, obj_type: str, key: str) -> list[str]:
    """Give the uuids of the objects with a name: one, unless legacy writes made more."""
    return sorted(tables.names.get((obj_type, key), ()))


def parts_of(tables: Tables, row: Row, selection: Selection = ALL_PARTS) -> StoredObject:
    """Give the parts of an object that a read wants."""
    objects = tables.objects
    stored = StoredObject(
        obj_type=row.obj_type,
        uuid=row.uuid,
        key=row.key,
        parent_type=row.parent_type,
        parent_uuid=row.parent_uuid,
        revision=row.revision,
        created=row.created,
        modified=row.modified,
        document=row.document,
    )
    if row.elements:
        stored.elements = [
            (field, position, text)
            for field, elements in row.elements.items()
            for position, text in elements.items()
        ]
    if row.refs:
        stored.refs = [
            (ref.to_type, uuid, _name(objects.get(uuid), ref.to_type), ref.attr)
            for uuid, ref in row.refs.items()
        ]
    if selection.back_refs:
        holders = (objects[uuid] for uuid in tables.holders.get(row.uuid, ()))
        stored.back_refs = [
            (holder.obj_type, holder.uuid, holder.key, holder.refs[row.uuid].attr)
            for holder in holders
            if holder.refs[row.uuid].to_type == row.obj_type
        ]
    if selection.children:
        children = (objects[uuid] for uuid in tables.children.get(row.uuid, ()))
        stored.children = [(child.obj_type, child.uuid, child.key) for child in children]
    return stored


def _name(target: Row | None, to_type: str) -> str | None:
    return target.key if target is not None and target.obj_type == to_type else None
