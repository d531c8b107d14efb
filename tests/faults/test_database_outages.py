"""Servers that are killed, restarted, frozen or cut off: every call ends in time, and says how."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import Change, ConfigDatabase, ConnectionState
from asyncbackends.errors import (
    BackendClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from tests.faults.database_load import OUTAGE, load
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.servers.process import free_port

OUTAGES = {"ci": 15.0, "soak": 90.0}
TIMEOUT = 1.0
GRACE = 1.0
"""A call may end so many seconds after its deadline."""

pytestmark = [each_driver, pytest.mark.timeout(600)]


async def create(db: ConfigDatabase) -> str:
    uuid = str(uuid4())
    await db.object_create("network", uuid, {"fq_name": [uuid]})
    return uuid


async def in_state(trial: Trial, db: ConfigDatabase, state: ConnectionState) -> float:
    """Wait for a state of the link and say how many seconds it took."""
    began = time.monotonic()

    async def is_so() -> bool:
        return db.state is state

    await trial.settled(is_so, f"not {state} but {db.state}")
    return time.monotonic() - began


@pytest.mark.promise("database.outages-end-by-the-deadline")
def test_killed_in_flight(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(killed_in_flight))


async def killed_in_flight(trial: Trial) -> str:
    async with trial.open(operation_timeout=TIMEOUT) as db:
        async with load(trial, db) as calls:
            await calls.reach(30)
            await trial.kill()
            # Calls come and end while it is away.
            await asyncio.sleep(2 * TIMEOUT)
            assert db.state is ConnectionState.DISCONNECTED
            await trial.start()
            back = await in_state(trial, db, ConnectionState.CONNECTED)
            known = len(calls.acknowledged)
            await asyncio.sleep(0.3)
        assert len(calls.acknowledged) > known, "nothing is written any more"
        assert calls.in_doubt
        assert calls.refused
        assert calls.errors(calls.reads)
        assert calls.longest <= TIMEOUT + GRACE
        await calls.verify(db)
    return (
        f"{trial.driver}: kill -9 under {len(calls.acknowledged)} writes, {len(calls.in_doubt)} in "
        f"doubt, 0 lost; the longest call {calls.longest:.1f} s, back after {back:.1f} s"
    )


@pytest.mark.promise("database.outlives-restarts")
def test_restarted(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(restarted))


async def restarted(trial: Trial) -> str:
    """Reads are repeated, and what was not sent waits: nobody hears of a restart but in doubt."""
    async with trial.open(operation_timeout=20) as db:
        async with load(trial, db) as calls:
            for _ in range(3):
                await asyncio.sleep(0.2)
                await trial.restart()
            await asyncio.sleep(0.2)
        assert calls.errors(calls.reads) == []
        assert not calls.refused
        assert all(error.maybe_applied for error in calls.errors(calls.writes))
        await calls.verify(db)
    return (
        f"{trial.driver}: 3 restarts under {len(calls.reads)} reads and {len(calls.writes)} "
        f"writes: 0 reads failed, {len(calls.in_doubt)} writes in doubt, 0 lost"
    )


@pytest.mark.promise("database.outages-end-by-the-deadline")
def test_frozen(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(frozen))


async def frozen(trial: Trial) -> str:
    async with trial.open(operation_timeout=TIMEOUT, link_timeout=TIMEOUT) as db:
        there = await create(db)
        slowest = 0.0
        # One call on a connection that was made before.
        await trial.freeze()
        read = await trial.ending(db.object_get("network", there))
        read.failed(OperationTimeoutError)
        await in_state(trial, db, ConnectionState.DISCONNECTED)
        await trial.thaw()
        await in_state(trial, db, ConnectionState.CONNECTED)
        assert (await db.object_get("network", there))["uuid"] == there
        await trial.freeze()
        new = str(uuid4())
        write = await trial.ending(db.object_create("network", new, {"fq_name": [new]}))
        write.failed(OperationTimeoutError, maybe=True)
        # And many at once, most of which have no connection.
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(trial.ending(call))
                for call in (
                    db.object_list("network"),
                    db.object_list("network", count=True),
                    db.object_update("network", there, {"text": "new"}),
                    db.object_delete("network", there),
                    db.ref_update("network", there, "network", new, None, "ADD"),
                    db.kv_put("table", "key", {"a": 1}),
                    db.current_revision(),
                    db.server_info(),
                    batch(db, there),
                    watch(db),
                )
            ]
        endings = [read, write, *(task.result() for task in tasks)]
        for ending in endings:
            assert type(ending.error) in OUTAGE, repr(ending.error or ending.value)
            assert ending.seconds <= TIMEOUT + GRACE
            slowest = max(slowest, ending.seconds)
        await trial.thaw()
        await in_state(trial, db, ConnectionState.CONNECTED)
        # Nothing was refused for being late: what may be applied is there as a whole or not.
        one = await db.object_get("network", there)
        assert one.get("text") in {None, "new"}
    return f"{trial.driver}: {len(endings)} calls on a frozen server, the longest {slowest:.1f} s"


async def batch(db: ConfigDatabase, there: str) -> None:
    async with db.batch() as batch:
        batch.object_update("network", there, {"text": "new"})
        batch.useragent_kv_store("key", "value")


async def watch(db: ConfigDatabase) -> None:
    async with db.watch():
        pass


@pytest.mark.promise("database.ends-beside-a-frozen-server")
def test_shut_down_while_frozen(run_trial: RunTrial, engine: str) -> None:
    run_trial(shut_down_while_frozen)


async def shut_down_while_frozen(trial: Trial) -> str:
    async with trial.open(operation_timeout=20) as db:
        there = await create(db)
        await trial.freeze()
        calls = [
            asyncio.create_task(trial.ending(db.object_get("network", there))) for _ in range(15)
        ]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await db.shutdown(grace=0.5)
        seconds = time.monotonic() - began
        assert seconds <= 0.5 + 2
        async with asyncio.timeout(1):
            for ending in await asyncio.gather(*calls):
                assert isinstance(ending.error, BackendClosedError | ConnectionLostError)
        await trial.thaw()
    return f"{trial.driver}: ended after {seconds:.1f} s beside a frozen server"


@pytest.mark.promise("database.first-contact-is-bounded")
def test_first_contact(run_trial: RunTrial, engine: str) -> None:
    run_trial(first_contact)


async def first_contact(trial: Trial) -> str:
    endpoint = f"127.0.0.1:{free_port()}"
    nobody = await trial.refusal(endpoints=endpoint, connect_timeout=5)
    assert endpoint in str(nobody.failed(ConnectionFailedError))
    assert nobody.seconds < 1
    await trial.freeze()
    silent = await trial.refusal(connect_timeout=TIMEOUT)
    assert trial.server.endpoint in str(silent.failed(ConnectionFailedError))
    assert silent.seconds <= TIMEOUT + GRACE
    both = await trial.refusal(endpoints=[endpoint, trial.server.endpoint], connect_timeout=TIMEOUT)
    told = str(both.failed(ConnectionFailedError))
    assert endpoint in told
    assert trial.server.endpoint in told
    assert both.seconds <= TIMEOUT + GRACE
    await trial.thaw()
    return ""


@pytest.mark.promise("database.ended-connections-are-replaced")
def test_idle_connections_are_ended(run_trial: RunTrial, engine: str) -> None:
    run_trial(idle_connections_are_ended)


async def idle_connections_are_ended(trial: Trial) -> str:
    """As a fail-over, a pooler's restart or an administrator does: nobody hears of it."""
    async with trial.open(pool_size=4, operation_timeout=5) as db:
        for number in range(6):
            there = [await create(db)]
            await asyncio.gather(*(db.object_get("network", there[0]) for _ in range(20)))
            assert 1 < await trial.connections() <= 4
            await trial.end_connections()
            # What was not sent is not in doubt; a read may be repeated also where it was.
            if number % 2:
                there.append(await create(db))
            found = await asyncio.gather(*(db.object_get("network", there[0]) for _ in range(20)))
            assert {one["uuid"] for one in found} == {there[0]}
            there.append(await create(db))
            assert len(await db.object_read("network", there)) == len(there)
        assert db.state is ConnectionState.CONNECTED
    return ""


@pytest.mark.promise("database.outlives-outages")
def test_long_outage(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(long_outage))


async def long_outage(trial: Trial) -> str:
    """The server is silent for the first half, and gone for the second."""
    seconds = OUTAGES[trial.length]
    options: dict[str, Any] = {"operation_timeout": 2, "link_timeout": 2}
    seen: list[Change] = []
    async with (
        trial.open(**options) as db,
        trial.open(**options) as idle,
        asyncio.TaskGroup() as watching,
    ):
        following = watching.create_task(follow(idle, seen))
        async with load(trial, db) as calls:
            await asyncio.sleep(0.5)
            before = time.monotonic()
            await trial.freeze()
            await asyncio.sleep(5)
            # Whoever only watches hears of it too, after at most twice link_timeout.
            assert state_of(db) is state_of(idle) is ConnectionState.DISCONNECTED
            await asyncio.sleep(seconds / 2 - 5)
            await trial.kill()
            await asyncio.sleep(before + seconds - time.monotonic())
            await trial.start()
            await in_state(trial, db, ConnectionState.CONNECTED)
            await in_state(trial, idle, ConnectionState.CONNECTED)
            after = len(calls.acknowledged)
            await asyncio.sleep(0.5)
        assert len(calls.acknowledged) > after
        assert calls.longest <= 2 + GRACE
        await calls.verify(db)
        revision = await db.current_revision()

        async def is_complete() -> bool:
            return len(seen) >= revision

        await trial.settled(is_complete, f"{len(seen)} of {revision} changes were seen")
        following.cancel()
        assert [change.revision for change in seen] == [*range(1, revision + 1)]
    lost = calls.errors(calls.endings)
    return (
        f"{trial.driver}: {seconds:.0f} s of outage, {len(lost)} calls ended in it, the longest "
        f"{calls.longest:.1f} s; {revision} changes watched, 0 missed"
    )


async def follow(db: ConfigDatabase, seen: list[Change]) -> None:
    async with db.watch(since=0) as changes:
        async for change in changes:
            assert isinstance(change, Change), change
            seen.append(change)


def state_of(db: ConfigDatabase) -> ConnectionState:
    return db.state
