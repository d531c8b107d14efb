"""Calls that are cancelled at any moment: nobody else hears of it, and nothing is left."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import psutil
import pytest

from asyncbackends import ConnectionState, ConnectionStatus, DistributedCoordinationService
from asyncbackends.errors import (
    BackendError,
    NodeExistsError,
    NodeNotFoundError,
    TransactionFailedError,
)
from asyncbackends.recipes import Election, Lock
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    each_coordination,
)

CANCELLATIONS = {"ci": 2_000, "soak": 10_000}
SEED = 20_260
AT_ONCE = 5
LONGEST = 0.008
"""About as long as the longest of the calls takes."""
PLACES = 12

pytestmark = [each_coordination, pytest.mark.timeout(600)]


class Calls:
    """What is cancelled."""

    def __init__(self, client: DistributedCoordinationService, dice: random.Random) -> None:
        self.client = client
        self.dice = dice
        self.counts: Counter[str] = Counter()
        self.holders = 0
        self.withdrawing: set[asyncio.Task[None]] = set()

    def place(self) -> str:
        return f"/work/{self.dice.randrange(PLACES)}"

    async def create(self) -> None:
        await self.client.create_node(self.place(), b"cancelled", ephemeral=True)

    async def read(self) -> None:
        await self.client.read_node(self.place())

    async def update(self) -> None:
        await self.client.update_node(self.place(), b"x" * self.dice.randrange(2000))

    async def delete(self) -> None:
        await self.client.delete_node(self.place())

    async def children(self) -> None:
        await self.client.get_children("/work")

    async def transact(self) -> None:
        both = self.client.transaction()
        both.create(self.place(), b"both", ephemeral=True)
        both.delete(self.place())
        await both.commit()

    async def watch(self) -> None:
        async with self.client.watch("/work", scope="tree", initial=True) as events:
            async for _ in events:
                pass

    async def lock(self) -> None:
        async with Lock(self.client, "/lock"):
            self.holders += 1
            assert self.holders == 1, "two hold one lock"
            try:
                await asyncio.sleep(0.0005)
            finally:
                self.holders -= 1

    async def lead(self) -> None:
        async with Election(self.client, "/leader", b"me").lead():
            await asyncio.sleep(0.0005)

    async def contend(self) -> None:
        ticket = await self.client.contend("/line")
        try:
            await self.client.contenders("/line")
        finally:
            # Whoever cancels this as well has to see to the rest: recipes do.
            withdrawing = asyncio.create_task(self.client.withdraw(ticket))
            self.withdrawing.add(withdrawing)
            await asyncio.shield(withdrawing)

    async def run(self, count: int) -> None:
        """Begin so many calls, and cancel each after a while."""
        choices: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *(self.create, self.read, self.update, self.delete, self.children, self.transact),
            *(self.watch, self.lock, self.lead, self.lock, self.contend),
        ]
        for _ in range(count):
            task = asyncio.create_task(self.dice.choice(choices)())
            if self.dice.random() < 0.5:
                for _ in range(self.dice.randrange(8)):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(self.dice.random() * LONGEST)
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.done(), f"a cancelled call goes on: {task}"
            if task.cancelled():
                self.counts["cancelled"] += 1
                continue
            error = task.exception()
            self.counts["ended before"] += 1
            if error is not None and not isinstance(
                error, NodeExistsError | NodeNotFoundError | TransactionFailedError
            ):
                raise error
        if self.withdrawing:
            await asyncio.gather(*self.withdrawing)


@pytest.mark.promise("coordination.random-cancellations-harm-nobody")
def test_random_cancellations(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(random_cancellations))


async def random_cancellations(trial: CoordinationTrial) -> str:
    cancellations, dice = CANCELLATIONS[trial.length], random.Random(SEED)
    states: list[ConnectionStatus] = []
    counted = [0]
    async with trial.open() as one, trial.open() as two:
        session = one.session
        await one.create_node("/work/kept")
        await two.create_node("/beside", b"0")
        calls = Calls(one, dice)
        # What is made at the first time stays.
        for warm in (calls.lock, calls.lead, calls.contend):
            await warm()
        watching = asyncio.create_task(watch_states(one, states))
        await asyncio.sleep(0.5)
        tasks, descriptors = asyncio.all_tasks(), psutil.Process().num_fds()
        before = await state_of(trial)
        counting = [asyncio.create_task(count_up(client, counted)) for client in (one, two)]
        async with asyncio.TaskGroup() as at_once:
            for _ in range(AT_ONCE):
                at_once.create_task(calls.run(cancellations // AT_ONCE))
        for task in counting:
            task.cancel()
        await asyncio.wait(counting)
        for task in counting:
            assert task.cancelled(), task.exception()
        for name in await one.get_children("/work"):
            if name != "kept":
                await one.delete_node(f"/work/{name}")

        async def as_before() -> bool:
            return asyncio.all_tasks() == tasks and await state_of(trial) == before

        try:
            await trial.settled(as_before, "not as before", patience=15)
        except AssertionError:
            # What is different is worth more than that something is.
            assert asyncio.all_tasks() == tasks
            assert await state_of(trial) == before
            raise
        assert psutil.Process().num_fds() <= descriptors
        for path in ("/lock", "/line", "/leader"):
            assert await two.contenders(path) == []
        held = await Lock(two, "/lock").acquire(5)
        await held.release()
        assert [one_of.state for one_of in states] == [ConnectionState.CONNECTED]
        assert one.session is session
        # Each of the two may have been cancelled between a write and its answer.
        assert counted[0] <= int(await two.read_node("/beside")) <= counted[0] + 2
        watching.cancel()
        await asyncio.wait({watching})
    assert calls.counts["cancelled"] > cancellations / 4
    return (
        f"{trial.engine}: {cancellations} calls, {calls.counts['cancelled']} cancelled in the "
        f"middle (seed {SEED}): the same tasks, descriptors, nodes, watches, sessions as before, "
        f"{counted[0]} increments beside them, none lost"
    )


async def state_of(trial: CoordinationTrial) -> dict[str, object]:
    """See what the server has of us."""
    return {
        "sessions": len(await trial.sessions()),
        "stored": await trial.stored(),
        "watches": await trial.watches(),
        "connections": await trial.connections(),
    }


async def watch_states(
    client: DistributedCoordinationService, states: list[ConnectionStatus]
) -> None:
    async with client.states() as changes:
        async for change in changes:
            states += [change]


async def count_up(client: DistributedCoordinationService, counted: list[int]) -> None:
    """Count beside the others, and be disturbed by none; an error ends the test."""
    while True:
        node = await client.get_node("/beside")
        try:
            await client.update_node(
                "/beside", str(int(node.value) + 1), expected_version=node.stat.version
            )
        except BackendError as error:
            if error.maybe_applied or type(error).__name__ != "RevisionConflictError":
                raise
        else:
            counted[0] += 1
        await asyncio.sleep(0.002)
