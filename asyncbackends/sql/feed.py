"""Follows a table of changes: what wakes those who wait, and how they read on."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from types import TracebackType
from typing import Final, Literal, Protocol, Self, TypeAlias

import msgspec

from asyncbackends.object_model.changes import watch_start
from asyncbackends.object_model.model import checked_revision
from asyncbackends.observability import Seam
from asyncbackends.protocols.values import Change, Gap

__all__ = ("OPERATIONS", "PAGE", "ChangeSource", "Feed", "Pulled", "Watch")

PAGE: Final = 256
"""So many changes are read at once."""

Operation: TypeAlias = Literal["create", "update", "delete"]
OPERATIONS: tuple[Operation, ...] = ("create", "update", "delete")
"""The words for the numbers that a table of changes has."""


class Feed:
    """Tells those who wait that there may be changes to read."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._somebody = asyncio.Event()
        self.count = 0
        """How often there were news."""

    def wake(self) -> None:
        """Tell all who wait."""
        self.count += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
        self._somebody.clear()

    async def news_after(self, count: int) -> None:
        """Wait until there were more news than these."""
        if self.count != count:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        self._somebody.set()
        try:
            await future
        finally:
            self._waiting.discard(future)
            if not self._waiting:
                self._somebody.clear()

    async def awaited(self) -> None:
        """Wait until somebody waits."""
        await self._somebody.wait()


class Pulled(msgspec.Struct, frozen=True):
    """What a table of changes says in one snapshot."""

    revision: int
    """The last committed one."""
    compacted: int
    """The last one whose change is no longer kept."""
    changes: Sequence[tuple[int, int, str, str]]
    """In order: revision, operation, type, uuid."""


class ChangeSource(Protocol):
    """An open database, as those who watch see it."""

    seam: Seam
    feed: Feed

    async def counters(self) -> tuple[int, int]:
        """Give the last committed revision, and the last one whose change is no longer kept."""
        ...

    async def pull(self, seen: int) -> Pulled:
        """Read a page of changes after a revision; waits for a link that is down."""
        ...


class Watch:
    """Pulls changes page by page, so that a slow reader buffers no more than one.

    Reading is by revision: what was committed while a link was down is read afterwards.
    """

    def __init__(
        self, source: ChangeSource, types: Collection[str] | None, since: int | None
    ) -> None:
        self._source = source
        self._types = None if types is None else frozenset(types)
        self._since = checked_revision(since, "since")
        self._seen: int = 0
        self._page: deque[Change | Gap] = deque()

    async def __aenter__(self) -> Self:
        with self._source.seam("watch"):
            revision, compacted = await self._source.counters()
            self._seen = watch_start(self._since, revision, compacted)
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
        while not self._page:
            news = self._source.feed.count
            with self._source.seam("watch"):
                more = await self._pull()
            if not more and not self._page:
                await self._source.feed.news_after(news)
        return self._page.popleft()

    async def _pull(self) -> bool:
        """Read on from what was seen, and say whether the table was not at its end."""
        seen = self._seen
        pulled = await self._source.pull(seen)
        if pulled.revision < seen:
            # The database was restored: its revisions are not those that were seen.
            self._page.append(Gap("recreated", seen))
            self._seen = pulled.revision
            return False
        if seen < pulled.compacted:
            self._page.append(Gap("compacted", seen))
            self._seen = pulled.compacted
        for revision, op, obj_type, uuid in pulled.changes:
            self._seen = revision
            if self._types is None or obj_type in self._types:
                self._page.append(Change(revision, OPERATIONS[op], obj_type, uuid))
        full = len(pulled.changes) == PAGE
        if not full:
            self._seen = max(self._seen, pulled.revision)
        return full
