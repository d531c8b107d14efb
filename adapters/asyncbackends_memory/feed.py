"""Follows the change log of a store."""

from collections.abc import AsyncIterator, Callable, Collection
from itertools import islice
from types import TracebackType
from typing import Self

from asyncbackends.object_model.changes import watch_start
from asyncbackends.object_model.model import checked_revision
from asyncbackends.protocols.values import Change, Gap
from asyncbackends_memory.store import Store

__all__ = ("Watch",)


class Watch:
    """Pulls changes from the log, so that a slow reader buffers nothing."""

    def __init__(
        self,
        opened: Callable[[], Store],
        types: Collection[str] | None,
        since: int | None,
    ) -> None:
        self._opened = opened
        self._types = None if types is None else frozenset(types)
        self._since = checked_revision(since, "since")
        self._seen = 0

    async def __aenter__(self) -> Self:
        store = self._opened()
        self._seen = watch_start(self._since, store.revision, store.compacted)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __aiter__(self) -> AsyncIterator[Change | Gap]:
        return self

    async def __anext__(self) -> Change | Gap:
        while True:
            store = self._opened()
            if self._seen < store.compacted:
                gap = Gap("compacted", self._seen)
                self._seen = store.compacted
                return gap
            for change in islice(store.changes, _first_after(store, self._seen), None):
                self._seen = change.revision
                if self._types is None or change.obj_type in self._types:
                    return change
            await store.changed()


def _first_after(store: Store, revision: int) -> int:
    low, high = 0, len(store.changes)
    while low < high:
        middle = (low + high) // 2
        if store.changes[middle].revision <= revision:
            low = middle + 1
        else:
            high = middle
    return low
