"""Follows the events of a store."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asyncbackends.coordination.pending import PendingEvents
from asyncbackends.coordination.watching import (
    ahead,
    check_watch,
    covers,
    entered_before,
    not_entered,
    present_events,
)
from asyncbackends.protocols.nodes import NodeEvent, WatchScope
from asyncbackends.protocols.values import Gap
from asyncbackends_memory.tree.store import TreeStore

if TYPE_CHECKING:
    from asyncbackends_memory.tree.client import TreeClient

__all__ = ("TreeWatch",)


class TreeWatch:
    """A watch as an async context manager and as its iterator.

    It gives what was there at its beginning or after the last Gap, then what is pending, then a
    Gap if something after that was missed.
    """

    def __init__(
        self,
        client: "TreeClient",
        path: str,
        scope: WatchScope,
        *,
        initial: bool,
        since: int | None,
    ) -> None:
        check_watch(path, scope, initial, since)
        self.path = path
        self.scope: WatchScope = scope
        self._client = client
        self._initial = initial
        self._since = since
        self._entered = False
        self._store: TreeStore | None = None
        self._present: deque[NodeEvent] = deque()
        self._pending = PendingEvents(client.faults.max_pending)
        self._seen = 0
        """The revision up to which all was given, once what is present has been."""
        self._gap: Gap | None = None
        self._attached = True
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise entered_before()
        self._entered = True
        with self._client.seam("watch"):
            self._begin(await self._client.reach("watch"))
        return self

    def _begin(self, store: TreeStore) -> None:
        since = self._since
        if since is not None and since > store.revision:
            raise ahead(since, store.revision)
        if self._initial:
            self._take_present(store)
        elif since is None:
            self._seen = store.revision
        else:
            self._seen = since
            if since < store.compacted:
                self._gap = Gap("compacted", since)
            for event in store.since(since):
                if covers(self.path, self.scope, event):
                    self.offer(event)
        self._store = store
        store.add_watcher(self)
        self._client.watches[self] = True

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.watches.pop(self, None)
        self.end()

    def end(self) -> None:
        """Follow no more; whoever waits for an event waits in vain and is told."""
        if self._store is not None:
            self._store.remove_watcher(self)
            self._store = None
        self._woken.set()

    def __aiter__(self) -> AsyncIterator[NodeEvent | Gap]:
        return self

    async def __anext__(self) -> NodeEvent | Gap:
        # Here, and not where an event was taken: a cancellation loses none.
        await asyncio.sleep(0)
        while True:
            self._client.opened()
            if self._store is None:
                if self._entered:
                    raise StopAsyncIteration
                raise not_entered()
            given = self._next(self._store)
            if given is not None:
                return given
            self._woken.clear()
            await self._woken.wait()

    def _next(self, store: TreeStore) -> NodeEvent | Gap | None:
        if self._present:
            return self._present.popleft()
        event = self._pending.pop()
        if event is not None:
            self._seen = event.revision or self._seen
            return event
        if self._gap is None or not self._attached:
            return None
        gap, self._gap = self._gap, None
        self._take_present(store)
        return gap

    def _take_present(self, store: TreeStore) -> None:
        self._present.extend(present_events(store.watched(self.path, self.scope)))
        self._seen = store.revision

    def offer(self, event: NodeEvent) -> None:
        """Take an event in, unless what is there will be read after it anyway."""
        if self._gap is None and self._attached:
            if not self._pending.offer(event):
                self._pending.clear()
                self._gap = Gap("overflow", self._seen)
            self._woken.set()

    def miss(self, revision: int) -> None:
        """Notice that what came after ``revision`` may not have arrived."""
        if self._gap is None:
            self._gap = Gap("reconnect", revision)
            self._woken.set()

    def detach(self) -> None:
        """Be cut off from the service, until :meth:`attach`."""
        if self._attached and self._store is not None:
            self._attached = False
            self.miss(self._store.revision)

    def attach(self) -> None:
        """Be told of events again."""
        self._attached = True
        self._woken.set()
