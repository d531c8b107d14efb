"""The persistent watches of one connection, and what is read after their events.

A server has at most one watch for a path and a connection; all feeds of a path share it. Its events
say what happened to which znode, and no more: what was made or changed is read, each path at most
once at a time, and events are handed on in the order in which they came.
"""

from collections import deque
from functools import partial
from typing import Final, Literal, Protocol

from asyncbackends.coordination.paths import ROOT, parent
from asyncbackends.protocols.nodes import Node
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.jute import HEADER, event_of, node_at, read_body, watch_body
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading

__all__ = ("Begun", "Happened", "WatchHub", "Watching")

Kind = Literal["created", "updated", "deleted"]
KINDS: Final[dict[int, Kind]] = {1: "created", 2: "deleted", 3: "updated"}
ONE: Final = 0
BELOW: Final = 1
"""Modes of a watch: of a znode alone, or of all below it, too."""
EVERY_WATCH: Final = 3
"""The only way in which 3.8 removes such a watch: with all others of the path, of which none is."""
MOST_READS: Final = 1000
"""So many paths are read at once; what happens to more is told without what is there now."""


class Happened:
    """One event on its way to feeds."""

    __slots__ = ("feeds", "is_done", "is_kept", "kind", "node", "path", "position", "zxid")

    def __init__(
        self, kind: Kind, path: str, position: int, zxid: int, feeds: "tuple[Watching, ...]"
    ) -> None:
        self.kind: Kind = kind
        self.path = path
        self.position = position
        self.zxid = zxid
        """Servers before 3.9 do not say it: -1."""
        self.feeds = feeds
        self.node: Node | None = None
        """How it is now, where that is known."""
        self.is_kept = True
        """False: another one tells it, too."""
        self.is_done = False


class Watching(Protocol):
    """What the hub knows of a feed."""

    @property
    def path(self) -> str: ...
    @property
    def is_deep(self) -> bool:
        """Whether it hears of what is below its path."""
        ...

    def covers(self, kind: Kind, path: str) -> bool: ...
    def note(self, kind: Kind, path: str, position: int) -> None:
        """Hear of an event at once."""
        ...

    def take(self, happened: Happened) -> None:
        """Hear of it in its turn, with what was read."""
        ...


Begun = tuple[int, int]
"""The last change before a watch, and the place of the reply that says so."""


class _Watched:
    def __init__(self) -> None:
        self.feeds: dict[Watching, bool] = {}
        self.mode = ONE


class WatchHub:
    """Watches of one connection."""

    def __init__(self, connection: Connection, names: Names, reading: Reading) -> None:
        self._connection = connection
        self._names = names
        self._reading = reading
        self._watched: dict[str, _Watched] = {}
        self._queue: deque[Happened] = deque()
        self._reads: dict[str, list[Happened]] = {}
        connection.on_event = self._heard

    async def add(self, feed: Watching) -> Begun:
        """Let a feed hear what happens from now on."""
        watched = self._watched.setdefault(feed.path, _Watched())
        watched.feeds[feed] = True
        if feed.is_deep:
            # Servers before 3.9 keep the last mode only.
            watched.mode = BELOW
        body = watch_body(self._names.znode(feed.path), watched.mode)
        code, frame, position = await self._reading.ask_at(Op.ADD_WATCH, body, synced=True)
        if code != Code.OK:
            raise ours(code, f"watching {feed.path!r}")
        return HEADER.unpack_from(frame)[1], position

    def remove(self, feed: Watching) -> None:
        """Let a feed hear nothing any more."""
        watched = self._watched.get(feed.path)
        if watched is None or watched.feeds.pop(feed, None) is None or watched.feeds:
            return
        del self._watched[feed.path]
        body = watch_body(self._names.znode(feed.path), EVERY_WATCH)
        if self._connection.error is None:
            self._connection.tell(Op.REMOVE_WATCHES, body, _ignore)

    def _heard(self, frame: bytes, position: int) -> None:
        number, znode = event_of(frame)
        kind = KINDS.get(number)
        if kind is None or not znode.startswith(self._names.root):
            return
        path = self._names.path(znode)
        if path == ROOT:
            # It was always there, for whoever watches.
            return
        feeds = self._covering(kind, path)
        if not feeds:
            return
        happened = Happened(kind, path, position, HEADER.unpack_from(frame)[1], feeds)
        for feed in feeds:
            feed.note(kind, path, position)
        self._queue.append(happened)
        if path in self._reads:
            self._reads[path].append(happened)
        elif kind == "deleted" or len(self._reads) >= MOST_READS:
            happened.is_done = True
        else:
            self._reads[path] = [happened]
            body = read_body(self._names.znode(path))
            self._connection.tell(Op.GET_DATA, body, partial(self._answered, path))
        self._release()

    def _covering(self, kind: Kind, path: str) -> tuple[Watching, ...]:
        found: list[Watching] = []
        above = path
        while True:
            watched = self._watched.get(above)
            if watched is not None:
                found += [feed for feed in watched.feeds if feed.covers(kind, path)]
            if above == ROOT:
                return tuple(found)
            above = parent(above)

    def _answered(self, path: str, code: int, frame: bytes, position: int) -> None:
        node = node_at(path, frame)[0] if code == Code.OK else None
        told: Happened | None = None
        for happened in self._reads.pop(path):
            happened.is_done = True
            if happened.kind == "deleted":
                told = None
            elif told is None:
                told = happened
            else:
                # The one before it has what it led to.
                happened.is_kept = False
        if told is not None:
            told.node = node
        self._release()

    def _release(self) -> None:
        while self._queue and self._queue[0].is_done:
            happened = self._queue.popleft()
            if happened.is_kept:
                for feed in happened.feeds:
                    feed.take(happened)


def _ignore(code: int, frame: bytes, position: int) -> None:
    pass
