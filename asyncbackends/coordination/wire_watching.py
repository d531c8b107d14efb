"""A watch over a wire: it outlives links, and tells by one Gap what it may have missed."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

from asyncbackends.coordination.pending import PendingEvents
from asyncbackends.coordination.watching import (
    check_watch,
    entered_before,
    not_entered,
    present_events,
)
from asyncbackends.coordination.wire import CoordinationLink, Feed
from asyncbackends.errors import (
    BackendError,
    CompactedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.linking import Links
from asyncbackends.mapping import DriverErrors
from asyncbackends.observability import Seam
from asyncbackends.protocols.nodes import NodeEvent, WatchScope
from asyncbackends.protocols.values import Gap, GapReason

__all__ = ("WatchOwner", "WireWatch")

PAUSE: Final = 0.05
"""Seconds before a service that cannot answer for now is asked again."""


class WatchOwner(Protocol):
    """What watches share with the backend that they belong to."""

    links: Links[CoordinationLink]
    errors: DriverErrors
    seam: Seam
    watches: set["WireWatch"]

    def check(self) -> None:
        """Raise BackendClosedError unless the backend is open."""
        ...

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run something in the owner's group; False when that is closed."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        ...


class WireWatch:
    """A watch as an async context manager and as its iterator.

    What it gives comes in stretches, one for each feed that it followed. A stretch is what was
    there where the feed began, if that was asked for, then what the feed told. Between two of them
    is one Gap.
    """

    def __init__(
        self,
        owner: WatchOwner,
        path: str,
        scope: WatchScope,
        *,
        initial: bool,
        since: int | None,
    ) -> None:
        check_watch(path, scope, initial, since)
        self.path = path
        self.scope: WatchScope = scope
        self.owner = owner
        self._initial = initial
        self._since = since
        self._entered = False
        self._open = False
        self._seen = 0
        """The revision up to which all was given, once what is present has been."""
        self._stretch = _Stretch(self)
        """What is given now."""
        self._next: _Stretch | None = None
        """What comes after the Gap, once it has begun."""
        self._gap: Gap | None = None
        self._failure: BackendError | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise entered_before()
        self._entered = True
        with self.owner.seam("watch"):
            self.owner.check()
            self._open = True
            self.owner.watches.add(self)
            try:
                await self._begin()
            except BaseException:
                self._end()
                raise
        return self

    async def _begin(self) -> None:
        """Follow from where the caller said, on the first link that answers."""
        timeout = self.owner.timeout
        link: CoordinationLink | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    link = None
                    link = await self.owner.links.wait(timeout)
                    if await self._begun(link):
                        return
                    await asyncio.sleep(PAUSE)
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            if link is None:
                message = f"there was no link to the coordination service for {timeout:g} s"
                raise ConnectionLostError(message) from error
            message = f"the coordination service did not begin a watch within {timeout:g} s"
            raise OperationTimeoutError(message) from error

    async def _begun(self, link: CoordinationLink) -> bool:
        """Say whether it is followed now; False: the link is lost."""
        stretch, gap = _Stretch(self), None
        try:
            try:
                await stretch.follow(link, self._since, present=self._initial)
            except CompactedError:
                stretch.close()
                stretch, gap = _Stretch(self), Gap("compacted", self._since)
                await stretch.follow(link, None, present=True)
        except ConnectionLostError:
            stretch.close()
            return False
        except BaseException:
            stretch.close()
            raise
        if self.owner.links.link is not link:
            # It was lost while the answer was on its way through the loop, and told nothing of it.
            stretch.close()
            return False
        if gap is None:
            self._stretch = stretch
        else:
            self._gap, self._next = gap, stretch
        if stretch.spoiled is not None:
            self.broken(stretch, *stretch.spoiled)
        return True

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.owner.watches.discard(self)
        self._open = False
        self._stretch.close()
        if self._next is not None:
            self._next.close()
            # Whoever begins it sees that nobody wants it any more.
            self._next = None
        self._woken.set()

    def __aiter__(self) -> AsyncIterator[NodeEvent | Gap]:
        return self

    async def __anext__(self) -> NodeEvent | Gap:
        # Here, and not where an event was taken: a cancellation loses none.
        await asyncio.sleep(0)
        while True:
            self.owner.check()
            if not self._open:
                if self._entered:
                    raise StopAsyncIteration
                raise not_entered()
            given = self._take()
            if given is not None:
                return given
            self._woken.clear()
            await self._woken.wait()

    def _take(self) -> NodeEvent | Gap | None:
        event = self._stretch.take()
        if event is not None:
            self._seen = event.revision or self._seen
            return event
        if self._failure is not None:
            raise self._failure
        link = self.owner.links.link
        if self._gap is not None and self._next is None and link is not None:
            # Only now that somebody waits: what is there may be much, and change until it is read.
            self._again(link)
        if self._gap is None or self._next is None or not self._next.begun:
            return None
        gap, self._gap = self._gap, None
        self._stretch, self._next = self._next, None
        return gap

    # What the owner and the stretches say.

    def link_lost(self) -> None:
        """Hear that feeds are over, until :meth:`link_restored`."""
        self._miss("reconnect")

    def link_restored(self, link: CoordinationLink) -> None:
        """Follow again, where something was missed and somebody waits, or was told of a failure."""
        if self._failure is not None and self._open and self._next is None:
            self._again(link)
        self._woken.set()

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._woken.set()

    def broken(self, stretch: "_Stretch", reason: GapReason, error: BackendError | None) -> None:
        """Hear that a stretch is over though the link is not."""
        if stretch not in {self._stretch, self._next}:
            stretch.spoiled = (reason, error)
            return
        self._miss(reason)
        if error is not None:
            self._fail(error)
        self._woken.set()

    def _fail(self, error: BackendError) -> None:
        """Raise an error to whoever reads, until another link can be followed."""
        self._failure = self.owner.seam.named(error, "watch")
        self._woken.set()

    def _miss(self, reason: GapReason) -> None:
        if not self._entered or not self._open:
            return
        self._stretch.close()
        if self._next is not None:
            self._next.close()
            self._next = None
        if self._gap is None and self._stretch.begun:
            last = self._stretch.last or self._seen
            self._gap = Gap(reason, last or None)

    def _again(self, link: CoordinationLink) -> None:
        self._next = _Stretch(self)
        self.owner.start(partial(self._follow_again, self._next, link))

    async def _follow_again(self, stretch: "_Stretch", link: CoordinationLink) -> None:
        links = self.owner.links
        refused: BackendError | None = None
        try:
            async with stretch.in_time(self.owner.timeout):
                while links.link is link and self._next is stretch and not stretch.begun:
                    try:
                        await stretch.follow(link, None, present=True)
                    except BackendError as error:
                        refused = None if isinstance(error, ConnectionLostError) else error
                        if not error.retryable:
                            break
                        await asyncio.sleep(PAUSE)
        except TimeoutError as error:
            if refused is None:
                lost = ConnectionLostError("a watch was not begun again in time")
                lost.__cause__ = error
                links.give_up(link, lost)
        if refused is not None and self._next is stretch and not stretch.begun:
            self._fail(refused)
        if self._next is not stretch:
            stretch.close()
        elif not stretch.begun:
            stretch.close()
            self._next = None
        else:
            self._failure = None
            self._woken.set()


class _Stretch:
    """What one feed gives; the sink of that feed."""

    def __init__(self, watch: WireWatch) -> None:
        self._watch = watch
        self._feed: Feed | None = None
        self._closed = False
        self._present: deque[NodeEvent] = deque()
        self._pending = PendingEvents()
        self.begun = False
        self.spoiled: tuple[GapReason, BackendError | None] | None = None
        """What became of it before it was the watch's."""
        self.last: int | None = None
        """The highest revision that it has."""
        self._limit: tuple[asyncio.Timeout, float] | None = None

    @asynccontextmanager
    async def in_time(self, seconds: float) -> AsyncGenerator[None]:
        """End the block where its feed made no progress for so many seconds.

        :raises TimeoutError: it was ended.
        """
        async with asyncio.timeout(seconds) as timeout:
            self._limit = (timeout, seconds)
            try:
                yield
            finally:
                self._limit = None

    async def follow(self, link: CoordinationLink, since: int | None, *, present: bool) -> None:
        owner = self._watch.owner
        self._feed = feed = link.feed(self._watch.path, self._watch.scope, self)
        try:
            with owner.errors:
                followed = await feed.begin(since, present=present)
        except BaseException:
            # It may be tried again, with another one.
            if self._feed is feed:
                self._feed = None
                feed.close()
            raise
        self.begun = True
        self.last = max(self.last or 0, followed.revision)
        if followed.nodes is not None:
            self._present.extend(present_events(followed.nodes))
        self._watch.wake()

    def take(self) -> NodeEvent | None:
        """Give the next event, None if there is none now."""
        if not self.begun:
            return None
        return self._present.popleft() if self._present else self._pending.pop()

    def close(self) -> None:
        """Hear nothing any more; what was heard is still given."""
        self._closed = True
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    # What a feed says: see asyncbackends.coordination.wire.WatchSink.

    def offer(self, event: NodeEvent) -> None:
        if self._closed:
            return
        self.last = max(self.last or 0, event.revision or 0)
        if not self._pending.offer(event):
            self._pending.clear()
            self.last = None
            self._watch.broken(self, "overflow", None)
        elif self.begun:
            self._watch.wake()

    def progress(self) -> None:
        if self._limit is None:
            return
        timeout, seconds = self._limit
        if not timeout.expired():
            timeout.reschedule(asyncio.get_running_loop().time() + seconds)

    def broken(self, error: BackendError | None = None) -> None:
        if not self._closed:
            self._watch.broken(self, "reconnect", error)
