"""Others that hold locks, connections that are all in use: what can be repeated is, as a whole."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from asyncbackends import ConfigDatabase
from asyncbackends.errors import OperationTimeoutError
from asyncbackends.recipes import update_with
from tests.faults.database_load import OUTAGE
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.faults.fleet import end
from tests.servers.server import DATABASE

TIMEOUT = 1.0
GRACE = 1.0
ROUNDS = 6

pytestmark = [each_driver, pytest.mark.timeout(300)]


async def two_objects(db: ConfigDatabase) -> list[str]:
    uuids = sorted(str(uuid4()) for _ in range(2))
    for uuid in uuids:
        await db.object_create("network", uuid, {"fq_name": [uuid], "value": 0})
    return uuids


@pytest.mark.promise("database.full-pool-is-told")
def test_pool_is_full(run_trial: RunTrial, engine: str) -> None:
    run_trial(pool_is_full)


async def pool_is_full(trial: Trial) -> str:
    async with trial.open(pool_size=2, operation_timeout=TIMEOUT) as db:
        (one, _) = await two_objects(db)
        holding = trial.product.holding_counter(trial.namespace, 4)
        held = asyncio.create_task(trial.sql(holding, database=DATABASE))
        try:
            await asyncio.sleep(0.3)
            await call_beside_a_held_counter(trial, db, one)
            assert not held.done()
        finally:
            await held
        await db.kv_put("table", "9", {"number": 9})
        found = await db.kv_list("table")
        assert found.items[-1] == ("9", {"number": 9})
    return ""


async def call_beside_a_held_counter(trial: Trial, db: ConfigDatabase, one: str) -> None:
    async with asyncio.TaskGroup() as group:
        writing = [
            group.create_task(trial.ending(db.kv_put("table", str(number), {"number": number})))
            for number in range(2)
        ]
        await asyncio.sleep(0.2)
        reading = [group.create_task(trial.ending(db.object_get("network", one))) for _ in range(3)]
    # These have the connections and were sent, so nobody knows.
    for ending in (task.result() for task in writing):
        ending.failed(OperationTimeoutError, maybe=True)
        assert ending.seconds <= TIMEOUT + GRACE
    # The others waited, until connections were given up that nobody could use.
    for ending in (task.result() for task in reading):
        assert ending.seconds <= TIMEOUT + GRACE
        assert ending.error is None or type(ending.error) in OUTAGE
        assert ending.error is None or not ending.error.maybe_applied
    # Reads do not wait for locks.
    assert (await db.object_get("network", one))["uuid"] == one
    # What was given up is not left waiting on the server.
    await trial.settled(lambda: few_connections(trial, 2), "calls were left on the server")


async def few_connections(trial: Trial, number: int) -> bool:
    return await trial.connections() <= number


@pytest.mark.promise("database.full-pool-is-told")
def test_server_allows_few_connections(run_trial: RunTrial, engine: str) -> None:
    run_trial(server_allows_few_connections)


async def server_allows_few_connections(trial: Trial) -> str:
    """Who may have ten connections and is given three does everything with three."""
    await trial.sql(trial.product.few_connections.format(number=3))
    try:
        async with trial.open(pool_size=10) as db:
            (one, _) = await two_objects(db)
            for _ in range(5):
                found = await asyncio.gather(*(db.object_get("network", one) for _ in range(30)))
                assert {each["uuid"] for each in found} == {one}
                uuids = [str(uuid4()) for _ in range(30)]
                await asyncio.gather(
                    *(db.object_create("network", uuid, {"fq_name": [uuid]}) for uuid in uuids)
                )
            # One that is refused just now counts, too.
            await trial.settled(lambda: few_connections(trial, 3), "more than are allowed")
    finally:
        await trial.sql(trial.product.many_connections)
    return ""


@pytest.mark.promise("database.contended-units-are-repeated")
def test_deadlocks(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(deadlocks))


async def deadlocks(trial: Trial) -> str:
    """Somebody else locks the same objects in another order, and the server ends our unit."""
    product = trial.product
    async with trial.open(operation_timeout=20) as db:
        uuids = await two_objects(db)
        before = product.last_number(await trial.sql(product.deadlocks))
        met = rounds = 0
        while not met and rounds < ROUNDS:
            rounds += 1
            order = uuids if rounds % 2 == 0 else uuids[::-1]
            other = asyncio.create_task(
                trial.sql(product.touching(trial.namespace, order, 0.6), database=DATABASE)
            )
            await asyncio.sleep(0.3)
            async with db.batch() as batch:
                queued = [batch.object_update("network", uuid, {"value": rounds}) for uuid in uuids]
            await other
            # The counters are gathered now and then.
            await asyncio.sleep(0.5)
            met = product.last_number(await trial.sql(product.deadlocks)) - before
            found = await db.object_read("network", uuids)
            assert [one["value"] for one in found] == [rounds, rounds]
            assert [one.revision for one in found] == [one.result.revision for one in queued]
        assert met, f"no deadlock in {rounds} rounds"
        # Each unit was applied once.
        assert await db.current_revision() == 2 + 2 * rounds
    return f"{trial.driver}: {met} deadlocks, no unit lost, doubled or halved"


@pytest.mark.promise("database.contended-units-are-repeated")
def test_lock_waits(run_trial: RunTrial, engine: str) -> None:
    run_trial(lock_waits)


async def lock_waits(trial: Trial) -> str:
    """The server ends the statement that waits, on MySQL not even its transaction."""
    await trial.sql(trial.product.impatient)
    try:
        async with trial.open(operation_timeout=10) as db:
            uuids = await two_objects(db)
            other = asyncio.create_task(
                trial.sql(trial.product.holding_counter(trial.namespace, 2.5), database=DATABASE)
            )
            await asyncio.sleep(0.3)
            began = time.monotonic()
            async with db.batch() as batch:
                for uuid in uuids:
                    batch.object_update("network", uuid, {"value": 1})
                batch.object_create("network", (new := str(uuid4())), {"fq_name": [new]})
            assert time.monotonic() - began > 1.5
            await other
            found = await db.object_read("network", uuids)
            assert [one["value"] for one in found] == [1, 1]
            assert await db.current_revision() == 5
    finally:
        await trial.sql(trial.product.patient)
    return ""


@pytest.mark.promise("database.contended-units-are-repeated")
def test_serializable_server(
    run_trial: RunTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_trial(serializable_server))


async def serializable_server(trial: Trial) -> str:
    """Whatever isolation an administrator made the default, no caller hears of it."""
    options = {trial.product.strict: "SERIALIZABLE"}
    server = await trial.fleet.do(trial.fleet.fresh, trial.engine, options=options)
    try:
        # Behind a pooler the adapter leaves the server's default as it is.
        pooled = {"pooler": "transaction"} if trial.engine == "postgres" else {}
        async with trial.open(server, **pooled) as db, trial.open(server, **pooled) as other:
            uuids = await two_objects(db)

            async def count(db: ConfigDatabase, number: int) -> None:
                for _ in range(10):
                    await update_with(
                        db, "network", uuids[number % 2], lambda one: {"value": one["value"] + 1}
                    )
                    async with db.batch() as batch:
                        for _ in range(3):
                            uuid = str(uuid4())
                            batch.object_create("network", uuid, {"fq_name": [uuid]})

            await asyncio.gather(*(count((db, other)[n // 2 % 2], n) for n in range(8)))
            found = await db.object_read("network", uuids)
            assert [one["value"] for one in found] == [40, 40]
            assert await db.current_revision() == 2 + 80 + 8 * 10 * 3
    finally:
        await trial.fleet.do(end, server)
    return f"{trial.driver}: 8 writers on a serializable server, no update lost"
