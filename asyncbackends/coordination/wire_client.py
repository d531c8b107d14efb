"""One client of a service over a wire: its link, its session, its watches, and their ends."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Generic, TypeVar

from asyncbackends.backoff import between_links
from asyncbackends.coercion import changed_options
from asyncbackends.coordination.contending import EntryNames
from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.wire import CoordinationLink, Wire
from asyncbackends.coordination.wire_access import Access
from asyncbackends.coordination.wire_contending import Entries
from asyncbackends.coordination.wire_sessions import WireSessions
from asyncbackends.coordination.wire_watching import WireWatch
from asyncbackends.coordination.wire_withdrawing import Withdrawals
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.linking import Generation, Links
from asyncbackends.mapping import DriverErrors
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.options import ServerCoordinationOptions
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState, Kind
from asyncbackends.protocols.coordination import SessionState

__all__ = ("WireClient",)

FIRST_PATIENCE: Final = 1.0
"""Seconds for the first try to open a link again: a session does not wait for connect_timeout."""

OptionsT = TypeVar("OptionsT", bound=ServerCoordinationOptions)


class WireClient(Generic[OptionsT]):
    """Opens and closes what a coordination service over a wire consists of."""

    links: Links[CoordinationLink]
    access: Access
    entries: Entries
    withdrawals: Withdrawals

    def __init__(
        self,
        engine: str,
        endpoints: Sequence[str],
        options: OptionsT,
        make_wire: Callable[[Sequence[str], OptionsT], Wire],
    ) -> None:
        self.options = options
        self.seam = Seam(Kind.COORDINATION, engine, self._error)
        self.errors = DriverErrors(self._error)
        self.states = LinkStates(self.seam)
        self.watches: set[WireWatch] = set()
        self._endpoints = tuple(endpoints)
        self._make_wire = make_wire
        self._owner = Owner(f"coordination service ({engine}, {', '.join(endpoints)})")
        self.wire: Wire | None = None
        """What opens links, once it is made."""
        self._keeper: SessionKeeper | None = None
        self._endpoint: str | None = None

    def _error(self, exc: Exception) -> BackendError | None:
        return None if self.wire is None else self.wire.error(exc)

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        return self.options.operation_timeout

    @property
    def session(self) -> LiveSession:
        """The present session.

        :raises BackendClosedError: the backend is not open.
        """
        self.check()
        assert self._keeper is not None  # noqa: S101  # an owner that is open has made it
        return self._keeper.session

    def check(self) -> None:
        """Raise BackendClosedError or ForkedError unless the backend is open here."""
        self._owner.check()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run something in the owner's group; False when that is closed."""
        if self._owner.group is None:
            return False
        self._owner.group.start_soon(work)
        return True

    # The two ends.

    async def connect(self, **params: Any) -> None:
        """Make first contact and open a session."""
        if self._owner.started:
            message = "the coordination service was connected already; make another one"
            raise ConfigurationError(message)
        self.options = changed_options(self.options, params)
        await self._owner.start(self._open, self._close)

    async def _open(self) -> None:
        options = self.options
        self.wire = wire = self._make_wire(self._endpoints, options)
        self.links = Links(
            self._endpoints,
            lambda endpoint, generation: wire.open(endpoint, _Events(self, generation)),
            _is_up,
            self._down,
            self._link_changed,
            self.errors,
            what="coordination service",
            connect_timeout=options.connect_timeout,
            backoff=between_links(options),
            clock=wire.clock,
            logger=self.seam.logger,
            first_patience=FIRST_PATIENCE,
        )
        interval = min(options.session_ttl / 3, options.link_timeout)
        keeper = SessionKeeper(
            WireSessions(self.links, self.errors, wire.clock, interval),
            options.session_ttl,
            wire.clock,
            self.seam,
            self._session_changed,
            interval,
        )
        self.access = Access(self.links, keeper, self.errors, options.operation_timeout, self.check)
        names = EntryNames(again=wire.remembers_names)
        self.withdrawals = Withdrawals(self.access, keeper, self.start, names)
        self.entries = Entries(self.access, self.withdrawals, names)
        with self.seam("connect"):
            self.states.set(ConnectionState.CONNECTING)
            end = asyncio.get_running_loop().time() + options.connect_timeout
            await self.links.first()
            self._keeper = keeper
            await self._first_session(keeper, end)
        self.start(self.entries.run)
        self.start(keeper.run)
        self.start(self.links.run)

    async def _first_session(self, keeper: SessionKeeper, end: float) -> None:
        try:
            async with asyncio.timeout_at(end):
                await keeper.start()
        except (ConnectionLostError, OperationTimeoutError) as error:
            raise ConnectionFailedError(str(error)) from error
        except TimeoutError as error:
            message = f"no session was opened within {self.options.connect_timeout:g} s"
            raise ConnectionFailedError(message) from error

    async def shutdown(self, grace: float) -> None:
        """End the session and the link."""
        await self._owner.stop(grace)

    async def _close(self, grace: float) -> None:
        async with AsyncExitStack() as stack:
            # Whatever fails or is cut short, the rest happens.
            stack.callback(self.states.set, ConnectionState.CLOSED)
            if self.wire is None:
                return
            stack.push_async_callback(self.wire.close)
            stack.push_async_callback(self.links.close)
            for watch in list(self.watches):
                watch.wake()
            if self._keeper is not None:
                await self._keeper.close(grace)

    # What the links and the keeper tell.

    def _down(self) -> None:
        """See the change of the state."""

    def _link_changed(self, endpoint: str | None, error: BackendError | None) -> None:
        if error is not None:
            self.states.set(ConnectionState.DISCONNECTED, self._endpoint, str(error))
            if self._keeper is not None:
                self._keeper.link_lost()
            for watch in list(self.watches):
                watch.link_lost()
            return
        self._endpoint = endpoint
        self.states.set(ConnectionState.CONNECTED, endpoint)
        if self._keeper is not None:
            self._keeper.link_restored()
        link = self.links.link
        for watch in list(self.watches):
            if link is not None:
                watch.link_restored(link)

    def session_unknown(self, session_id: str) -> None:
        """Hear of a session that the service does not know any more."""
        if self._keeper is not None:
            self._keeper.forgotten(session_id)

    def _session_changed(self, state: SessionState) -> None:
        """Watches do not go with the session: what ends with it is told as what it is."""


async def _is_up(link: CoordinationLink) -> None:
    """Nothing has to be made again before a link is used."""


class _Events:
    """What one link tells: see :class:`asyncbackends.coordination.wire.LinkEvents`."""

    def __init__(self, client: WireClient[Any], generation: Generation) -> None:
        self.lost = generation.lost
        self.session_unknown = client.session_unknown
