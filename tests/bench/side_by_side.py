"""Contenders in turn on open connections, in one event loop: ratios of the same round.

What a round measures is a ratio to the baseline of that round, so that a machine that changes its
speed changes both; printed are the medians of all rounds.
"""

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

__all__ = ("Contender", "Figures", "callers", "holders", "print_figures", "side_by_side")

ROUNDS = 7

ItemT = TypeVar("ItemT")
HeldT = TypeVar("HeldT")

Contender = Callable[[Sequence[int], int], Sequence[Coroutine[Any, Any, None]]]
"""Prepares operations of these numbers, and gives what so many callers do."""

_numbers = count(1)


@dataclass(frozen=True)
class Figures:
    """One contender's medians; the ratios are to the baseline."""

    per_second: float
    cpu_us: float
    throughput: float
    cpu: float


def callers(
    operation: Callable[[ItemT], Awaitable[object]], prepared: Callable[[int], ItemT]
) -> Contender:
    """Give a contender whose callers share what is open."""

    async def caller(items: Iterator[ItemT]) -> None:
        for item in items:
            await operation(item)

    def prepare(numbers: Sequence[int], at_once: int) -> Sequence[Coroutine[Any, Any, None]]:
        items = iter([prepared(number) for number in numbers])
        return [caller(items) for _ in range(at_once)]

    return prepare


def holders(
    held: Sequence[HeldT],
    operation: Callable[[HeldT, ItemT], Awaitable[object]],
    prepared: Callable[[int], ItemT],
) -> Contender:
    """Give a contender whose callers hold a connection each."""

    async def caller(mine: HeldT, items: Iterator[ItemT]) -> None:
        for item in items:
            await operation(mine, item)

    def prepare(numbers: Sequence[int], at_once: int) -> Sequence[Coroutine[Any, Any, None]]:
        items = iter([prepared(number) for number in numbers])
        return [caller(mine, items) for mine in held[:at_once]]

    return prepare


async def side_by_side(
    contenders: Mapping[str, Contender], operations: int, at_once: int, rounds: int = ROUNDS
) -> dict[str, Figures]:
    """Measure; the first contender is the baseline, and one round before the others warms up."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        # Forth and back, so that nobody always comes after the same one.
        names = list(contenders)[:: 1 if round_number % 2 else -1]
        for name in names:
            coroutines = contenders[name]([next(_numbers) for _ in range(operations)], at_once)
            gc.collect()
            # As timeit does: whose turn a collection falls into is chance.
            gc.disable()
            began, began_cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*coroutines)
            ended, ended_cpu = time.perf_counter(), time.process_time()
            gc.enable()
            if round_number:
                wall[name].append(ended - began)
                cpu[name].append(ended_cpu - began_cpu)
    baseline = next(iter(contenders))
    return {
        name: Figures(
            operations / statistics.median(wall[name]),
            statistics.median(cpu[name]) / operations * 1e6,
            _ratio(wall[baseline], wall[name]),
            _ratio(cpu[name], cpu[baseline]),
        )
        for name in contenders
    }


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def print_figures(title: str, figures: Mapping[str, Figures]) -> None:
    """Print what was measured; the first one is the baseline."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"\n{title}    (load {load})")
    baseline = next(iter(figures))
    rows = [("", "ops/s", "us", "CPU us", f"ops / {baseline}", f"CPU / {baseline}")]
    rows += [
        (
            name,
            f"{one.per_second:,.0f}",
            f"{1e6 / one.per_second:,.0f}",
            f"{one.cpu_us:,.1f}",
            f"{one.throughput:.2f}",
            f"{one.cpu:.2f}",
        )
        for name, one in figures.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"  {row[0].ljust(widths[0])}  {'  '.join(cells)}")
