"""Whether the broker is still there: it says something from time to time, and so do we."""

import asyncio
from typing import Final, Protocol

from asyncbackends.errors import BackendError
from asyncbackends_rabbitmq.driver_errors import lost
from asyncbackends_rabbitmq.frames import HEARTBEAT

__all__ = ("Pulse",)

SECOND_LOOK: Final = 0.05


class Beating(Protocol):
    """The line that has the pulse."""

    @property
    def has_room(self) -> bool:
        """Whether its buffer takes more."""
        ...

    def write_packed(self, data: bytes) -> None:
        """Write frames."""
        ...

    def lose(self, error: BackendError) -> None:
        """Be gone."""
        ...


class Pulse:
    """One timer for both directions.

    :param interval: seconds between the beats that go out.
    :param patience: seconds of silence after which the broker is given up.
    """

    def __init__(self, line: Beating, interval: float, patience: float) -> None:
        self._line = line
        self._interval = interval
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._suspected = False

    def begin(self) -> None:
        """Beat until :meth:`stop`."""
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._interval, self._beat)

    def heard(self) -> None:
        """Note that the broker said something."""
        self._heard = self._loop.time()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        silent = self._loop.time() - self._heard
        after = min(self._interval, max(SECOND_LOOK, self._patience - silent))
        if silent <= self._patience:
            self._suspected = False
            if self._line.has_room:
                self._line.write_packed(HEARTBEAT)
        elif self._suspected:
            self._line.lose(lost(f"the broker said nothing for {silent:.3g} s"))
            return
        else:
            # This process may have been the one that stood still: what came is read first.
            self._suspected = True
        self._timer = self._loop.call_later(after, self._beat)
