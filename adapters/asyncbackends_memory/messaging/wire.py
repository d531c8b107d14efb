"""The way to the server in this process."""

import asyncio
from collections.abc import Sequence
from typing import Final

from asyncbackends.broker.wire import LinkEvents, PublishingEvents, Wire
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.clock import Clock
from asyncbackends.errors import BackendError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends_memory.messaging.consuming import MemoryConsumingLink
from asyncbackends_memory.messaging.faults import broker_faults
from asyncbackends_memory.messaging.publishing import MemoryPublishingLink
from asyncbackends_memory.messaging.server import Server
from asyncbackends_memory.options import BROKER_GUARANTEES, MemoryBrokerOptions
from asyncbackends_memory.sharing import Sharing, the_one_name

__all__ = ("MemoryWire", "create")

_servers: Final = Sharing(lambda name: Server(name, broker_faults(name)), Server.drop)


class MemoryWire:
    """Implements :class:`asyncbackends.broker.wire.Wire`.

    The server is there until :meth:`close`, links or not.
    """

    def __init__(self, endpoints: Sequence[str], options: MemoryBrokerOptions) -> None:
        self._server, self._leave = _servers.enter(endpoints[0], options.namespace)

    @property
    def clock(self) -> Clock:
        return self._server.clock

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return BROKER_GUARANTEES

    def error(self, exc: Exception) -> BackendError | None:
        return None

    async def open_publishing(
        self, endpoint: str, events: PublishingEvents
    ) -> MemoryPublishingLink:
        return MemoryPublishingLink(await self._dial("open_publishing"), events)

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> MemoryConsumingLink:
        return MemoryConsumingLink(await self._dial("open_consuming"), events)

    async def _dial(self, operation: str) -> Server:
        server = self._server
        if server.faults.pause > 0:
            await server.clock.sleep(server.faults.pause)
        else:
            await asyncio.sleep(0)
        server.faults.dialed(operation)
        return server

    async def close(self) -> None:
        self._leave()


def create(
    endpoints: Sequence[str], options: MemoryBrokerOptions
) -> WireBroker[MemoryBrokerOptions]:
    """Make a message broker that is not connected yet.

    :raises ConfigurationError: there is more than one endpoint.
    """
    name = the_one_name(endpoints)
    return WireBroker("memory", [name], options, MemoryWire, guarantees=BROKER_GUARANTEES)


_: type[Wire] = MemoryWire
