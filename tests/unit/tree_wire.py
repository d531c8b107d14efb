"""A coordination wire to a tree in this process: the core's own part of the contract, without a server."""

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.paths import name, parent
from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.coordination.watching import ahead, covers
from asyncbackends.coordination.wire import (
    Followed,
    LinkEvents,
    RefusedError,
    SessionUnknownError,
    WatchSink,
)
from asyncbackends.coordination.wire_service import WireCoordination
from asyncbackends.errors import (
    BackendError,
    CompactedError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.options import ServerCoordinationOptions
from asyncbackends.protocols.backend import Kind, ServerInfo
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, WatchScope
from asyncbackends.registry import Engine
from asyncbackends_memory.options import COORDINATION_GUARANTEES, COORDINATION_LIMITS
from asyncbackends_memory.tree.editing import Edit
from asyncbackends_memory.tree.faults import CoordinationFaults
from asyncbackends_memory.tree.store import TreeStore

__all__ = ("TreeFeed", "TreeLink", "TreeServer", "engine", "server_of")

ResultT = TypeVar("ResultT")


class TreeServer:
    """The far end: a tree, and what goes wrong on the way to it."""

    def __init__(self) -> None:
        self.tree = TreeStore(CoordinationFaults("wire"))
        self.tree.kept = 10_000
        self.links: weakref.WeakSet[TreeLink] = weakref.WeakSet()
        self.is_up = True
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.replies_to_lose: list[str] = []
        self.events_to_lose = 0

    def cut(self) -> None:
        for link in list(self.links):
            link.cut()

    # What a test says: see asyncbackends.testing.coordination.fixtures.SessionFaults.

    def expire_session(self, session_id: str) -> None:
        self.tree.end_session(session_id)

    def freeze_renewals(self) -> None:
        self.thawed.clear()

    def thaw_renewals(self) -> None:
        self.thawed.set()

    def drop_connection(self) -> None:
        self.is_up = False
        self.cut()

    def restore_connection(self) -> None:
        self.is_up = True

    def lose_reply(self, operation: str) -> None:
        self.replies_to_lose.append(operation)

    def drop_events(self, count: int) -> None:
        self.events_to_lose = count

    def clear(self) -> None:
        self.is_up = True
        self.thawed.set()
        self.replies_to_lose.clear()
        self.events_to_lose = 0


_servers: dict[str, TreeServer] = {}


def server_of(name: str) -> TreeServer:
    """Give the server of a name."""
    return _servers.setdefault(name, TreeServer())


class TreeLink:
    """One connection."""

    def __init__(self, server: TreeServer, events: LinkEvents) -> None:
        self.server = server
        self._events = events
        self.over: asyncio.Event = asyncio.Event()
        server.links.add(self)

    def cut(self) -> None:
        if not self.over.is_set():
            self.over.set()
            self.server.links.discard(self)
            self._events.lost(ConnectionLostError("it was cut"))

    async def call(self, call: Callable[[], ResultT], wrote: bool = False) -> ResultT:
        await asyncio.sleep(0)
        if self.over.is_set():
            raise ConnectionLostError("it was cut before")
        result = call()
        if wrote and self.server.replies_to_lose:
            self.server.replies_to_lose.clear()
            self.cut()
        await asyncio.sleep(0)
        if self.over.is_set():
            raise ConnectionLostError("it was cut", maybe_applied=wrote)
        return result

    async def open_session(self, ttl: float) -> tuple[str, float]:
        await self._thawed()
        session = await self.call(lambda: self.server.tree.open_session(ttl))
        return session.id, session.ttl

    async def renew_session(self, session_id: str) -> bool:
        await self._thawed()
        return await self.call(lambda: self.server.tree.renew_session(session_id))

    async def _thawed(self) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in (self.server.thawed, self.over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def end_session(self, session_id: str) -> None:
        await self.call(lambda: self.server.tree.end_session(session_id))

    async def get(self, path: str) -> Node | None:
        return await self.call(lambda: self.server.tree.nodes.get(path))

    async def stat(self, path: str) -> NodeStat | None:
        return await self.call(lambda: self.server.tree.stat(path))

    async def children(self, path: str) -> list[str] | None:
        tree = self.server.tree
        return await self.call(
            lambda: [*tree.children.get(path, ())] if path in tree.nodes else None
        )

    async def entries(self, path: str) -> list[NodeStat]:
        tree = self.server.tree
        return await self.call(lambda: [node.stat for node in tree.watched(path, "children")])

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        tree = self.server.tree

        def call() -> list[NodeStat | None]:
            session = None if session_id is None else tree.live_session(session_id)
            if session_id is not None and session is None:
                raise SessionUnknownError
            edit, stats = Edit(tree), list[NodeStat | None]()
            for index, operation in enumerate(operations):
                try:
                    stats.append(edit.apply(operation, session))
                except BackendError as error:
                    edit.take_back()
                    raise RefusedError(index, error) from error
            edit.commit()
            return stats

        return await self.call(call, wrote=True)

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        (stat,) = await self.apply([entry], session_id)
        assert stat is not None
        others = self.server.tree.children.get(parent(entry.path), ())
        return stat, [*others] == [name(entry.path)]

    def feed(self, path: str, scope: WatchScope, sink: WatchSink) -> "TreeFeed":
        return TreeFeed(self, path, scope, sink)

    async def server_info(self) -> ServerInfo:
        return await self.call(lambda: ServerInfo("tree", "1"))

    async def close(self) -> None:
        self.over.set()
        self.server.links.discard(self)


class TreeFeed:
    """A watcher of the tree."""

    def __init__(self, link: TreeLink, path: str, scope: WatchScope, sink: WatchSink) -> None:
        self.path = path
        self.scope: WatchScope = scope
        self.link = link
        self.sink = sink

    async def begin(self, since: int | None, *, present: bool) -> Followed:
        tree = self.link.server.tree

        def call() -> Followed:
            if since is not None and since > tree.revision:
                raise ahead(since, tree.revision)
            if since is not None and since < tree.compacted:
                raise CompactedError("it is gone", oldest=tree.compacted)
            nodes = list(tree.watched(self.path, self.scope)) if present else None
            if since is not None:
                for event in tree.since(since):
                    if covers(self.path, self.scope, event):
                        self.sink.offer(event)
            tree.add_watcher(self)
            return Followed(tree.revision if since is None else since, nodes)

        try:
            return await self.link.call(call)
        except BaseException:
            self.close()
            raise

    def offer(self, event: NodeEvent) -> None:
        server = self.link.server
        if self.link.over.is_set():
            return
        if server.events_to_lose > 0:
            server.events_to_lose -= 1
            self.sink.broken()
        else:
            self.sink.offer(event)

    def miss(self, revision: int) -> None:
        self.sink.broken()

    def close(self) -> None:
        self.link.server.tree.remove_watcher(self)


class TreeWire:
    """Opens links to one server."""

    guarantees = COORDINATION_GUARANTEES
    limits = COORDINATION_LIMITS
    remembers_names = True

    def __init__(self, endpoints: Sequence[str], options: ServerCoordinationOptions) -> None:
        self.clock: Clock = SystemClock()

    def error(self, exc: Exception) -> BackendError | None:
        return None

    async def open(self, endpoint: str, events: LinkEvents) -> TreeLink:
        await asyncio.sleep(0)
        server = server_of(endpoint)
        if not server.is_up:
            raise ConnectionFailedError("it is down")
        return TreeLink(server, events)

    async def close(self) -> None:
        pass


def _create(
    endpoints: Sequence[str], options: ServerCoordinationOptions
) -> WireCoordination[ServerCoordinationOptions]:
    return WireCoordination(
        "tree",
        endpoints,
        options,
        TreeWire,
        guarantees=COORDINATION_GUARANTEES,
        limits=COORDINATION_LIMITS,
    )


engine: Engine[ServerCoordinationOptions, WireCoordination[ServerCoordinationOptions]] = Engine(
    kind=Kind.COORDINATION,
    name="tree",
    options=ServerCoordinationOptions,
    load=lambda: _create,
    guarantees=COORDINATION_GUARANTEES,
    limits=COORDINATION_LIMITS,
)
