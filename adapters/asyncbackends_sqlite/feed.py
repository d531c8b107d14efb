"""Follows the change table."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Collection
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from asyncbackends.object_model.changes import watch_start
from asyncbackends.object_model.model import checked_revision
from asyncbackends.protocols.values import Change, Gap
from asyncbackends_sqlite.statements import Statements, hex_id
from asyncbackends_sqlite.unit import OPERATIONS

if TYPE_CHECKING:
    from asyncbackends_sqlite.session import Session

__all__ = ("Feed", "Watch")

PAGE = 256

_decode_changes = msgspec.json.Decoder(list[tuple[int, int, str, str]]).decode


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


class _Pulled(msgspec.Struct, frozen=True):
    """What the change table says in one snapshot."""

    revision: int
    compacted: int
    changes: list[tuple[int, int, str, str]]


class Watch:
    """Pulls changes page by page, so that a slow reader buffers no more than one."""

    def __init__(
        self, session: "Session", types: Collection[str] | None, since: int | None
    ) -> None:
        self._session = session
        self._types = None if types is None else frozenset(types)
        self._since = checked_revision(since, "since")
        self._seen = 0
        self._page: deque[Change | Gap] = deque()

    async def __aenter__(self) -> Self:
        with self._session.seam("watch"):
            pulled = await self._session.read(lambda cursor: _pull(cursor, self._session.sql, 0, 0))
            self._seen = watch_start(self._since, pulled.revision, pulled.compacted)
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
            news = self._session.feed.count
            with self._session.seam("watch"):
                more = await self._pull()
            if not more and not self._page:
                await self._session.feed.news_after(news)
        return self._page.popleft()

    async def _pull(self) -> bool:
        """Read on from what was seen, and say whether the table was not at its end."""
        seen, sql = self._seen, self._session.sql
        pulled = await self._session.read(lambda cursor: _pull(cursor, sql, seen, PAGE))
        if seen < pulled.compacted:
            self._page.append(Gap("compacted", seen))
            self._seen = pulled.compacted
        for revision, op, obj_type, uuid in pulled.changes:
            self._seen = revision
            if self._types is None or obj_type in self._types:
                self._page.append(Change(revision, OPERATIONS[op], obj_type, hex_id(uuid)))
        full = len(pulled.changes) == PAGE
        if not full:
            self._seen = max(self._seen, pulled.revision)
        return full


def _pull(cursor: sqlite3.Cursor, sql: Statements, seen: int, limit: int) -> _Pulled:
    """Read the changes after ``seen``."""
    row = cursor.execute(sql.pull, (seen, limit)).fetchone()
    revision, compacted, changes = row
    return _Pulled(revision, compacted, _decode_changes(changes))
