"""One connection to a server, as the coordination core uses it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from asyncbackends.clock import Clock
from asyncbackends.coordination.paths import ROOT, name
from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.coordination.wire import CoordinationLink, LinkEvents, WatchSink
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.nodes import Node, NodeStat, WatchScope
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.driver_errors import (
    NO_ANSWERER,
    NO_STREAM,
    TEMPORARY,
    JetStreamError,
)
from asyncbackends_nats.tree.asking import Asking
from asyncbackends_nats.tree.committing import Committing, OvertakenError
from asyncbackends_nats.tree.contests import Contests
from asyncbackends_nats.tree.endings import session_end
from asyncbackends_nats.tree.feeds import NatsFeed
from asyncbackends_nats.tree.looking import Look
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import ENDED_SESSION, SESSION, Record
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.store import is_same, made_stream, read_birth
from asyncbackends_nats.tree.subjects import Subjects
from asyncbackends_nats.tree.writing import Writing

__all__ = ("NatsTreeLink",)

ResultT = TypeVar("ResultT")
ANSWER: Final = 1.0
"""Seconds for an answer; a server without a leader gives none."""
PATIENCE: Final = 3.0
PAUSE: Final = 0.1


class NatsTreeLink:
    """Implements :class:`asyncbackends.coordination.wire.CoordinationLink`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        memory: Memory,
        clock: Clock,
        events: LinkEvents,
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._memory = memory
        self._clock = clock
        self._events = events
        self._asking = Asking(connection)
        self._committing = Committing(self._asking, subjects.conditions, connection.max_payload)
        self._feeds: dict[NatsFeed, None] = {}
        self._is_lost = False
        self.replicas = 1
        """So many servers keep the stream."""
        self._birth = 0

    async def begin(self, replicas: int) -> None:
        """Make or find the stream, for which its servers may have to agree on a leader first."""
        known = self._memory.replicas
        if known is None or not await self._found(known):
            self._use(await self._patiently(partial(self._made, replicas)))
            self._birth = await self._patiently(
                lambda: read_birth(self._reading, self._committing, self._subjects)
            )
        self._memory.replicas = self.replicas
        # What another life of the stream had is no hint for this one.
        self._memory.forget_nodes()

    async def _made(self, replicas: int) -> int:
        return await made_stream(self._asking, self._subjects, replicas)

    async def _found(self, replicas: int) -> bool:
        """See that the stream is there as it was: its own leader says so, and needs no other."""
        self._use(replicas)
        try:
            record = await self._patiently(lambda: self._reading.last(self._subjects.birth, None))
        except JetStreamError as error:
            if error.err_code != NO_STREAM:
                raise
            return False
        self._birth = 0 if record is None else record.sequence
        return record is not None

    async def _patiently(self, ask: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Ask, and again while nobody leads; then another server may know more."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while True:
            try:
                async with asyncio.timeout(ANSWER):
                    return await ask()
            except TimeoutError as error:
                if loop.time() > end:
                    raise ConnectionLostError("nobody leads the stream for now") from error
            except JetStreamError as error:
                # Without a stream nobody answers either, and who makes one asks somebody else.
                if error.err_code not in TEMPORARY or loop.time() > end:
                    raise
                if error.err_code == NO_ANSWERER and self.replicas == 1:
                    raise JetStreamError(404, NO_STREAM, error.description) from error
            await asyncio.sleep(PAUSE)

    def _use(self, replicas: int) -> None:
        self.replicas = replicas
        self._reading = Reading(self._asking, self._subjects, self._leave_end, direct=replicas == 1)
        self._sessions = Sessions(
            self._committing, self._reading, self._subjects, self._memory, self._clock
        )
        self._writing = Writing(
            self._committing,
            self._reading,
            self._sessions,
            self._subjects,
            self._memory,
            self._clock,
        )
        self._contests = Contests(
            self._reading, self._writing, self._sessions, self._subjects, self._memory
        )

    async def _leave_end(self, session_id: str) -> Record | None:
        """Have it stored that a session has ended; None: there is something of it."""
        try:
            sequence = await self._committing.insist(session_end(session_id, self._subjects))
        except OvertakenError:
            return None
        return Record(self._subjects.session(session_id), sequence, ENDED_SESSION)

    def lost(self, error: BackendError) -> None:
        """Hear that the connection is over."""
        self._asking.lost()
        for feed in [*self._feeds]:
            feed.link_lost()
        if not self._is_lost:
            self._is_lost = True
            self._events.lost(error)

    async def _used(self, work: Awaitable[ResultT]) -> ResultT:
        """Let a call fail as it does, and see whether the stream is gone where that may be why."""
        try:
            return await work
        except (ConnectionLostError, JetStreamError) as error:
            code = error.err_code if isinstance(error, JetStreamError) else NO_ANSWERER
            if not self._asking.is_over and code in {NO_ANSWERER, NO_STREAM}:
                await self._check_stream()
            raise

    async def _check_stream(self) -> None:
        """Give the link up where the stream is not the one that it was opened on."""
        if not self._is_lost and not await is_same(self._reading, self._subjects, self._birth):
            message = "the stream was deleted, purged or made anew"
            self.lost(ConnectionLostError(message))

    # Sessions.

    async def open_session(self, ttl: float) -> tuple[str, float]:
        return await self._used(self._sessions.open(ttl))

    async def renew_session(self, session_id: str) -> bool:
        known = await self._used(self._sessions.renew(session_id))
        if not known:
            # What took its message away may have taken all.
            await self._check_stream()
        return known

    async def end_session(self, session_id: str) -> None:
        await self._used(self._sessions.end(session_id))

    # Reading.

    async def get(self, path: str) -> Node | None:
        if path == ROOT:
            return Node(b"", await self._root())
        record = await self._used(self._reading.living(path))
        return None if record is None else record.node

    async def stat(self, path: str) -> NodeStat | None:
        if path == ROOT:
            return await self._root()
        record = await self._used(self._reading.living(path))
        if record is None:
            self._memory.forget(path)
            return None
        self._memory.learn(record)
        return record.stat

    async def _root(self) -> NodeStat:
        await self._used(self._reading.last(self._subjects.birth, None))
        return Record("", 0, "n", ROOT).stat

    async def children(self, path: str) -> list[str] | None:
        look = await self._used(self._listed(path))
        if path != ROOT and path not in look.nodes:
            return None
        return [name(one) for one in look.nodes if one != path]

    async def entries(self, path: str) -> list[NodeStat]:
        return await self._used(self._contests.entries(path))

    async def _listed(self, path: str) -> Look:
        filters = [*self._subjects.children(path)]
        if path != ROOT:
            filters.append(self._subjects.node(path))
        records = await self._reading.many(filters)
        owners = {one.owner for one in records if one.is_node and one.owner is not None}
        ended = await self._reading.ended_or_not(owners)
        alive = {owner: one.sequence for owner, one in ended.items() if one.sign == SESSION}
        look = Look(self._subjects, records, alive)
        self._sessions.sweep(look.dead, ended)
        if path in look.nodes:
            self._memory.learn(look.nodes[path])
        return look

    # Writing.

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        return await self._used(self._writing.apply(operations, session_id))

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        """See :class:`asyncbackends.coordination.wire.CoordinationLink`."""
        return await self._used(self._contests.arrive(entry, session_id))

    # Watching and the rest.

    def feed(self, path: str, scope: WatchScope, sink: WatchSink) -> NatsFeed:
        feed = NatsFeed(
            self._connection,
            self._asking,
            self._reading,
            self._sessions,
            self._subjects,
            path,
            scope,
            sink,
            self._feed_left,
        )
        self._feeds[feed] = None
        return feed

    def _feed_left(self, feed: NatsFeed) -> None:
        self._feeds.pop(feed, None)

    async def server_info(self) -> ServerInfo:
        await self._asking.api("INFO")
        return ServerInfo("NATS", self._connection.version)

    async def close(self) -> None:
        self._is_lost = True
        for feed in [*self._feeds]:
            feed.close()
        self._asking.flush()
        self._asking.lost()
        await self._connection.close()


_: type[CoordinationLink] = NatsTreeLink
