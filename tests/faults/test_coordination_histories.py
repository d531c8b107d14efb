"""No two holders' fenced writes interleave on a real server, whatever happens meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from asyncbackends.testing.recipes.lock_histories import LockEvent, violations_of
from tests.faults.coordination_histories import TTL, RealHistory, disturb_server
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    each_coordination,
)
from tests.faults.stepped_clock import stepped_clock

SECONDS = {"ci": 15.0, "soak": 600.0}
ROUND = 15.0
AT_ONCE = 10
FIRST_SEED = 70_000

pytestmark = [each_coordination, pytest.mark.timeout(900)]


@pytest.mark.promise("lock.mutual-exclusion-by-token")
def test_no_history_is_wrong(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(histories))


async def histories(trial: CoordinationTrial) -> str:
    first = FIRST_SEED if trial.length == "ci" else random.SystemRandom().randrange(10**9)
    counts: Counter[str] = Counter()
    done: Counter[str] = Counter()
    rounds = round(SECONDS[trial.length] / ROUND)
    for turn in range(rounds):
        seeds = range(first + turn * AT_ONCE, first + (turn + 1) * AT_ONCE)
        for history in await one_round(trial, seeds, done):
            counts.update(event.kind for event in history)

    async def all_over() -> bool:
        return await trial.sessions() <= trial.known_before

    # Of one whose beginning was not answered nobody knows: it ends by itself.
    await trial.settled(all_over, "sessions outlive their ttl", patience=2 * TTL)
    # They are worth the name: holders were lost, and late writes came.
    number = rounds * AT_ONCE
    assert counts["acquired"] > 5 * number, counts
    assert counts["lost"] > 0, counts
    assert trial.length == "ci" or counts["refused"] > 0, counts
    said = ", ".join(
        f"{counts[kind]} {kind}" for kind in ("acquired", "lost", "accepted", "refused")
    )
    did = ", ".join(f"{count} {what}" for what, count in done.items())
    return f"{trial.engine}: {number} histories from seed {first}: {said}; {did}"


async def one_round(
    trial: CoordinationTrial, seeds: range, done: Counter[str]
) -> list[list[LockEvent]]:
    """Let histories happen side by side on one server that is disturbed, and look at each."""
    opening, calm, ready = asyncio.Lock(), asyncio.Event(), asyncio.Barrier(len(seeds) + 1)
    running = [RealHistory(trial, seed) for seed in seeds]
    with stepped_clock() as clock:
        async with asyncio.TaskGroup() as group:
            for history in running:
                group.create_task(history.run(ROUND, opening, ready, calm))
            await ready.wait()
            done.update(await disturb_server(trial, ROUND, seeds.start, clock))
            calm.set()
    for history in running:
        shown = "\n".join(map(str, history.history))
        assert violations_of(history.history) == [], f"seed {history.seed}:\n{shown}"
        assert history.left == [], f"seed {history.seed}"
    return [history.history for history in running]
