"""Opens links to etcd."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.wire import LinkEvents, Wire
from asyncbackends.coordination.wire_service import WireCoordination
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import BackendError, ConnectionFailedError, ConnectionLostError
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.tls import tls_context
from asyncbackends_etcd.account import Account
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.dialing import DEFAULT_PORT, HTTP2, connected
from asyncbackends_etcd.driver_errors import failure
from asyncbackends_etcd.keys import Keys
from asyncbackends_etcd.known import Known
from asyncbackends_etcd.link import EtcdLink
from asyncbackends_etcd.options import GUARANTEES, LIMITS, EtcdCoordinationOptions

__all__ = ("EtcdWire", "create")

ResultT = TypeVar("ResultT")

LEAST_PATIENCE: Final = 1.0
"""Seconds that a server at least has to show that it is of use."""


class EtcdWire:
    """See :class:`asyncbackends.coordination.wire.Wire`."""

    # A range is looked for in an index that keeps keys that are gone until it is compacted.
    remembers_names = True

    def __init__(self, endpoints: Sequence[str], options: EtcdCoordinationOptions) -> None:
        self.clock: Clock = SystemClock()
        self._options = options
        self._keys = Keys(options.namespace)
        self._known = Known()
        self._context: ssl.SSLContext | None = None
        self._has_context = False
        self._has_linked = False
        # With a share of the session's time, so that the next endpoint can still keep it.
        share = min(options.session_ttl / 3, options.link_timeout)
        self._share = max(LEAST_PATIENCE, share)
        self._login_patience = options.connect_timeout
        self._account = Account(options.username, options.password)

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

        def lost(reason: str, error: Exception | None) -> None:
            ours = ConnectionLostError(reason)
            ours.__cause__ = error
            events.lost(ours)

        # At first there is no session to keep, and whoever asks sees to each endpoint's time.
        patience = self._share if self._has_linked else self._options.connect_timeout
        dialed = connected(
            endpoint,
            self._options,
            self._context,
            self._account,
            lost,
            is_first=not self._has_linked,
        )
        calls = await _in_time(endpoint, patience, dialed)
        calls.refused = events.lost
        link = EtcdLink(calls, self._keys, self._known, self.clock, self._share)
        try:
            if not await _in_time(endpoint, patience, link.is_let_in()):
                await self._log_in(endpoint, calls)
                await _in_time(endpoint, patience, link.probe())
        except BaseException:
            await link.close()
            raise
        self._has_linked = True
        self._login_patience = self._share
        return link

    async def _log_in(self, endpoint: str, calls: Calls) -> None:
        """Log in, with more patience each time: a server works on also for who has given up.

        When many come at once, as after its restart, they would be in their own way for ever.
        """
        seconds = self._login_patience
        self._login_patience = min(seconds * 2, self._options.connect_timeout)
        # With chance, so that not all who gave up come again at once.
        chance = random.uniform(1.0, 1.5)  # noqa: S311  # spreads load, hides nothing
        await _in_time(endpoint, seconds * chance, calls.renew(calls.token))

    async def close(self) -> None:
        """Nothing is left."""


_: type[Wire] = EtcdWire


async def _in_time(endpoint: str, seconds: float, call: Awaitable[ResultT]) -> ResultT:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        if isinstance(error, BackendError):
            raise
        message = f"{endpoint} did not answer within {seconds:.3g} s"
        raise ConnectionFailedError(message) from error


def create(
    endpoints: Sequence[str], options: EtcdCoordinationOptions
) -> WireCoordination[EtcdCoordinationOptions]:
    """Make a coordination service that is not connected."""
    check_ports(endpoints, DEFAULT_PORT, "etcd")
    return WireCoordination(
        "etcd", endpoints, options, EtcdWire, guarantees=GUARANTEES, limits=LIMITS
    )
