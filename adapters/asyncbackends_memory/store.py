"""The tables that openers of one name share."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from asyncbackends.object_model.tables import Tables, Unit
from asyncbackends.protocols.values import Change
from asyncbackends.schema import Schema
from asyncbackends_memory.sharing import Sharing

__all__ = ("Store", "store")


class Store(Tables):
    """All tables of one name, their history, and those who wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.schema: Schema | None = None
        self.compacted = 0
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

    def commit(self, unit: Unit, history: int) -> None:
        """Publish what a unit changed."""
        for obj_type in unit.listed:
            self._sorted.pop(obj_type, None)
        self.changes += unit.changes
        while len(self.changes) > history:
            self.compacted = self.changes.popleft().revision
        if unit.changes:
            self.wake()


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
