"""Calls that are cancelled anywhere: nothing leaks, and nobody else is given a wrong answer."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import anyio
import pytest

from asyncbackends import CollectionUpdate, ConfigDatabase, ConnectionState
from tests.faults.database_trials import RunTrial, Trial, each_driver

CANCELLATIONS = {"ci": 2_000, "soak": 10_000}
SIDE_BY_SIDE = 8
POOL = 4
STORM = 200

pytestmark = [each_driver, pytest.mark.timeout(900)]


class Victims:
    """Calls to cancel, and what must be found afterwards."""

    def __init__(self, db: ConfigDatabase, seed: int) -> None:
        self.dice = random.Random(seed)
        self.there: dict[str, int] = {}
        """Objects that are there for sure, and their revisions."""
        self.pairs: list[tuple[str, str]] = []
        """Objects that were created together: both are there or none is."""
        self.shared = str(uuid4())
        self.appended: list[str] = []
        """Values that are in the shared object's list for sure."""
        self.tried: set[str] = set()
        """And those that may be there, once."""
        self.cancelled = self.whole = 0
        self._db = db

    async def prepare(self) -> None:
        await self._db.object_create("network", self.shared, {"fq_name": ["shared"]})
        for _ in range(20):
            await self.create()

    def any(self) -> Coroutine[Any, Any, None]:
        """Give a call that may be cancelled."""
        calls = [self.create, self.pair, self.get, self.many, self.append, self.update, self.watch]
        return self.dice.choice(calls)()

    async def create(self) -> None:
        uuid = str(uuid4())
        result = await self._db.object_create("network", uuid, {"fq_name": [uuid], "text": uuid})
        self.there[uuid] = result.revision

    async def pair(self) -> None:
        one, other = str(uuid4()), str(uuid4())
        self.pairs.append((one, other))
        async with self._db.batch() as batch:
            for uuid in (one, other):
                batch.object_create("network", uuid, {"fq_name": [uuid], "text": uuid})
        self.there[one] = self.there[other] = 0

    async def get(self) -> None:
        """Read one object: it is the one that was asked for, whoever had the connection before."""
        uuid = self.dice.choice([*self.there])
        one = await self._db.object_get("network", uuid)
        assert one == {"uuid": uuid, "fq_name": [uuid], "text": uuid}

    async def many(self) -> None:
        uuids = self.dice.sample([*self.there], 10)
        found = await self._db.object_read("network", uuids)
        assert [one["text"] for one in found] == uuids

    async def append(self) -> None:
        value = str(uuid4())
        self.tried.add(value)
        change = CollectionUpdate("servers", "add", value)
        await self._db.prop_collection_update("network", self.shared, [change])
        self.appended.append(value)

    async def update(self) -> None:
        """Write to what others write to: it has to wait, or to try again."""
        await self._db.object_update("network", self.shared, {"text": str(self.dice.random())})

    async def watch(self) -> None:
        async with self._db.watch(since=max(self.there.values()) - 1) as changes:
            async for _ in changes:
                break

    async def cancel_one(self) -> None:
        """Begin a call and cancel it, at some turn of the loop or in some of its waits."""
        if self.dice.random() < 0.3:
            with anyio.move_on_after(self.dice.uniform(0, 0.003)) as scope:
                await self.any()
            self._count(cancelled=scope.cancelled_caught)
            return
        task = asyncio.create_task(self.any())
        if self.dice.random() < 0.5:
            for _ in range(self.dice.randrange(12)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.dice.uniform(0, 0.004))
        task.cancel()
        await asyncio.wait({task})
        self._count(cancelled=task.cancelled())
        if not task.cancelled():
            task.result()

    def _count(self, *, cancelled: bool) -> None:
        if cancelled:
            self.cancelled += 1
        else:
            self.whole += 1

    async def verify(self, db: ConfigDatabase) -> None:
        """See that all is whole or not there."""
        found = {uuid for _, uuid in await db.object_list("network")}
        assert self.there.keys() <= found
        assert [pair for pair in self.pairs if (pair[0] in found) != (pair[1] in found)] == []
        shared = await db.object_get("network", self.shared)
        values: list[str] = shared.get("servers", [])
        assert len({*values}) == len(values), "a value was appended twice"
        assert {*self.appended} <= {*values} <= self.tried


@pytest.mark.promise("database.cancelling-harms-nobody")
def test_cancelled_at_random(
    run_trial: RunTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_trial(cancelled_at_random))


async def cancelled_at_random(trial: Trial) -> str:
    number, seed = CANCELLATIONS[trial.length], random.randrange(2**32)
    async with trial.open(pool_size=POOL, operation_timeout=10) as db:
        victims = Victims(db, seed)
        await victims.prepare()

        async def work() -> None:
            while victims.cancelled < number:
                await victims.cancel_one()
                # On a connection that a cancelled one may have had.
                await victims.get()

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(SIDE_BY_SIDE):
                group.create_task(work())
        seconds = time.monotonic() - began
        await victims.verify(db)
        assert db.state is ConnectionState.CONNECTED
        await trial.settled(lambda: is_calm(trial), "more connections than the pool may have")
    return (
        f"{trial.driver}: {victims.cancelled} cancellations beside {victims.whole} calls in "
        f"{seconds:.0f} s, 0 wrong answers, 0 connections or tasks left (seed {seed})"
    )


async def is_calm(trial: Trial) -> bool:
    return await trial.connections() <= POOL


@pytest.mark.promise("database.cancelling-harms-nobody")
def test_cancel_storm(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(cancel_storm))


async def cancel_storm(trial: Trial) -> str:
    """Everybody is cancelled at once, most of them while they wait for a connection."""
    longest = 0.0
    async with trial.open(pool_size=POOL, operation_timeout=10) as db:
        victims = Victims(db, random.randrange(2**32))
        await victims.prepare()
        for wave in range(10):
            calls = [asyncio.create_task(victims.any()) for _ in range(STORM)]
            await asyncio.sleep(0.002 * wave)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            for call in calls:
                if not call.cancelled():
                    call.result()
            began = time.monotonic()
            await victims.get()
            await victims.create()
            longest = max(longest, time.monotonic() - began)
        await victims.verify(db)
        await trial.settled(lambda: is_calm(trial), "more connections than the pool may have")
    assert longest < 2
    return f"{trial.driver}: the calls after {STORM} cancelled at once took {longest:.2f} s at most"
