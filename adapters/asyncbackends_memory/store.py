"""The tables that openers of one name share, and units of change that are taken back whole."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from asyncbackends.protocols.values import Change
from asyncbackends.schema import Schema
from asyncbackends_memory.sharing import Sharing

__all__ = ("Ref", "Row", "Store", "Unit", "store")

MISSING = object()


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


class Store:
    """All tables of one name. Only a :class:`Unit` changes them."""

    def __init__(self) -> None:
        self.schema: Schema | None = None
        self.revision = 0
        self.compacted = 0
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
        self.changes: deque[Change] = deque()
        self._changed: asyncio.Event | None = None
        self._sorted: dict[str, list[str]] = {}

    def uuids(self, obj_type: str) -> list[str]:
        """Give the uuids of a type in order."""
        uuids = self._sorted.get(obj_type)
        if uuids is None:
            uuids = self._sorted[obj_type] = sorted(self.types.get(obj_type, ()))
        return uuids

    def wake(self) -> None:
        """Tell those who wait for a change, or for the end."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def changed(self) -> None:
        """Wait for the next wake."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def commit(self, unit: "Unit", history: int) -> None:
        """Publish what a unit changed."""
        for obj_type in unit.listed:
            self._sorted.pop(obj_type, None)
        self.changes += unit.changes
        while len(self.changes) > history:
            self.compacted = self.changes.popleft().revision
        if unit.changes:
            self.wake()


class Unit:
    """Changes of the tables that all hold or are all taken back."""

    def __init__(self, store: Store, now: int) -> None:
        self.store = store
        self.now = now
        self.changes: list[Change] = []
        self.listed: set[str] = set()
        """Types that objects were added to or taken from."""
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self._revision = store.revision

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
        self.store.revision += 1
        return self.store.revision

    def save(self, row: Row, op: Literal["create", "update"] = "update") -> Row:
        """Store an object under a new revision and note the change."""
        saved = msgspec.structs.replace(row, revision=self.next_revision(), modified=self.now)
        self.put(self.store.objects, row.uuid, saved)
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
        self.store.revision = self._revision


_stores: Final = Sharing(lambda _: Store())


def store(name: str, namespace: str) -> tuple[Store, Callable[[], None]]:
    """Give the store of a name, and what its opener calls when it is done with it.

    :raises ConfigurationError: another event loop has it open.
    """
    found, let_go = _stores.enter(name, namespace)

    def leave() -> None:
        found.wake()
        let_go()

    return found, leave
