"""Clients of one coordination service in turn, all of them open: ratios of the same round.

A client does its work in this process, or in another interpreter that measures itself, where two
drivers cannot live in one. What counts of each turn is wall time and the CPU of its process.
"""

import asyncio
import gc
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from tests.bench.side_by_side import Figures

__all__ = ("KEYS", "VALUE", "Spent", "Turn", "by_callers", "by_window", "here", "turns")

ROUNDS = 5
KEYS = 1000
"""So many nodes are there to be read."""
VALUE = b"v" * 100


class Spent(NamedTuple):
    """Seconds of one turn."""

    wall: float
    cpu: float


Work = Callable[[Sequence[int], int], Awaitable[None]]
"""Does an operation for each of these numbers, so many at once."""
Turn = Callable[[Sequence[int], int], Awaitable[Spent]]
"""The same, measured."""

_numbers = count(1)


def here(work: Work) -> Turn:
    """Measure what works in this process, its threads included."""

    async def turn(numbers: Sequence[int], at_once: int) -> Spent:
        gc.collect()
        # As timeit does: whose turn a collection falls into is chance.
        gc.disable()
        began, began_cpu = time.perf_counter(), time.process_time()
        try:
            await work(numbers, at_once)
        finally:
            ended, ended_cpu = time.perf_counter(), time.process_time()
            gc.enable()
        return Spent(ended - began, ended_cpu - began_cpu)

    return turn


def by_callers(operation: Callable[[int], Awaitable[object]]) -> Turn:
    """Give what so many tasks do, each of which waits for its own."""

    async def work(numbers: Sequence[int], at_once: int) -> None:
        items = iter(numbers)

        async def caller() -> None:
            for number in items:
                await operation(number)

        if at_once == 1:
            await caller()
        else:
            await asyncio.gather(*(caller() for _ in range(at_once)))

    return here(work)


def by_window(begin: Callable[[int], Any]) -> Turn:
    """Give what a thread does that begins operations and has so many under way.

    :param begin: gives something whose ``get`` waits for the result.
    """

    def window(numbers: Iterable[int], at_once: int) -> None:
        under_way: deque[Any] = deque()
        for number in numbers:
            if len(under_way) == at_once:
                under_way.popleft().get()
            under_way.append(begin(number))
        for one in under_way:
            one.get()

    async def work(numbers: Sequence[int], at_once: int) -> None:
        await asyncio.get_running_loop().run_in_executor(None, window, numbers, at_once)

    return here(work)


async def turns(
    clients: Mapping[str, Turn], operations: int, at_once: int, rounds: int = ROUNDS
) -> dict[str, Figures]:
    """Measure; the first client is the baseline, one round warms up."""
    spent: dict[str, list[Spent]] = {name: [] for name in clients}
    for round_number in range(rounds + 1):
        # Forth and back, so that nobody always comes after the same one.
        for name in list(clients)[:: 1 if round_number % 2 else -1]:
            numbers = [next(_numbers) for _ in range(operations)]
            one = await clients[name](numbers, at_once)
            if round_number:
                spent[name].append(one)
    first = spent[next(iter(clients))]
    return {
        name: Figures(
            operations / statistics.median(one.wall for one in own),
            statistics.median(one.cpu for one in own) / operations * 1e6,
            statistics.median(base.wall / one.wall for base, one in zip(first, own, strict=True)),
            statistics.median(one.cpu / base.cpu for base, one in zip(first, own, strict=True)),
        )
        for name, own in spent.items()
    }
