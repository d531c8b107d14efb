"""Keeps a backend's session: opens it, renews it, and opens the next one when it is lost."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

import anyio

from asyncbackends.clock import Clock
from asyncbackends.coordination.session import LiveSession, margin
from asyncbackends.coordination.within import Within
from asyncbackends.errors import BackendClosedError, BackendError, ConnectionLostError
from asyncbackends.observability import Seam
from asyncbackends.protocols.coordination import SessionState

__all__ = ("SessionKeeper", "SessionService")

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
PATIENCE: Final = 0.25
"""The part of the time between renewals after which one counts as not answered for now."""
LAST_CALL: Final = 1.0
"""Seconds beyond the grace that the closing of a session may take."""


class SessionService(Protocol):
    """What an engine knows of sessions. Each may raise a BackendError: it was not answered."""

    async def open(self, ttl: float) -> tuple[str, float]:
        """Open a session; give an id that was never used, and the ttl in seconds as granted."""
        ...

    async def renew(self, session_id: str) -> bool:
        """Renew it; False: the service surely does not know it any more."""
        ...

    async def close(self, session_id: str) -> None:
        """End it now, with all that belongs to it; one that is not known is no error."""
        ...


class SessionKeeper:
    """The one task of a backend that keeps its session.

    :meth:`start` opens the first one; then :meth:`run` goes on in a task of the backend's owner,
    until it is cancelled; :meth:`close` comes last. A renewal is sent every third of the granted
    ttl, or more often; while one is not answered, or the link is down, the session is SUSPENDED.
    The session is LOST when the service does not know it, and at its deadline without asking: one
    that the service may still know then is closed there, after the margin that its holders have to
    stop.

    :param ttl: the seconds to ask for.
    :param changed: called at each change of a session's state, while that session is the present
        one.
    :param interval: the seconds between renewals, at most.
    """

    def __init__(
        self,
        service: SessionService,
        ttl: float,
        clock: Clock,
        seam: Seam,
        changed: Callable[[SessionState], None],
        interval: float = inf,
    ) -> None:
        self._service = service
        self._ttl = ttl
        self._clock = clock
        self._seam = seam
        self._on_change = changed
        self._interval = interval
        self._session: LiveSession | None = None
        self._linked = True
        self._closed = False
        self._unknown: str | None = None
        """The id of the session of which the service said that it does not know it."""
        self._to_close: list[str] = []
        self._call: Within | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def session(self) -> LiveSession:
        """The present session, also when it is LOST and the next one is not open yet.

        :raises BackendClosedError: none was opened yet.
        """
        if self._session is None:
            message = "there is no session yet"
            raise BackendClosedError(message)
        return self._session

    async def live(self, seconds: float) -> LiveSession:
        """Wait for a session that is CONNECTED, at most ``seconds``.

        :raises ConnectionLostError: there was none.
        :raises BackendClosedError: the backend was closed meanwhile.
        """
        if not self._closed and self.session.state is SessionState.CONNECTED:
            return self.session
        with Within(self._clock, seconds):
            while not self._closed:
                if self.session.state is SessionState.CONNECTED:
                    return self.session
                self._changed.clear()
                await self._changed.wait()
        if self._closed:
            message = f"the {self._seam.kind.words} is closed"
            raise BackendClosedError(message)
        message = f"there was no live session for {max(0.0, seconds):g} s; nothing was sent"
        raise ConnectionLostError(message)

    def link_lost(self) -> None:
        """Hear that the link is down: nothing is asked until it is back."""
        self._linked = False
        if self._session is not None:
            self._session.suspend()
        self._interrupt()

    def link_restored(self) -> None:
        """Hear that the link is back: renew at once."""
        self._linked = True
        self._wake.set()

    def forgotten(self, session_id: str) -> None:
        """Hear from a call that the service does not know a session."""
        if self._session is not None and self._session.id == session_id:
            self._unknown = session_id
            self._session.lose()

    def abandon(self, session_id: str) -> None:
        """Give a session up: something may be its own of which nobody knows."""
        if self._session is not None and self._session.id == session_id:
            self._session.lose()

    async def start(self) -> None:
        """Open the first session.

        :raises BackendError: as the service did, or the answer took longer than the session.
        """
        if not await self._open():
            message = "the answer to the opening of a session took longer than its ttl"
            raise ConnectionLostError(message)

    async def run(self) -> None:
        """Renew the session, and open the next one whenever it is lost."""
        while True:
            await self._keep(self.session)
            await self._replace(self.session)

    async def close(self, grace: float) -> None:
        """Let the session be LOST, then end it at the service, within ``grace`` + 1 seconds.

        After :meth:`run` has ended. While the link is down nothing is sent, and the service ends
        it by itself.
        """
        self._closed = True
        session = self._session
        if session is not None and session.state is not SessionState.LOST:
            session.lose()
        if session is not None and session.id not in {self._unknown, *self._to_close}:
            self._to_close.append(session.id)
        self._changed.set()
        if self._linked:
            with anyio.move_on_after(grace + LAST_CALL):
                for session_id in self._to_close:
                    # It is not answered: the service ends it by itself.
                    with contextlib.suppress(BackendError):
                        await self._service.close(session_id)

    async def _open(self) -> bool:
        sent = self._clock.monotonic()
        session_id, ttl = await self._service.open(self._ttl)
        session = LiveSession(session_id, ttl, sent, self._clock, self._session_changed)
        if session.state is SessionState.LOST:
            self._to_close.append(session_id)
            return False
        self._session = session
        session.on_lost(self._interrupt)
        self._log(logging.INFO, session, "opened")
        if self._linked:
            session.connect()
        return True

    async def _keep(self, session: LiveSession) -> None:
        """Renew until it is lost."""
        interval = min(session.ttl / 3, self._interval)
        pause: float | None = interval
        backoff = FIRST_PAUSE
        while True:
            await self._rest(pause)
            if session.state is SessionState.LOST:
                return
            if not self._linked:
                pause = None
                continue
            sent = self._clock.monotonic()
            known = await self._renew(session, interval)
            if known is False:
                self.forgotten(session.id)
                continue
            if known:
                session.renewed(sent)
                if self._linked:
                    session.connect()
                await self._close_lost(interval / 2)
            else:
                session.suspend()
            pause = max(0.0, sent + interval - self._clock.monotonic())
            if known:
                backoff = FIRST_PAUSE
            else:
                pause, backoff = min(backoff, pause), min(backoff * 2, LONGEST_PAUSE)

    async def _renew(self, session: LiveSession, seconds: float) -> bool | None:
        """Give what the service answers, None if it does not."""
        known: bool | None = None
        late = self._clock.call_later(seconds * PATIENCE, session.suspend)
        try:
            with Within(self._clock, seconds) as self._call:
                known = await self._service.renew(session.id)
        except BackendError as error:
            self._log(logging.WARNING, session, f"was not renewed: {error}")
        finally:
            self._call = None
            late.cancel()
        return known

    async def _replace(self, lost: LiveSession) -> None:
        """Close a lost session where it is still known, and open the next one."""
        if lost.id != self._unknown:
            self._to_close.append(lost.id)
            await self._clock.sleep(margin(lost.ttl))
        pause = FIRST_PAUSE
        while True:
            if self._linked:
                await self._close_lost(self._ttl / 3)
                if await self._opened():
                    return
            await self._rest(pause if self._linked else None)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _opened(self) -> bool:
        opened = False
        with Within(self._clock, self._ttl) as self._call:
            try:
                opened = await self._open()
            except BackendError as error:
                extra = {"engine": self._seam.engine}
                self._seam.logger.warning("no session could be opened: %s", error, extra=extra)
        self._call = None
        return opened

    async def _close_lost(self, seconds: float) -> None:
        while self._to_close and self._linked:
            closed = False
            with Within(self._clock, seconds) as self._call, contextlib.suppress(BackendError):
                await self._service.close(self._to_close[0])
                closed = True
            self._call = None
            if not closed:
                return
            del self._to_close[0]

    async def _rest(self, seconds: float | None) -> None:
        """Wait so long, or until something happens."""
        timer = None if seconds is None else self._clock.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._wake.clear()

    def _interrupt(self) -> None:
        self._wake.set()
        if self._call is not None:
            self._call.end()

    def _session_changed(self, session: LiveSession) -> None:
        if session is self._session:
            level = logging.INFO if self._closed else logging.WARNING
            connected = session.state is SessionState.CONNECTED
            self._log(logging.INFO if connected else level, session, session.state.value)
            self._changed.set()
            self._on_change(session.state)

    def _log(self, level: int, session: LiveSession, what: str) -> None:
        extra = {"engine": self._seam.engine, "session": session.id}
        self._seam.logger.log(level, "session %s %s", session.id, what, extra=extra)
