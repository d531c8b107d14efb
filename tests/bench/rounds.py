"""Interleaved rounds of contenders, in one process: medians of wall time and CPU per operation."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

Contender = Callable[[int], Awaitable[None]]
"""Does that many operations."""


@dataclass(frozen=True)
class Figures:
    """One contender's medians."""

    per_second: float
    cpu_us: float


def interleaved(
    contenders: Mapping[str, Contender], operations: int, rounds: int = 5
) -> dict[str, Figures]:
    """Run every contender once a round, in turn, each in a new event loop; one round warms up."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, contender in contenders.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            asyncio.run(_run(contender, operations))
            if round_number:
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - began_cpu)
    return {
        name: Figures(
            operations / statistics.median(wall[name]),
            statistics.median(cpu[name]) / operations * 1e6,
        )
        for name in contenders
    }


async def _run(contender: Contender, operations: int) -> None:
    await contender(operations)


def print_table(title: str, figures: Mapping[str, Figures], baseline: str) -> None:
    """Print what was measured, and its ratio to the baseline."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"\n{title}    (load {load})")
    rows: list[Sequence[str]] = [("", "ops/s", "CPU us/op", f"throughput / {baseline}")]
    rows += [
        (
            name,
            f"{figure.per_second:,.0f}",
            f"{figure.cpu_us:.1f}",
            f"{figure.per_second / figures[baseline].per_second:.2f}",
        )
        for name, figure in figures.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"  {row[0].ljust(widths[0])}  {'  '.join(cells)}")
