"""Consumers whose link is lost, and which the broker may not have missed yet.

What they held is with them until then: a queue that is consumed before gives what lies behind it
first, out of order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from asyncbackends.clock import Clock

__all__ = ("LeftBehind",)

MOST: Final = 10_000
PAUSE: Final = 0.02
PATIENCE: Final = 5.0
"""Seconds, at most: others may have come to a queue since then, whom nobody can tell from it."""


class LeftBehind:
    """What the links of one wire left behind.

    :param timeout: seconds in which a queue must be consumed again.
    """

    def __init__(self, clock: Clock, timeout: float) -> None:
        self._clock = clock
        self._patience = min(PATIENCE, timeout / 2)
        self._others: dict[str, int] = {}
        """How many consumers others had on the queues that were consumed when a link was lost."""

    def note(self, others: Mapping[str, int]) -> None:
        """Remember the queues of a lost link, and how many consumers others had on each."""
        self._others |= others
        while len(self._others) > MOST:
            del self._others[next(iter(self._others))]

    async def missed(self, queue: str, others: Callable[[], Awaitable[int]]) -> int:
        """Wait until the broker has missed the consumer of a lost link.

        :param others: asks how many consumers a queue has beside those of this link.
        :return: what it said last.
        """
        found, end = await others(), self._clock.monotonic() + self._patience
        while found > self._others.get(queue, found) and self._clock.monotonic() < end:
            await asyncio.sleep(PAUSE)
            found = await others()
        self._others.pop(queue, None)
        return found
