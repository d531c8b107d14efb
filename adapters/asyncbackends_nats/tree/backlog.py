"""What came for a watch and is taken in a little in each turn of the loop.

A watch that begins is sent all that is there at once: the answers that come after it, as those to
renewals, must not wait until all of it was understood.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ("AT_ONCE", "Backlog", "Frame")

Frame = tuple[bytes, bytes, bytes, bytes]
"""Subject, reply, headers and body."""
AT_ONCE: Final = 25
"""Frames of one turn: a quarter of a millisecond, for there may be more to read from the socket."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of bodies that wait; then nothing more is read from the socket before they were taken."""


class Backlog:
    """Frames in the order in which they came.

    :param take: takes one in.
    """

    def __init__(self, take: Callable[[Frame], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._handle: asyncio.Handle | None = None

    def put(self, frame: Frame) -> None:
        """Let a frame be taken in soon."""
        self._frames.append(frame)
        self._bytes += len(frame[3])
        while self._frames and self._bytes > MOST_BYTES:
            self._take_one()
        if self._handle is None and self._frames:
            self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._handle = None
        for _ in range(min(AT_ONCE, len(self._frames))):
            if not self._frames:
                return  # it was closed by what came
            self._take_one()
        if self._frames:
            self._handle = self._loop.call_soon(self._turn)

    def _take_one(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= len(frame[3])
        self._take(frame)

    def close(self) -> None:
        """Take nothing in any more."""
        self._frames.clear()
        self._bytes = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
