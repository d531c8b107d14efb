"""A stretch of a task that can be cancelled from outside, apart from all other cancelling."""

import asyncio
from types import TracebackType
from typing import Self

import anyio

__all__ = ("Stoppable",)


class Stoppable:
    """Cancels its block when it is told to, and ends that cancellation there.

    An anyio scope, but one that never takes a cancellation by ``Task.cancel`` for its own: before
    4.16 those do when both come in one turn of the event loop.
    """

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._cancelling = 0

    def stop(self) -> None:
        """Cancel the block."""
        self._scope.cancel()

    def __enter__(self) -> Self:
        self._cancelling = _requests()
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        ended = self._scope.__exit__(exc_type, exc, traceback)
        # The scope has taken its own requests back by now.
        return ended and _requests() <= self._cancelling


def _requests() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
