"""No two holders' fenced writes ever interleave, whatever happens to sessions, links and clocks."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from asyncbackends.protocols.values import Fence
from asyncbackends.recipes import patience, waiting
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.testing.recipes.lock_histories import LockEvent, violations_of
from tests.faults.lock_simulation import Simulation
from tests.faults.lock_workers import MakeLock

HISTORIES = {"ci": 200, "soak": 6000}
SIDE_BY_SIDE = 40


def event(kind: Any, token: int, saw: int | None = None, wrote: int | None = None) -> LockEvent:
    return LockEvent(kind, Fence("lock", 0, token), saw, wrote)


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The recipes' small pauses are turns of the loop: time is the clock's alone."""
    # Thousands of sessions are lost.
    caplog.set_level(logging.CRITICAL, "asyncbackends.coordination")

    async def turn(longest: float = 0) -> None:
        await asyncio.sleep(0)

    for module in (patience, waiting):
        monkeypatch.setattr(module, "short_pause", turn)


async def histories_of(
    seeds: range, lock: MakeLock = Lock, *, fenced: bool = True
) -> dict[int, Simulation]:
    simulations = {seed: Simulation(seed, lock, fenced=fenced) for seed in seeds}
    seeds_left = list(seeds)
    while seeds_left:
        some, seeds_left = seeds_left[:SIDE_BY_SIDE], seeds_left[SIDE_BY_SIDE:]
        await asyncio.gather(*(simulations[seed].run() for seed in some))
    return simulations


@pytest.mark.promise("lock.mutual-exclusion-by-token", engines=["memory"])
@pytest.mark.timeout(900)
async def test_no_history_is_wrong(length: str, figure: Callable[[str], None]) -> None:
    first = 0 if length == "ci" else random.randrange(10**9)
    simulations = await histories_of(range(first, first + HISTORIES[length]))
    for seed, simulation in simulations.items():
        shown = "\n".join(map(str, simulation.history))
        assert violations_of(simulation.history) == [], f"seed {seed}:\n{shown}"
        assert simulation.left == [], f"seed {seed}"
    kinds = [one.kind for simulation in simulations.values() for one in simulation.history]
    counts = {kind: kinds.count(kind) for kind in ("acquired", "lost", "accepted", "refused")}
    # They are worth the name: holders were lost, and late writes came.
    assert counts["acquired"] > 5 * len(simulations)
    assert counts["lost"] > len(simulations) / 2
    assert counts["refused"] > len(simulations) / 10
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    figure(f"{len(simulations)} histories from seed {first}: {said}")


async def test_without_fences_updates_are_lost() -> None:
    """What the lock alone cannot do: so the fence is what the promise stands on."""
    simulations = await histories_of(range(20), fenced=False)
    found = [
        one for simulation in simulations.values() for one in violations_of(simulation.history)
    ]
    assert any("an update is lost" in one for one in found)


class OneFence(Lock):
    """Every holder has the same token."""

    async def acquire(self, timeout: float | None = None) -> Held:
        held = await super().acquire(timeout)
        fence = msgspec.structs.replace(held.ticket.fence, token=1)
        held.ticket = msgspec.structs.replace(held.ticket, fence=fence)
        return held


class NobodyWaits(Lock):
    """Whoever contends holds."""

    async def acquire(self, timeout: float | None = None) -> Held:
        ticket = await self._coordination.contend(self.path, self._value)
        return Held(self._coordination, ticket, self._coordination.session)


@pytest.mark.parametrize(
    ("lock", "wrong"),
    [(OneFence, {"after a holder with 1", "an update is lost"}), (NobodyWaits, {"holds it"})],
)
async def test_wrong_locks_are_found(lock: MakeLock, wrong: set[str]) -> None:
    simulations = await histories_of(range(20), lock)
    found = [
        one for simulation in simulations.values() for one in violations_of(simulation.history)
    ]
    assert {one for one in wrong if any(one in said for said in found)} == wrong


def test_right_histories_are_right() -> None:
    assert violations_of([]) == []
    history = [
        event("acquired", 3),
        event("accepted", 3),
        event("accepted", 3, 0, 1),
        event("lost", 3),
        event("accepted", 3, 1, 2),  # it was on its way, and nobody has come yet
        event("acquired", 5),
        event("accepted", 5),
        event("refused", 3, 2, 3),
        event("accepted", 5, 2, 3),
        event("released", 5),
        event("acquired", 6),
        event("forgotten", 6),
        event("acquired", 9),
        event("accepted", 9, 3, 4),
        event("refused", 6, 3, 4),
    ]
    assert violations_of(history) == []


@pytest.mark.parametrize(
    ("history", "says"),
    [
        ([event("acquired", 3), event("lost", 3), event("acquired", 3)], "after a holder with 3"),
        ([event("acquired", 3), event("lost", 3), event("acquired", 2)], "after a holder with 3"),
        ([event("acquired", 3), event("acquired", 4)], "while 3 holds it"),
        (
            [event("acquired", 3), event("forgotten", 4), event("acquired", 4)],
            "while 3 holds it",
        ),
        ([event("accepted", 4), event("accepted", 3)], "after 4"),
        ([event("accepted", 4), event("refused", 4)], "no higher fence was seen"),
        ([event("accepted", 3, 0, 1), event("accepted", 4, 0, 1)], "an update is lost"),
        (
            [event("accepted", 4), event("accepted", 3, 0, 1), event("accepted", 4, 0, 1)],
            "an update is lost",
        ),
    ],
)
def test_wrong_histories_are_found(history: list[LockEvent], says: str) -> None:
    assert says in "\n".join(violations_of(history))
