"""A feed: what a watch of etcd tells, as events of the tree."""

import asyncio
import contextlib
from itertools import groupby
from operator import attrgetter
from typing import Final

from asyncbackends.coordination.watching import ahead, covers
from asyncbackends.coordination.wire import Feed, Followed, WatchSink
from asyncbackends.errors import AccessDeniedError, CompactedError, ConnectionLostError
from asyncbackends.protocols.nodes import Node, NodeEvent, WatchScope
from asyncbackends_etcd import requests
from asyncbackends_etcd.driver_errors import failure, is_compacted, is_denied, is_future
from asyncbackends_etcd.envelope import Held
from asyncbackends_etcd.grpc_channel import RpcError
from asyncbackends_etcd.http2_stream import StreamBrokenError
from asyncbackends_etcd.keys import Keys
from asyncbackends_etcd.reading import Reads
from asyncbackends_etcd.responses import Event
from asyncbackends_etcd.watches import Watch, Watches, WatchRefusedError

__all__ = ("EtcdFeed", "events_of")

MOST_EARLY: Final = 10_000
"""Events that come while what is there is still being read."""
HIGHEST: Final = 2**62
A_WHILE: Final = 0.5
"""Seconds in which the server says what it still has."""


class EtcdFeed:
    """See :class:`asyncbackends.coordination.wire.Feed`.

    The server follows before anything is read: so it tells from now on, also while others write,
    and what was read already is dropped.
    """

    def __init__(
        self,
        watches: Watches,
        reads: Reads,
        keys: Keys,
        path: str,
        scope: WatchScope,
        sink: WatchSink,
    ) -> None:
        self._watches = watches
        self._reads = reads
        self._keys = keys
        self._path = path
        self._scope: WatchScope = scope
        self._sink = sink
        self._key, self._end = self._range()
        self._watch: Watch | None = None
        self._floor: int | None = None
        """What is not after it was told; None: that is not known yet."""
        self._early: list[Event] = []
        self._closed = False
        self._missed = asyncio.Event()

    def _range(self) -> tuple[bytes, bytes]:
        if self._scope == "node":
            return self._keys.of(self._path), b""
        if self._scope == "children":
            return self._keys.below(self._path)
        return self._keys.tree(self._path)

    async def begin(self, since: int | None, *, present: bool) -> Followed:
        """See Feed."""
        try:
            if since is None:
                followed = await self._begin_now(present=present)
            else:
                followed = await self._begin_since(since)
        except BaseException:
            self.close()
            raise
        self._floor = followed.revision
        early, self._early = self._early, []
        self.take(early)
        return followed

    async def _begin_now(self, *, present: bool) -> Followed:
        self._open(0)
        revision, nodes = await self._read(present=present)
        begun = await self._begun(0)
        while revision < begun:
            # The server that answered had not yet come to where it follows from.
            revision, nodes = await self._read(present=present)
        return Followed(revision, nodes if present else None)

    async def _begin_since(self, since: int) -> Followed:
        if since < HIGHEST:
            self._open(since + 1)
            try:
                await self._reads.range(self._probe(since + 1))
            except RpcError as error:
                if is_compacted(error):
                    message = f"what came after revision {since} was compacted"
                    oldest = await self._oldest(since)
                    raise CompactedError(message, oldest=oldest) from error
                if not is_future(error):
                    raise
                await self._check_not_ahead(since)
            await self._begun(since + 1)
        else:
            await self._check_not_ahead(since)
        return Followed(since)

    async def _oldest(self, since: int) -> int:
        """Give the first revision that is kept, as the watch is told, or a bound of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(A_WHILE):
                await self._missed.wait()
        told = 0 if self._watch is None else self._watch.compacted
        return max(told, since + 2)

    async def _check_not_ahead(self, since: int) -> None:
        present = (await self._reads.range(self._probe())).revision
        if since > present:
            raise ahead(since, present)

    def _probe(self, revision: int = 0) -> bytes:
        return requests.range_of(self._key, revision=revision, count_only=True)

    async def _read(self, *, present: bool) -> tuple[int, list[Node]]:
        if present:
            return await self._reads.present(self._path, self._scope, self._sink.progress)
        return (await self._reads.range(self._probe())).revision, []

    def _open(self, start: int) -> None:
        self._watch = self._watches.open(self, self._key, self._end, start)

    async def _begun(self, start: int) -> int:
        """Wait until the server follows; give the revision after which it does."""
        for is_last in (False, True):
            watch = self._watch
            if watch is None:
                break
            try:
                return await watch.begun
            except WatchRefusedError as error:
                if is_last:
                    raise _refusal(str(error)) from error
                # A token that is over looks like a right that is missing.
                await self._watches.renew(watch)
                self._open(start)
            except (RpcError, StreamBrokenError) as error:
                raise failure(error) or error from error
        raise ConnectionLostError("the watch was closed meanwhile")

    def close(self) -> None:
        """See Feed."""
        self._closed = True
        if self._watch is not None:
            self._watch.close()

    # What the stream says: see asyncbackends_etcd.watches.Listener.

    def take(self, events: list[Event]) -> None:
        """Take all that one answer holds."""
        if self._floor is None:
            self._early += events
            if len(self._early) > MOST_EARLY:
                self._early.clear()
                self.miss()
            return
        for event in events_of(events, self._keys):
            if self._closed:
                return
            if (event.revision or 0) > self._floor and covers(self._path, self._scope, event):
                self._sink.offer(event)

    def miss(self) -> None:
        """Hear that nothing more comes."""
        self._missed.set()
        if not self._closed:
            self._sink.broken()


_: type[Feed] = EtcdFeed


def events_of(events: list[Event], keys: Keys) -> list[NodeEvent]:
    """Give the tree's events for etcd's; of one transaction children go first and come last."""
    if len(events) == 1:
        return _events_of_one(events[0], keys)
    told: list[NodeEvent] = []
    for _revision, group in groupby(events, key=attrgetter("kv.mod_revision")):
        found = [event for each in group for event in _events_of_one(each, keys)]
        gone = [event for event in found if event.kind == "deleted"]
        told += sorted(gone, key=attrgetter("path"), reverse=True)
        told += sorted(
            (event for event in found if event.kind != "deleted"), key=attrgetter("path")
        )
    return told


def _events_of_one(event: Event, keys: Keys) -> list[NodeEvent]:
    kv = event.kv
    path = keys.path(kv.key)
    if path is None:
        return []
    gone = NodeEvent("deleted", path, kv.mod_revision)
    if event.deleted:
        return [gone]
    held = Held.opened(path, kv)
    stat = held.stat
    if held.came_again:
        return [gone, NodeEvent("created", path, kv.mod_revision, stat, held.value)]
    is_new = kv.create_revision == kv.mod_revision
    return [NodeEvent("created" if is_new else "updated", path, kv.mod_revision, stat, held.value)]


def _refusal(reason: str) -> AccessDeniedError | ConnectionLostError:
    if is_denied(reason):
        return AccessDeniedError(f"etcd refuses to let it be watched: {reason}")
    return ConnectionLostError(f"etcd does not let it be watched now: {reason or 'no reason'}")
