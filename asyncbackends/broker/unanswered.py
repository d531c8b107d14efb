"""Gives up a link on which a message stays without an answer, whatever else is answered on it."""

from collections.abc import Callable

from asyncbackends.broker.outbox import Outbox
from asyncbackends.clock import Clock, Timer
from asyncbackends.errors import BackendError, ConnectionLostError

__all__ = ("AnswerWatch",)


class AnswerWatch:
    """Looks at the oldest message of a link once in so many seconds, which must not be the same.

    A queue that is deleted, or a leader that dies, may take the answers to some messages along
    while the link lives: on another link they are sent again, in order, with all that follow.
    """

    def __init__(
        self, clock: Clock, seconds: float, outbox: Outbox, is_blocked: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._outbox = outbox
        self._is_blocked = is_blocked
        self._timer: Timer | None = None
        self._seen: int | None = None

    def begin(self, lost: Callable[[BackendError], None]) -> None:
        """Watch a new link."""
        self.end()
        self._look(lost)

    def _look(self, lost: Callable[[BackendError], None]) -> None:
        oldest = next(iter(self._outbox.in_flight), None)
        if oldest is not None and oldest == self._seen:
            self._timer = None
            text = f"the broker has left a message without an answer for {self._seconds:g} s"
            lost(ConnectionLostError(text))
            return
        self._seen = None if self._is_blocked() else oldest
        self._timer = self._clock.call_later(self._seconds, lambda: self._look(lost))

    def end(self) -> None:
        """Watch no more."""
        self._seen = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
