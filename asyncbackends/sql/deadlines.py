"""The ends of operations: all of a backend have the same time, so one timer serves them."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from asyncbackends.errors import BackendError

__all__ = ("Deadline", "Deadlines", "Late")


Late = Callable[["Deadline"], BackendError]
"""Gives what a late operation raises."""


class Deadline:
    """Ends what is awaited in its block when the time is up, as ``asyncio.timeout`` does."""

    __slots__ = ("_cancelling", "_deadlines", "_error", "_task", "connected", "end", "late")

    def __init__(self, deadlines: "Deadlines", error: Late) -> None:
        self._deadlines = deadlines
        self._error = error
        self.end = 0.0
        self.late = False
        self.connected = False
        """There was a connection for the operation."""

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        task = asyncio.current_task(deadlines.loop)
        assert task is not None  # noqa: S101  # operations run in tasks
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self.end = deadlines.time() + deadlines.seconds
        deadlines.open[self] = None
        if deadlines.timer is None:
            deadlines.set_timer(self.end)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.open.pop(self, None)
        if (
            self.late
            and self._task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise self._error(self) from exc

    def expire(self) -> None:
        """End it."""
        self.late = True
        self._task.cancel()


class Deadlines:
    """The deadlines of one backend."""

    def __init__(self, seconds: float, error: Late) -> None:
        """Give every operation so many seconds.

        :param error: gives what a late one raises, unless it says so itself.
        """
        self.seconds = seconds
        self.error = error
        self.loop = asyncio.get_running_loop()
        self.time = self.loop.time
        self.open: dict[Deadline, None] = {}
        self.timer: asyncio.TimerHandle | None = None

    def __call__(self, error: Late | None = None) -> Deadline:
        """Give the deadline of an operation that begins now."""
        return Deadline(self, error or self.error)

    def set_timer(self, end: float) -> None:
        """Look for late ones at that time."""
        self.timer = self.loop.call_at(end, self._end_late)

    def close(self) -> None:
        """Look at no deadline any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _end_late(self) -> None:
        self.timer = None
        now = self.loop.time()
        # The first in is the first to end; one that waits for its clean-up is not ended again.
        for deadline in list(self.open):
            if deadline.end > now:
                self.set_timer(deadline.end)
                return
            del self.open[deadline]
            deadline.expire()
