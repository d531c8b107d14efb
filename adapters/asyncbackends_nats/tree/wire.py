"""The way to the tree on NATS servers."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.wire import LinkEvents, Wire
from asyncbackends.coordination.wire_service import WireCoordination
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import BackendError, ConfigurationError
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.tls import tls_context
from asyncbackends_nats.dialing import DEFAULT_PORT, check_login, dial
from asyncbackends_nats.driver_errors import ours
from asyncbackends_nats.options import (
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    NatsCoordinationOptions,
)
from asyncbackends_nats.tree.link import NatsTreeLink
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.store import check_version
from asyncbackends_nats.tree.subjects import Subjects

__all__ = ("NatsTreeWire", "create")

NAME: Final = "asyncbackends coordination"
"""Under this name operators see the links."""
LONGEST_OPERATION: Final = 60.0
LONGEST_LINK: Final = 20.0
"""A silent peer is given up after twice that: with an operation less than names are known."""


class NatsTreeWire:
    """Implements :class:`asyncbackends.coordination.wire.Wire`."""

    remembers_names = False

    def __init__(self, endpoints: Sequence[str], options: NatsCoordinationOptions) -> None:
        _check_times(options)
        self.clock: Clock = SystemClock()
        self._options = options
        self._subjects = Subjects(options.namespace)
        self._memory = Memory()
        self._context: ssl.SSLContext | None = None
        self._replicas = options.replicas

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return _guarantees(self._options, self._replicas)

    @property
    def limits(self) -> Limits:
        return COORDINATION_LIMITS

    def error(self, exc: Exception) -> BackendError | None:
        return ours(exc)

    async def open(self, endpoint: str, events: LinkEvents) -> NatsTreeLink:
        if self._options.tls == "on" and self._context is None:
            loop = asyncio.get_running_loop()
            self._context = await loop.run_in_executor(None, tls_context, self._options)
        links: list[NatsTreeLink] = []

        def lost(error: BackendError) -> None:
            for link in links:
                link.lost(error)

        connection = await dial(endpoint, self._options, self._context, NAME, lost)
        opened = False
        try:
            check_version(connection.version, endpoint)
            link = NatsTreeLink(connection, self._subjects, self._memory, self.clock, events)
            links.append(link)
            await link.begin(self._options.replicas)
            opened = True
        finally:
            if not opened:
                await connection.close()
        self._replicas = link.replicas
        return link

    async def close(self) -> None:
        pass


def _check_times(options: NatsCoordinationOptions) -> None:
    """See that what was read is written, or never, while the server still knows what came between.

    :raises ConfigurationError: it may take longer.
    """
    if options.operation_timeout > LONGEST_OPERATION or options.link_timeout > LONGEST_LINK:
        message = (
            f"coordination on NATS takes an operation_timeout of at most {LONGEST_OPERATION:g} s, "
            f"and a link_timeout of at most {LONGEST_LINK:g} s"
        )
        raise ConfigurationError(message)


def _guarantees(options: NatsCoordinationOptions, replicas: int) -> frozenset[Guarantee]:
    found = COORDINATION_GUARANTEES
    if replicas > 1:
        # A leader that does not know yet that it was replaced answers with what it has.
        found -= {Guarantee.LINEARIZABLE_READS}
    if options.server_syncs_always:
        found |= {Guarantee.SURVIVES_POWER_LOSS}
    return found


def create(
    endpoints: Sequence[str], options: NatsCoordinationOptions
) -> WireCoordination[NatsCoordinationOptions]:
    """Make a coordination service that is not connected yet.

    :raises ConfigurationError: an endpoint is none, or options exclude one another.
    """
    check_ports(endpoints, DEFAULT_PORT, "NATS")
    check_login(options)
    _check_times(options)
    return WireCoordination(
        "nats",
        endpoints,
        options,
        NatsTreeWire,
        guarantees=_guarantees(options, options.replicas),
        limits=COORDINATION_LIMITS,
    )


_: type[Wire] = NatsTreeWire
