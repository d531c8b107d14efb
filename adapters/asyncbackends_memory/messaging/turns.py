"""What the server tells in a later turn of the event loop: one scheduled call for all of it."""

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ("Turns",)


class Turns:
    """Makes calls soon, in order, never from inside the call that asked for them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: deque[Callable[[], None]] = deque()
        self._handle: asyncio.Handle | None = None

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call in the loop's next turn."""
        if self._loop.is_closed():
            # Nobody is left to hear it.
            return
        self._due.append(call)
        if self._handle is None:
            self._handle = self._loop.call_soon(self._run)

    def _run(self) -> None:
        # What these calls ask for has its time in the turn after this one.
        count = len(self._due)
        try:
            while count and self._due:
                count -= 1
                self._due.popleft()()
        finally:
            self._handle = self._loop.call_soon(self._run) if self._due else None

    def drop(self) -> None:
        """Forget all that is due."""
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
