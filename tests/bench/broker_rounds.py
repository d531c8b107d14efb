"""Clients of one broker in turn, each on connections of its own: ratios of the same round.

A client is opened, works and is closed again, so that nobody's heartbeats or buffers fall into
another's time. Only the work counts: for publishing until the last confirm, for consuming from the
first frame of the consumer to its end, by which its acks are written. After each turn the queue is
asked whether the work was done.
"""

import asyncio
import cProfile
import gc
import io
import os
import pstats
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from tests.bench.side_by_side import Figures

__all__ = (
    "BODY",
    "DOCUMENT",
    "PREFETCH",
    "WINDOW",
    "Client",
    "Delays",
    "Pair",
    "Publish",
    "Queue",
    "Receive",
    "Work",
    "body_number",
    "consuming",
    "latencies",
    "numbered_body",
    "print_latencies",
    "print_profile",
    "print_target",
    "publishing",
)

ROUNDS = 5
WINDOW = 200
"""So many messages wait for their confirm at a time."""
PREFETCH = 200
PER_SECOND = 200
PATIENCE = 10.0

DOCUMENT: Mapping[str, str] = {f"key_{number:02}": "x" * 40 for number in range(19)}
_DIGITS = 10


def numbered_body(number: int) -> bytes:
    """Give 1 KiB of JSON that bears a number."""
    text = f'{{"number":"{number:0{_DIGITS}}","fill":"'
    return f'{text}{"x" * (1022 - len(text))}"}}'.encode()


def body_number(body: bytes) -> int:
    """Give the number that a body bears."""
    return int(body[11 : 11 + _DIGITS])


BODY = numbered_body(0)

Work = Callable[[int], Awaitable[None]]
"""Publishes or consumes that many messages."""
Client = Callable[[], AbstractAsyncContextManager[Work]]
Receive = Callable[[int], None]
"""Hears the number that a body bears."""
Publish = Callable[[bytes], Awaitable[object]]
Pair = Callable[[Receive], AbstractAsyncContextManager[Publish]]
"""A publisher, and a consumer that hands over the number of each body and acks it."""


class Queue(Protocol):
    """The queue that all use, seen from outside."""

    async def empty(self) -> None:
        """Drop what is in it."""
        ...

    async def waiting(self) -> int:
        """Count what is in it; what a consumer held that is gone is in it again."""
        ...


class Delays(NamedTuple):
    """One client's milliseconds from the call of publish to the arrival."""

    p50: float
    p99: float
    ratio: float
    """Of the p50 to the baseline's, in the same round."""


class _Meter:
    """Wall time and CPU of each round, by client."""

    def __init__(self, names: Sequence[str]) -> None:
        self.wall: dict[str, list[float]] = {name: [] for name in names}
        self.cpu: dict[str, list[float]] = {name: [] for name in names}

    async def measure(self, name: str, work: Work, operations: int, *, counts: bool) -> None:
        gc.collect()
        # As timeit does: whose turn a collection falls into is chance.
        gc.disable()
        began, began_cpu = time.perf_counter(), time.process_time()
        try:
            await work(operations)
        finally:
            ended, ended_cpu = time.perf_counter(), time.process_time()
            gc.enable()
        if counts:
            self.wall[name].append(ended - began)
            self.cpu[name].append(ended_cpu - began_cpu)

    def figures(self, operations: int) -> dict[str, Figures]:
        baseline = next(iter(self.wall))
        return {
            name: Figures(
                operations / statistics.median(self.wall[name]),
                statistics.median(self.cpu[name]) / operations * 1e6,
                _ratio(self.wall[baseline], self.wall[name]),
                _ratio(self.cpu[name], self.cpu[baseline]),
            )
            for name in self.wall
        }


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _turns(names: Mapping[str, object], rounds: int) -> Sequence[tuple[int, str]]:
    """Give who comes when: forth and back, so that nobody always comes after the same one."""
    order = list(names)
    return [
        (number, name) for number in range(rounds + 1) for name in order[:: 1 if number % 2 else -1]
    ]


async def publishing(
    clients: Mapping[str, Client], queue: Queue, operations: int, rounds: int = ROUNDS
) -> dict[str, Figures]:
    """Measure confirmed publishing; the first client is the baseline, one round warms up."""
    meter = _Meter(list(clients))
    for number, name in _turns(clients, rounds):
        await queue.empty()
        async with clients[name]() as work:
            await meter.measure(name, work, operations, counts=number > 0)
            await _holds(queue, operations, name)
    await queue.empty()
    return meter.figures(operations)


async def consuming(
    clients: Mapping[str, Client],
    queue: Queue,
    filler: Client,
    operations: int,
    rounds: int = ROUNDS,
) -> dict[str, Figures]:
    """Measure taking and acking what waits in the queue, the same messages for all."""
    meter = _Meter(list(clients))
    await queue.empty()
    for number, name in _turns(clients, rounds):
        async with filler() as fill:
            await fill(operations)
        await _holds(queue, operations, "the one who fills it")
        async with clients[name]() as work:
            await meter.measure(name, work, operations, counts=number > 0)
        await _holds(queue, 0, name)
    return meter.figures(operations)


async def _holds(queue: Queue, expected: int, name: str) -> None:
    """The broker may count a moment later than it answers."""
    deadline = time.monotonic() + PATIENCE
    while (waiting := await queue.waiting()) != expected:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the queue holds {waiting} messages after {name}, not {expected}")
        await asyncio.sleep(0.02)


async def latencies(
    pairs: Mapping[str, Pair], queue: Queue, seconds: float, rounds: int = ROUNDS
) -> dict[str, Delays]:
    """Measure from publish to arrival at 200 messages a second; the first is the baseline."""
    halves: dict[str, list[float]] = {name: [] for name in pairs}
    everything: dict[str, list[float]] = {name: [] for name in pairs}
    for number, name in _turns(pairs, rounds):
        await queue.empty()
        delays = await _delays(pairs[name], round(seconds * PER_SECOND))
        await _holds(queue, 0, name)
        if number:
            halves[name].append(statistics.median(delays))
            everything[name] += delays
    baseline = next(iter(pairs))
    return {
        name: Delays(
            statistics.median(everything[name]) * 1e3,
            statistics.quantiles(everything[name], n=100)[98] * 1e3,
            _ratio(halves[name], halves[baseline]),
        )
        for name in pairs
    }


async def _delays(pair: Pair, messages: int) -> list[float]:
    sent: dict[int, float] = {}
    delays: dict[int, float] = {}
    loop, complete = asyncio.get_running_loop(), asyncio.Event()

    def receive(number: int) -> None:
        delays.setdefault(number, time.perf_counter() - sent[number])
        if len(delays) == messages:
            # Some receive in a thread.
            loop.call_soon_threadsafe(complete.set)

    async with pair(receive) as publish:
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(messages / PER_SECOND + PATIENCE):
                async with asyncio.TaskGroup() as group:
                    for number in range(messages):
                        at = began + number / PER_SECOND
                        await asyncio.sleep(max(0.0, at - time.perf_counter()))
                        body = numbered_body(number)
                        sent[number] = time.perf_counter()
                        group.create_task(_published(publish, body))
                await complete.wait()
        finally:
            gc.enable()
    return list(delays.values())


async def _published(publish: Publish, body: bytes) -> None:
    await publish(body)


def print_latencies(title: str, delays: Mapping[str, Delays]) -> None:
    """Print what was measured; the first one is the baseline."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    baseline = next(iter(delays))
    width = max(len(name) for name in delays)
    print(f"\n{title}    (load {load})")
    print(f"  {''.ljust(width)}   p50 ms   p99 ms  p50 / {baseline}")
    for name, one in delays.items():
        print(f"  {name.ljust(width)}  {one.p50:7.2f}  {one.p99:7.2f}  {one.ratio:.2f}")


def print_target(what: str, measured: float, limit: float) -> None:
    """Print whether a ratio is within its target."""
    verdict = "met" if measured <= limit else "missed"
    print(f"  target: {what} <= {limit}: {measured:.2f}, {verdict}")


async def print_profile(title: str, client: Client, operations: int) -> None:
    """Print where a client's time goes."""
    profile = cProfile.Profile()
    async with client() as work:
        profile.enable()
        await work(operations)
        profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(16)
    print(f"\n{title}: where the time goes")
    print("\n".join(line for line in text.getvalue().splitlines() if line.strip())[:3000])
