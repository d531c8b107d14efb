"""The following of one path on one connection."""

from collections.abc import Sequence
from typing import Final

from asyncbackends.coordination.paths import ROOT, is_below, parent
from asyncbackends.coordination.watching import ahead
from asyncbackends.coordination.wire import Feed, Followed, WatchSink
from asyncbackends.errors import CompactedError
from asyncbackends.protocols.nodes import Node, NodeEvent, WatchScope
from asyncbackends_zookeeper.hub import Happened, Kind, WatchHub
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading
from asyncbackends_zookeeper.walking import walk

__all__ = ("ZooKeeperFeed",)

MOST_KEPT: Final = 10_000
"""So many events wait at most while what is present is read."""


class ZooKeeperFeed:
    """Implements :class:`asyncbackends.coordination.wire.Feed`."""

    def __init__(
        self,
        hub: WatchHub,
        reading: Reading,
        names: Names,
        path: str,
        scope: WatchScope,
        sink: WatchSink,
    ) -> None:
        self.path = path
        self.is_deep = scope != "node"
        self._hub = hub
        self._reading = reading
        self._names = names
        self._scope: WatchScope = scope
        self._sink = sink
        self._closed = False
        self._begun = False
        self._kept: list[Happened] = []
        self._deletions: dict[str, list[int]] = {}
        self._start = 0
        """The place from which on events are told."""
        self._seen: dict[str, int] = {}
        """That of single paths and what is below them, while it differs."""
        self._last = 0
        """Beyond this place it does not."""
        self._revision = 0
        """The highest that was told: none goes back."""

    async def begin(self, since: int | None, *, present: bool) -> Followed:
        try:
            revision, self._start = await self._hub.add(self)
            if since is not None:
                await self._check(since, revision)
            nodes = await self._present() if present else None
        except BaseException:
            self.close()
            raise
        self._begun = True
        kept, self._kept = self._kept, []
        for happened in kept:
            self._give(happened)
        return Followed(revision if since is None else since, nodes)

    async def _check(self, since: int, revision: int) -> None:
        """See that nothing was missed, without a history."""
        if since > revision:
            raise ahead(since, revision)
        if since == revision:
            return
        if self._scope != "tree":
            znode = await self._reading.znode(self.path)
            if znode is not None:
                last = znode.mzxid if self._scope == "node" else max(znode.czxid, znode.pzxid)
                if last <= since:
                    return
        message = f"ZooKeeper keeps no history: what came after revision {since} is not known"
        raise CompactedError(message, oldest=revision)

    async def _present(self) -> Sequence[Node]:
        found = await walk(
            self._reading, self._names, self.path, self._scope, self, self._sink.progress
        )
        self._seen = found.seen
        self._last = found.last
        self._deletions.clear()
        self._revision = max((node.stat.created_revision for node in found.nodes), default=0)
        return found.nodes

    def close(self) -> None:
        self._closed = True
        self._kept.clear()
        self._hub.remove(self)

    # What the hub tells.

    def covers(self, kind: Kind, path: str) -> bool:
        """Say whether the watch gives such an event."""
        if self._scope == "node":
            return path == self.path
        if self._scope == "children":
            return kind != "updated" and path != ROOT and parent(path) == self.path
        return path == self.path or is_below(path, self.path)

    def note(self, kind: Kind, path: str, position: int) -> None:
        """Hear of an event at once."""
        if kind == "deleted" and not self._begun:
            self._deletions.setdefault(path, []).append(position)

    def first_between(self, path: str, after: int, before: int) -> int | None:
        """Give the place of the first deletion of a path between two places."""
        places = self._deletions.get(path, ())
        return next((place for place in places if after < place < before), None)

    def take(self, happened: Happened) -> None:
        """Hear of an event in its turn."""
        if self._closed:
            return
        if self._begun:
            self._give(happened)
        elif len(self._kept) < MOST_KEPT:
            self._kept.append(happened)
        else:
            self.close()
            self._sink.broken()

    def _give(self, happened: Happened) -> None:
        if self._closed or happened.position <= self._place_of(happened):
            return
        node = happened.node
        made = happened.zxid if node is None else node.stat.modified_revision
        revision: int | None = None
        # Below that it is of a change that is older than what was read after another one.
        if made >= max(1, self._revision):
            revision = self._revision = made
        stat, value = (None, None) if node is None else (node.stat, node.value)
        self._sink.offer(NodeEvent(happened.kind, happened.path, revision, stat, value))

    def _place_of(self, happened: Happened) -> int:
        """Give the place from which on events of a path are told."""
        if happened.position > self._last:
            self._seen = {}
        path = happened.path
        while self._seen:
            place = self._seen.get(path)
            if place is not None:
                return place
            if path in {self.path, ROOT}:
                break
            path = parent(path)
        return self._start


_: type[Feed] = ZooKeeperFeed
