"""Opens links to etcd."""

import asyncio
import ssl
from collections.abc import Sequence

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.wire import LinkEvents, Wire
from asyncbackends.coordination.wire_service import WireCoordination
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.tls import tls_context
from asyncbackends_etcd.dialing import DEFAULT_PORT, HTTP2, connected
from asyncbackends_etcd.driver_errors import failure
from asyncbackends_etcd.keys import Keys
from asyncbackends_etcd.known import Known
from asyncbackends_etcd.link import EtcdLink
from asyncbackends_etcd.options import GUARANTEES, LIMITS, EtcdCoordinationOptions

__all__ = ("EtcdWire", "create")

LEAST_PATIENCE = 1.0
"""Seconds that a server at least has to show that it is of use."""


class EtcdWire:
    """See :class:`asyncbackends.coordination.wire.Wire`."""

    def __init__(self, endpoints: Sequence[str], options: EtcdCoordinationOptions) -> None:
        self.clock: Clock = SystemClock()
        self._options = options
        self._keys = Keys(options.namespace)
        self._known = Known()
        self._context: ssl.SSLContext | None = None
        self._has_context = False
        # A share of the session's time, so that the next endpoint can still keep it.
        share = min(options.session_ttl / 3, options.link_timeout)
        self._patience = max(LEAST_PATIENCE, share)

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds, whatever the options."""
        return GUARANTEES

    @property
    def limits(self) -> Limits:
        """What it can take."""
        return LIMITS

    def error(self, exc: Exception) -> BackendError | None:
        """Give our error for one of the driver that came through."""
        ours = failure(exc)
        return ours if isinstance(ours, BackendError) else None

    async def open(self, endpoint: str, events: LinkEvents) -> EtcdLink:
        """Open a link to a server that answers a read, which it only does with a leader."""
        if not self._has_context:
            # It reads files.
            loop = asyncio.get_running_loop()
            self._context = await loop.run_in_executor(None, tls_context, self._options)
            if self._context is not None:
                self._context.set_alpn_protocols([HTTP2])
            self._has_context = True

        # How long it may take is the core's, which takes more time from try to try: each login
        # costs the server a tenth of a second, and those that were given up cost it as much.
        return await self._opened(endpoint, events)

    async def _opened(self, endpoint: str, events: LinkEvents) -> EtcdLink:
        def lost(reason: str, error: Exception | None) -> None:
            ours = ConnectionLostError(reason)
            ours.__cause__ = error
            events.lost(ours)

        calls = await connected(endpoint, self._options, self._context, lost)
        calls.refused = events.lost
        link = EtcdLink(calls, self._keys, self._known, self.clock, self._patience)
        try:
            await calls.log_in()
            await link.probe()
        except BaseException:
            await link.close()
            raise
        return link

    async def close(self) -> None:
        """Nothing is left."""


_: type[Wire] = EtcdWire


def create(
    endpoints: Sequence[str], options: EtcdCoordinationOptions
) -> WireCoordination[EtcdCoordinationOptions]:
    """Make a coordination service that is not connected."""
    check_ports(endpoints, DEFAULT_PORT, "etcd")
    return WireCoordination(
        "etcd", endpoints, options, EtcdWire, guarantees=GUARANTEES, limits=LIMITS
    )
