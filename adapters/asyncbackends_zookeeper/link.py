"""One link to a ZooKeeper server: sessions, reads, writes and watches over one connection."""

import ssl
from collections.abc import Callable, Sequence

import msgspec

from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.coordination.wire import CoordinationLink, Feed, WatchSink
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.nodes import NodeStat, WatchScope
from asyncbackends_zookeeper.applying import Applying
from asyncbackends_zookeeper.codes import GONE, Code, Op, ours
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.dialing import said_version
from asyncbackends_zookeeper.feeds import ZooKeeperFeed
from asyncbackends_zookeeper.hub import WatchHub
from asyncbackends_zookeeper.jute import session_text, text
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading

__all__ = ("KeptSession", "ZooKeeperLink")

UNSAID = "unknown (the server does not answer srvr, see its 4lw.commands.whitelist)"


class KeptSession(msgspec.Struct):
    """A session at the servers, which links hand on to one another."""

    number: int
    password: bytes
    ttl: float
    given: bool = False
    """The core has it."""
    over: bool = False
    """The servers have ended it."""

    @property
    def id(self) -> str:
        """As servers show it."""
        return session_text(self.number)


class ZooKeeperLink:
    """Implements :class:`asyncbackends.coordination.wire.CoordinationLink`."""

    def __init__(
        self,
        endpoint: str,
        context: ssl.SSLContext | None,
        connection: Connection,
        session: KeptSession,
        names: Names,
        acl: bytes,
        *,
        alone: bool,
        lost: Callable[[BackendError], None],
    ) -> None:
        self._endpoint = endpoint
        self._context = context
        self._connection = connection
        self._session = session
        self._names = names
        self._alone = alone
        self._lost = lost
        self._version: str | None = None
        self._reading = Reading(connection, names, alone=alone)
        self._applying = Applying(connection, names, self._reading, acl)
        self._hub = WatchHub(connection, names, self._reading)
        self.get = self._reading.node
        self.stat = self._reading.stat
        self.children = self._reading.children
        self.entries = self._reading.entries
        connection.on_lost = self._is_lost

    def _is_lost(self, error: BackendError) -> None:
        # A server ends the connection whose session was ended: whoever uses it next is told.
        if not self._session.over:
            self._lost(error)

    def _check(self) -> None:
        if self._session.over:
            error = ConnectionLostError("the session of this link was ended")
            self._connection.lose(error)
            self._lost(error)
            raise error

    async def open_session(self, ttl: float) -> tuple[str, float]:
        self._check()
        if self._session.given:
            # The core is done with it, and a connection has no other one.
            await self.end_session(self._session.id)
            self._check()
        self._session.given = True
        return self._session.id, self._session.ttl

    async def renew_session(self, session_id: str) -> bool:
        if session_id != self._session.id or self._session.over:
            return False
        code = await self._connection.ping()
        if code == Code.OK and not self._alone:
            # A follower answers pings also while the leader, who ends sessions, hears none of them.
            code, _ = await self._connection.ask(Op.SYNC, text(self._names.root))
        if code not in {Code.OK, *GONE}:
            raise ours(code, "renewing a session")
        return code == Code.OK

    async def end_session(self, session_id: str) -> None:
        if session_id != self._session.id or self._session.over:
            return
        code, _ = await self._connection.ask(Op.CLOSE, b"")
        if code not in {Code.OK, *GONE}:
            raise ours(code, "ending a session")
        self._session.over = True

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        self._check_session(session_id)
        return await self._applying.apply(operations)

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        self._check_session(session_id)
        return await self._applying.arrive(entry)

    def _check_session(self, session_id: str | None) -> None:
        self._check()
        if session_id is not None and session_id != self._session.id:
            raise ConnectionLostError("this link is not that of the session")

    def feed(self, path: str, scope: WatchScope, sink: WatchSink) -> Feed:
        return ZooKeeperFeed(self._hub, self._reading, self._names, path, scope, sink)

    async def server_info(self) -> ServerInfo:
        await self._reading.znode("/")
        if self._version is None:
            self._version = await said_version(self._endpoint, self._context)
        return ServerInfo("ZooKeeper", self._version or UNSAID)

    async def close(self) -> None:
        await self._connection.close()
        await self._applying.close()


_: type[CoordinationLink] = ZooKeeperLink
