"""One connection to one server."""

from collections.abc import Sequence
from math import ceil
from typing import Final

from asyncbackends.clock import Clock
from asyncbackends.coordination.paths import ROOT
from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.coordination.wire import (
    CoordinationLink,
    SessionUnknownError,
    WatchSink,
)
from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.nodes import Node, NodeStat, WatchScope
from asyncbackends_etcd import requests, responses
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.envelope import session_name
from asyncbackends_etcd.following import EtcdFeed
from asyncbackends_etcd.keys import Keys
from asyncbackends_etcd.known import Known
from asyncbackends_etcd.reading import ROOT_NODE, Reads
from asyncbackends_etcd.watches import Watches
from asyncbackends_etcd.writing import Writes

__all__ = ("EtcdLink",)

PRODUCT: Final = "etcd"


class EtcdLink:
    """See :class:`asyncbackends.coordination.wire.CoordinationLink`."""

    def __init__(
        self, calls: Calls, keys: Keys, known: Known, clock: Clock, patience: float
    ) -> None:
        """Make one.

        :param patience: the seconds for which a server may answer that it cannot renew a session.
        """
        self._calls = calls
        self._keys = keys
        self._known = known
        self._clock = clock
        self._patience = patience
        self._unrenewed: float | None = None
        """Since when renewals have failed."""
        self._reads = Reads(calls, keys)
        self._writes = Writes(self._reads, keys, known, clock)
        self._watches = Watches(calls)

    async def probe(self) -> None:
        """See that the server answers a read that every write before it is seen by."""
        await self._reads.range(self._probe())

    async def is_let_in(self) -> bool:
        """Do so; False: the server wants another token than there is."""
        return await self._calls.is_let_in(requests.RANGE, self._probe())

    def _probe(self) -> bytes:
        start, end = self._keys.below(ROOT)
        return requests.range_of(start, end, limit=1, keys_only=True)

    # Sessions are leases.

    async def open_session(self, ttl: float) -> tuple[str, float]:
        answer = await self._calls.ask(requests.LEASE_GRANT, requests.grant_lease(ceil(ttl)))
        lease, granted = responses.granted_lease(answer)
        return session_name(lease), float(granted)

    async def renew_session(self, session_id: str) -> bool:
        try:
            known = await self._renewed(session_id)
        except ConnectionLostError:
            now = self._clock.monotonic()
            if self._unrenewed is None:
                self._unrenewed = now
            elif now > self._unrenewed + self._patience:
                # It answers, but is cut off from the others: they may renew it.
                self._calls.connection.give_up("the server cannot renew a session")
            raise
        self._unrenewed = None
        return known

    async def _renewed(self, session_id: str) -> bool:
        lease = requests.lease(int(session_id, 16))
        if responses.kept_alive(await self._calls.ask(requests.LEASE_KEEP_ALIVE, lease)) > 0:
            return True
        # A leader that has just started may not have come to the grant yet: after a read it has.
        await self.probe()
        return responses.kept_alive(await self._calls.ask(requests.LEASE_KEEP_ALIVE, lease)) > 0

    async def end_session(self, session_id: str) -> None:
        lease = requests.lease(int(session_id, 16))
        try:
            await self._calls.ask(requests.LEASE_REVOKE, lease, wrote=True)
        except SessionUnknownError:
            return

    # Reading.

    async def get(self, path: str) -> Node | None:
        if path == ROOT:
            return ROOT_NODE
        held = await self._reads.held(path)
        if held is None:
            return None
        self._known.note(held)
        return held.node

    async def stat(self, path: str) -> NodeStat | None:
        node = await self.get(path)
        return None if node is None else node.stat

    async def children(self, path: str) -> list[str] | None:
        return await self._reads.names(path)

    async def entries(self, path: str) -> list[NodeStat]:
        return await self._reads.entries(path)

    # The rest.

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        return await self._writes.apply(
            operations, 0 if session_id is None else int(session_id, 16)
        )

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        return await self._writes.arrive(entry, int(session_id, 16))

    def feed(self, path: str, scope: WatchScope, sink: WatchSink) -> EtcdFeed:
        return EtcdFeed(self._watches, self._reads, self._keys, path, scope, sink)

    async def server_info(self) -> ServerInfo:
        return ServerInfo(
            PRODUCT, responses.server_version(await self._calls.ask(requests.STATUS, b""))
        )

    async def close(self) -> None:
        self._watches.close()
        await self._calls.connection.close()


_: type[CoordinationLink] = EtcdLink
