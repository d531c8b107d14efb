"""A bound on a block by a clock that may be turned by hand."""

from types import TracebackType
from typing import Self

from asyncbackends.clock import Clock, Timer
from asyncbackends.stopping import Stoppable

__all__ = ("Within",)


class Within:
    """Ends its block when so many seconds of a clock have passed, or when it is told to.

    Nothing is raised; ``ended`` says afterwards whether the block was ended before it was through.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._block = Stoppable()
        self._timer: Timer | None = None
        self.ended = False
        """Whether the block was ended before it was through."""

    def end(self) -> None:
        """End the block now."""
        self._block.stop()

    def __enter__(self) -> Self:
        self._block.__enter__()
        self._timer = self._clock.call_later(max(0.0, self._seconds), self._block.stop)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        self.ended = self._block.__exit__(exc_type, exc, traceback)
        return self.ended
