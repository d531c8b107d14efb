"""The way to RabbitMQ."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

from asyncbackends.broker.wire import LinkEvents, PublishingEvents, Wire
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.clock import Clock, SystemClock
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import BackendError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.tls import tls_context
from asyncbackends_rabbitmq import driver_errors
from asyncbackends_rabbitmq.consuming import RabbitMqConsumingLink
from asyncbackends_rabbitmq.counts import Counts
from asyncbackends_rabbitmq.dialing import PORT, dial
from asyncbackends_rabbitmq.left_behind import LeftBehind
from asyncbackends_rabbitmq.line import Deaf, Line
from asyncbackends_rabbitmq.names import Names
from asyncbackends_rabbitmq.options import RABBITMQ_GUARANTEES, RabbitMqBrokerOptions
from asyncbackends_rabbitmq.publishing import RabbitMqPublishingLink
from asyncbackends_rabbitmq.queue_arguments import Transience

__all__ = ("RabbitMqWire", "create")

PUBLISHING: Final = "asyncbackends publishing"
CONSUMING: Final = "asyncbackends consuming"
DECLARING: Final = "asyncbackends declaring"


class RabbitMqWire:
    """Implements :class:`asyncbackends.broker.wire.Wire`."""

    def __init__(self, endpoints: Sequence[str], options: RabbitMqBrokerOptions) -> None:
        self._options = options
        self._names = Names(options.namespace)
        self._clock = SystemClock()
        self._counts = Counts()
        self._left_behind = LeftBehind(self._clock, options.operation_timeout)
        self._transience = Transience()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return _guarantees(self._options)

    def error(self, exc: Exception) -> BackendError | None:
        return driver_errors.ours(exc, self._names)

    async def open_publishing(
        self, endpoint: str, events: PublishingEvents
    ) -> RabbitMqPublishingLink:
        link = RabbitMqPublishingLink(self._names, self._clock, events)
        opened = await dial(endpoint, self._options, await self._context(), PUBLISHING, link)
        try:
            await link.open(opened.line)
        except BaseException:
            await opened.line.close()
            raise
        return link

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> RabbitMqConsumingLink:
        link = RabbitMqConsumingLink(
            self._names,
            self._clock,
            self._counts,
            self._left_behind,
            self._transience,
            events,
            to_disk=self._options.durability == "disk",
        )
        context = await self._context()
        opened = await dial(endpoint, self._options, context, CONSUMING, link)

        async def connect() -> Line:
            return (await dial(endpoint, self._options, context, DECLARING, Deaf())).line

        link.open(opened.line, opened.server, connect)
        return link

    async def _context(self) -> ssl.SSLContext | None:
        if self._options.tls == "off":
            return None
        # Files are read.
        return await asyncio.get_running_loop().run_in_executor(None, tls_context, self._options)

    async def close(self) -> None:
        """There is nothing that links share with a broker."""


def _guarantees(options: RabbitMqBrokerOptions) -> frozenset[Guarantee]:
    if options.durability == "disk":
        return RABBITMQ_GUARANTEES | {Guarantee.SURVIVES_POWER_LOSS}
    return RABBITMQ_GUARANTEES


def create(
    endpoints: Sequence[str], options: RabbitMqBrokerOptions
) -> WireBroker[RabbitMqBrokerOptions]:
    """Make a message broker that is not connected yet.

    :raises ConfigurationError: an endpoint is none.
    """
    check_ports(endpoints, PORT, "RabbitMQ")
    return WireBroker("rabbitmq", endpoints, options, RabbitMqWire, guarantees=_guarantees(options))


_: type[Wire] = RabbitMqWire
