"""The way to NATS servers."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from asyncbackends.broker.wire import LinkEvents, PublishingEvents, Wire
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.clock import Clock, SystemClock
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import BackendError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.tls import tls_context
from asyncbackends_nats.consuming import NatsConsumingLink
from asyncbackends_nats.declaring import Declaring
from asyncbackends_nats.deleting import Deleting
from asyncbackends_nats.dialing import DEFAULT_PORT, Connection, check_login, dial
from asyncbackends_nats.driver_errors import ours
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.memory import Memory
from asyncbackends_nats.names import Names
from asyncbackends_nats.options import BROKER_GUARANTEES, NatsBrokerOptions
from asyncbackends_nats.publishing import NatsPublishingLink
from asyncbackends_nats.register import Register

__all__ = ("NatsWire", "create")

PUBLISHING: Final = "asyncbackends publishing"
CONSUMING: Final = "asyncbackends consuming"
"""Under these names operators see the links."""


class NatsWire:
    """Implements :class:`asyncbackends.broker.wire.Wire`."""

    def __init__(self, endpoints: Sequence[str], options: NatsBrokerOptions) -> None:
        self.clock: Clock = SystemClock()
        self._options = options
        self._names = Names(options.namespace)
        self._memory = Memory()
        self._context: ssl.SSLContext | None = None

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return _guarantees(self._options)

    def error(self, exc: Exception) -> BackendError | None:
        return ours(exc)

    async def open_publishing(self, endpoint: str, events: PublishingEvents) -> NatsPublishingLink:
        connection = await self._dial(endpoint, PUBLISHING, events.lost)
        exchanges = Exchanges(connection.requests, self._names, self._options.replicas)
        return NatsPublishingLink(connection, events, exchanges, self.clock)

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> NatsConsumingLink:
        links: list[NatsConsumingLink] = []

        def lost(error: BackendError) -> None:
            for link in links:
                link.stop()
            events.lost(error)

        connection = await self._dial(endpoint, CONSUMING, lost)
        replicas = self._options.replicas
        exchanges = Exchanges(connection.requests, self._names, replicas)
        register = Register(connection.requests, self._names, replicas)
        link = NatsConsumingLink(
            connection,
            exchanges,
            Declaring(connection.requests, exchanges, register, self._memory),
            Deleting(connection.requests, exchanges, register),
            self._memory,
            self.clock,
            self._options.operation_timeout,
        )
        links.append(link)
        return link

    async def _dial(
        self, endpoint: str, name: str, lost: Callable[[BackendError], None]
    ) -> Connection:
        if self._options.tls == "on" and self._context is None:
            loop = asyncio.get_running_loop()
            self._context = await loop.run_in_executor(None, tls_context, self._options)
        return await dial(endpoint, self._options, self._context, name, lost)

    async def close(self) -> None:
        pass


def _guarantees(options: NatsBrokerOptions) -> frozenset[Guarantee]:
    found = BROKER_GUARANTEES
    if options.replicas > 1:
        # What a leader takes along when it dies is sent again after what the next one has taken.
        found -= {Guarantee.ORDERED_PER_PUBLISHER}
    # Only the operator knows whether the server's sync_interval is `always`: it tells no client.
    if options.durability == "disk":
        found |= {Guarantee.SURVIVES_POWER_LOSS}
    return found


def create(endpoints: Sequence[str], options: NatsBrokerOptions) -> WireBroker[NatsBrokerOptions]:
    """Make a message broker that is not connected yet.

    :raises ConfigurationError: an endpoint is none, or options exclude one another.
    """
    check_ports(endpoints, DEFAULT_PORT, "NATS")
    check_login(options)
    guarantees = _guarantees(options)
    return WireBroker("nats", endpoints, options, NatsWire, guarantees=guarantees)


_: type[Wire] = NatsWire
