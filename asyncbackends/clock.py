"""Time as the core sees it, so that tests can turn it by hand.

Deadlines and leases use :meth:`Clock.monotonic`, never the wall clock. :meth:`Clock.utc` is only
for what other machines read: timestamps and expiry in a message's header.
"""

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

from asyncbackends.errors import InvalidRequestError

__all__ = ("Clock", "ManualClock", "SystemClock", "Timer", "checked_timeout")

MAX_TIMEOUT: Final = 31_536_000.0
# It goes on while the machine sleeps, so a lease is over after a suspend too.
BOOTTIME: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def checked_timeout(seconds: float, what: str = "timeout") -> float:
    """Give seconds.

    :raises InvalidRequestError: they are not finite and > 0.
    """
    if type(seconds) is float and 0 < seconds <= MAX_TIMEOUT:
        return seconds
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not (math.isfinite(seconds) and 0 < seconds <= MAX_TIMEOUT)
    ):
        text = f"{what} is a number of seconds, finite, > 0 and at most a year, not {seconds!r}"
        raise InvalidRequestError(text)
    return seconds


class Timer(Protocol):
    """A call that is due."""

    def cancel(self) -> None:
        """Let the call not happen; after it happened this does nothing."""
        ...


class Clock(Protocol):
    """What tells the time and calls when it has come."""

    def monotonic(self) -> float:
        """Give seconds that never go back, also not when the wall clock is set."""
        ...

    def utc(self) -> float:
        """Give seconds since 1970 UTC, as this machine has it."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call in the running loop after so many seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        ...


class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        return time.clock_gettime(BOOTTIME)

    def utc(self) -> float:
        return time.time()

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A time that stands still until :meth:`advance`; for tests with the memory engine."""

    def __init__(self, utc: float = 1_600_000_000.0) -> None:
        self._now = 1000.0
        self._utc = utc - self._now
        self._numbers = count()
        self._due: list[tuple[float, int, _ManualTimer]] = []

    def monotonic(self) -> float:
        return self._now

    def utc(self) -> float:
        return self._utc + self._now

    def step_utc(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator does; nothing else moves."""
        self._utc += seconds

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = _ManualTimer(call)
        heapq.heappush(self._due, (self._now + seconds, next(self._numbers), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Let time pass: every call due until then happens in order, each at its own time.

        Whoever is woken runs before the next call does.
        """
        end = self._now + seconds
        await _settled()
        while self._due and self._due[0][0] <= end:
            due, _, timer = heapq.heappop(self._due)
            if timer.call is None:
                continue
            self._now = max(self._now, due)
            timer.fire()
            await _settled()
        self._now = max(self._now, end)
        await _settled()


class _ManualTimer:
    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None

    def fire(self) -> None:
        call, self.call = self.call, None
        if call is not None:
            call()


async def _settled() -> None:
    """Give every ready task its turns: a task that waits for a task that waits needs several."""
    for _ in range(20):
        await asyncio.sleep(0)
