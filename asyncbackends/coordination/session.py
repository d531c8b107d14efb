"""A session as its client sees it: alive until a deadline on the client's own clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from asyncbackends.clock import Clock, Timer
from asyncbackends.observability import StateWatch
from asyncbackends.protocols.coordination import SessionState

__all__ = ("LiveSession", "margin")

LOOK_AGAIN: Final = 1.0
"""While a machine sleeps its CLOCK_BOOTTIME goes on, but the event loop's timers stand still."""


def margin(ttl: float) -> float:
    """Give the seconds by which a client is more careful than the service."""
    return max(0.2, ttl / 10)


class LiveSession:
    """Implements :class:`asyncbackends.protocols.coordination.Session`.

    Its keeper says :meth:`renewed`, :meth:`connect`, :meth:`suspend` and :meth:`lose`; at the
    deadline it is LOST by itself.

    :param sent: when the request that opened it was sent, on ``clock``.
    :param changed: called after every change of the state, after those of :meth:`on_lost`.
    """

    def __init__(
        self,
        session_id: str,
        ttl: float,
        sent: float,
        clock: Clock,
        changed: Callable[["LiveSession"], None],
    ) -> None:
        self._id = session_id
        self._ttl = ttl
        self._clock = clock
        self._deadline = sent + ttl - margin(ttl)
        self._state = SessionState.SUSPENDED
        self._changed = changed
        self._lost = asyncio.Event()
        self._calls: dict[object, Callable[[], None]] = {}
        self._next_state: asyncio.Event | None = None
        self._timer: Timer | None = None
        self._watch_deadline()

    @property
    def id(self) -> str:
        """The id that the service gave."""
        return self._id

    @property
    def ttl(self) -> float:
        """The seconds that the service granted."""
        return self._ttl

    @property
    def state(self) -> SessionState:
        """How it stands now."""
        self._look()
        return self._state

    @property
    def lost(self) -> asyncio.Event:
        """Set when it is LOST."""
        self._look()
        return self._lost

    def deadline(self) -> float:
        """Give when it will be LOST without another renewal."""
        return self._deadline

    def remaining(self) -> float:
        """Give the seconds until the deadline."""
        if self._state is SessionState.LOST:
            return 0.0
        return max(0.0, self._deadline - self._clock.monotonic())

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[SessionState]]:
        """Watch the state."""
        return StateWatch(
            lambda: self.state, self.next_state, lambda state: state is SessionState.LOST
        )

    def on_lost(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called at the moment it is LOST; give what takes that back."""
        if self.state is SessionState.LOST:
            call()
            return _nothing
        key = object()
        self._calls[key] = call
        return partial(self._forget, key)

    def _forget(self, key: object) -> None:
        self._calls.pop(key, None)

    def renewed(self, sent: float) -> None:
        """Hear that the renewal that was sent at ``sent`` was answered; too late is too late."""
        if self.state is not SessionState.LOST:
            self._deadline = max(self._deadline, sent + self._ttl - margin(self._ttl))

    def connect(self) -> None:
        """Be CONNECTED, unless it is LOST."""
        self._go_on(SessionState.CONNECTED)

    def suspend(self) -> None:
        """Be SUSPENDED, unless it is LOST."""
        self._go_on(SessionState.SUSPENDED)

    def _go_on(self, state: SessionState) -> None:
        if self.state not in {state, SessionState.LOST}:
            self._set(state)
            self._changed(self)

    def lose(self) -> None:
        """Be LOST, for good: whoever asked to be called is called, before anything else runs."""
        if self._state is SessionState.LOST:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._set(SessionState.LOST)
        self._lost.set()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            _call(call)
        self._changed(self)

    def _set(self, state: SessionState) -> None:
        self._state = state
        if self._next_state is not None:
            self._next_state.set()
            self._next_state = None

    async def next_state(self, seen: SessionState) -> SessionState:
        """Wait until the state is another one than ``seen``."""
        while self.state is seen:
            if self._next_state is None:
                self._next_state = asyncio.Event()
            await self._next_state.wait()
        return self.state

    def _look(self) -> None:
        # A loop that was held up asks before the timer is called.
        if self._state is not SessionState.LOST and self._clock.monotonic() >= self._deadline:
            self.lose()

    def _watch_deadline(self) -> None:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            self.lose()
        else:
            # The deadline moves with every renewal; the timer finds out when it is called.
            self._timer = self._clock.call_later(min(left, LOOK_AGAIN), self._watch_deadline)


def _nothing() -> None:
    pass


def _call(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # as for any callback of the loop: the others must be called
        context = {"message": "a callback of on_lost failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
