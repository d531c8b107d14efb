"""Sessions over whatever link there is, for their keeper."""

from collections.abc import Callable
from functools import partial
from typing import Final

from asyncbackends.clock import Clock
from asyncbackends.coordination.wire import CoordinationLink
from asyncbackends.errors import ConnectionLostError
from asyncbackends.linking import Links
from asyncbackends.mapping import DriverErrors

__all__ = ("WireSessions",)

PATIENCE: Final = 0.8
"""The part of the time between renewals after which a link that does not answer is given up.

So the next endpoint is tried in time; and a silent peer is noticed after twice that time at most.
"""


class WireSessions:
    """Implements :class:`asyncbackends.coordination.keeping.SessionService`."""

    def __init__(
        self,
        links: Links[CoordinationLink],
        errors: DriverErrors,
        clock: Clock,
        interval: float,
    ) -> None:
        """Make one.

        :param interval: the seconds between renewals, at most.
        """
        self._links = links
        self._errors = errors
        self._clock = clock
        self._patience = interval * PATIENCE

    async def open(self, ttl: float) -> tuple[str, float]:
        link = await self._links.wait(ttl)
        answered = self._give_up_later(link, "the opening of a session")
        try:
            with self._errors:
                return await link.open_session(ttl)
        finally:
            answered()

    async def renew(self, session_id: str) -> bool:
        link = self._present()
        answered = self._give_up_later(link, "the renewal of a session")
        try:
            with self._errors:
                return await link.renew_session(session_id)
        finally:
            answered()

    async def close(self, session_id: str) -> None:
        link = self._present()
        with self._errors:
            await link.end_session(session_id)

    def _present(self) -> CoordinationLink:
        if self._links.link is None:
            message = "there is no link to the coordination service"
            raise ConnectionLostError(message)
        return self._links.link

    def _give_up_later(self, link: CoordinationLink, what: str) -> Callable[[], None]:
        """Give a link up unless what is given is called in time."""
        error = ConnectionLostError(f"{what} was not answered within {self._patience:.3g} s")
        silence = _Silence(self._clock, self._patience, partial(self._links.give_up, link, error))
        return silence.end


class _Silence:
    """Calls after so many seconds, in two steps.

    A loop that was held up finds its timers due before it has seen what came meanwhile: after the
    first step it has time to see it.
    """

    def __init__(self, clock: Clock, seconds: float, call: Callable[[], None]) -> None:
        self._clock = clock
        self._call = call
        self._step = seconds / 2
        self._timer = clock.call_later(self._step, self._again)

    def _again(self) -> None:
        self._timer = self._clock.call_later(self._step, self._call)

    def end(self) -> None:
        self._timer.cancel()
