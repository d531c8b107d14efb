"""Remembers which objects of the source changed, each once, while the rest of a copy works."""

import asyncio
from itertools import islice
from typing import Final

from asyncbackends.errors import BackendError, CompactedError, InvalidRequestError
from asyncbackends.interchange.copying_sides import Outage, Pair, Side
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Change, Gap

__all__ = ("Feed", "Touched")

KEPT: Final = 200_000
STEADY: Final = 10.0
"""Seconds after which a watch that fails then has worked before."""
HEARS: Final = (ConnectionState.CONNECTED, ConnectionState.BLOCKED)


class Touched:
    """Objects that a feed heard of."""

    def __init__(self) -> None:
        self._uuids: set[str] = set()
        self.every = False
        """Whether changes may have been missed, of any object."""

    def __contains__(self, uuid: object) -> bool:
        return self.every or uuid in self._uuids

    def add(self, uuid: str) -> None:
        """Hear of one."""
        self._uuids.add(uuid)


class Feed:
    """Follows the source's changes; a task runs :meth:`run`."""

    def __init__(self, source: Side, since: int, *, kept: int = KEPT) -> None:
        """Make a feed.

        :param kept: if more objects than these wait, the feed counts as lost: comparing everything
            is cheaper.
        """
        self._source = source
        self._since: int | None = since
        self._kept = kept
        self._pending: dict[Pair, None] = {}
        self._news = asyncio.Event()
        self.seen = since
        """The revision of the last change that was heard of."""
        self.heard = 0
        """How many changes were heard of."""
        self.news_at = asyncio.get_running_loop().time()
        self.lost = False
        """Whether changes may have been missed: everything must be compared."""
        self._noting: Touched | None = None
        self._is_open = False
        held = source.database.guarantees
        self.is_ordered = {Guarantee.ORDERED_WATCH, Guarantee.DATABASE_WIDE_REVISION} <= held

    async def run(self) -> None:
        """Follow, through outages, until it is cancelled."""
        outage, clock = self._source.outage(), asyncio.get_running_loop()
        while True:
            began = clock.time()
            try:
                await self._follow(outage)
            except (CompactedError, InvalidRequestError):
                # Too far behind; or ahead of a source that was restored meanwhile.
                self._since = None
            except BackendError as error:
                self._is_open = False
                if clock.time() - began >= STEADY:
                    outage.over()
                await outage.endure(error)

    async def _follow(self, outage: Outage) -> None:
        async with self._source.database.watch(since=self._since) as changes:
            self._is_open = True
            if self._since is None:
                # What changed before is found by comparing everything, which begins after this.
                self._lose()
            async for change in changes:
                outage.over()
                self._hear(change)

    def _hear(self, change: Change | Gap) -> None:
        if isinstance(change, Gap):
            self._lose()
            return
        self._since = self.seen = change.revision
        self.heard += 1
        self.news_at = asyncio.get_running_loop().time()
        pair = (change.obj_type, change.uuid)
        if self._noting is not None:
            self._noting.add(change.uuid)
        if not self.lost:
            self._pending[pair] = None
            if len(self._pending) > self._kept:
                self._lose()
        self._news.set()

    def _lose(self) -> None:
        self._pending.clear()
        self.lost = True
        if self._noting is not None:
            self._noting.every = True
        self._news.set()

    @property
    def is_live(self) -> bool:
        """Say whether changes can be heard of now, also of a source that takes no writes."""
        return self._is_open and self._source.database.state in HEARS

    def begin_anew(self) -> None:
        """End a loss; whoever calls it compares everything afterwards."""
        self.lost = False

    def note(self) -> "Touched":
        """Note from now on which objects are heard of, instead of what was noted before."""
        self._noting = Touched()
        return self._noting

    def note_no_more(self) -> None:
        """Note nothing."""
        self._noting = None

    @property
    def waiting(self) -> int:
        """How many objects wait."""
        return len(self._pending)

    def take(self, limit: int) -> list[Pair]:
        """Take objects that changed, the first ones first."""
        taken = list(islice(self._pending, limit))
        for pair in taken:
            del self._pending[pair]
        return taken

    async def news(self, seconds: float) -> None:
        """Wait for a change, or so many seconds."""
        if self._pending or self.lost:
            return
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
