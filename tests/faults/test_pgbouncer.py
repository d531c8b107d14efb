"""Behind PgBouncer in transaction mode, where each transaction may be on another connection."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ALL_FIELDS, Change, CollectionUpdate, ConfigDatabase
from asyncbackends.errors import DanglingRefError, StillReferencedError
from tests.faults.database_load import load
from tests.faults.database_trials import RunTrial, Trial
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres

pytestmark = [
    pytest.mark.parametrize(("driver", "engine"), [pytest.param("asyncpg", "postgres")]),
    pytest.mark.timeout(300),
]


def bouncer_of(trial: Trial) -> PgBouncer:
    """Give one whose every transaction is soon on another connection than the one before it."""
    assert isinstance(trial.server, Postgres)
    options = {"default_pool_size": "4", "server_round_robin": "1", "server_login_retry": "0.2"}
    return PgBouncer(trial.server, options=options)


@pytest.mark.promise("database.works-behind-a-transaction-pooler")
def test_transaction_mode(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(transaction_mode))


async def transaction_mode(trial: Trial) -> str:
    bouncer = bouncer_of(trial)
    await trial.fleet.do(bouncer.start)
    options: dict[str, Any] = {
        "endpoints": bouncer.endpoint,
        "pooler": "transaction",
        "pool_size": 10,
    }
    try:
        async with trial.open(**options) as db, trial.open(**options) as other:
            async with db.watch() as changes:
                await asyncio.gather(*(everything(each) for each in (db, other) * 8))
                revision = await db.current_revision()
                seen: list[int] = []
                while len(seen) < revision:
                    change = await asyncio.wait_for(anext(changes), 5)
                    assert isinstance(change, Change)
                    seen.append(change.revision)
                assert seen == [*range(1, revision + 1)]
            async with load(trial, db, writers=16, readers=16) as calls:
                await asyncio.sleep(1)
            assert calls.errors(calls.endings) == []
            await calls.verify(db)
            assert int(await trial.sql(trial.product.connections)) <= 4
    finally:
        await trial.fleet.do(bouncer.remove)
    return f"{len(calls.endings)} calls on 4 connections of a pooler, 0 errors"


async def everything(db: ConfigDatabase) -> None:
    """Use each kind of call, blind writes, refused ones and those of several steps."""
    project, one, two, network = (str(uuid4()) for _ in range(4))
    await db.object_create("project", project, {"fq_name": [project]})
    await db.object_create("network", network, {"fq_name": [network]})
    async with db.batch() as batch:
        for uuid in (one, two):
            body = {"fq_name": [project, uuid], "parent_type": "project"}
            batch.object_create("subnet", uuid, body)
        batch.ref_update("subnet", one, "network", network, None, "ADD")
    with pytest.raises(StillReferencedError):
        await db.object_delete("network", network)
    with pytest.raises(DanglingRefError):
        await db.ref_update("subnet", one, "network", str(uuid4()), None, "ADD")
    await db.object_update("subnet", one, {"text": "new"})
    await db.prop_collection_update("subnet", one, [CollectionUpdate("servers", "add", "a")])
    found = await db.object_get("subnet", one, ALL_FIELDS)
    assert (found["text"], found["servers"]) == ("new", ["a"])
    assert len(await db.object_list("subnet", parent_uuids=[project])) == 2
    await db.ref_update("subnet", one, "network", network, None, "DELETE")
    await db.object_delete("network", network)
    await db.object_delete("subnet", two)
    assert await db.object_count_children("project", project, "subnet") == 1


@pytest.mark.promise("database.works-behind-a-transaction-pooler")
def test_pooler_dies(run_trial: RunTrial, engine: str) -> None:
    run_trial(pooler_dies)


async def pooler_dies(trial: Trial) -> str:
    bouncer = bouncer_of(trial)
    await trial.fleet.do(bouncer.start)
    try:
        async with trial.open(
            endpoints=bouncer.endpoint, pooler="transaction", operation_timeout=5
        ) as db:
            async with load(trial, db) as calls:
                await asyncio.sleep(0.3)
                # The pooler goes, then the server behind it: its clients keep their connections.
                await trial.fleet.do(bouncer.kill)
                await trial.fleet.do(bouncer.start)
                await asyncio.sleep(0.3)
                await trial.kill()
                await trial.start()
                await asyncio.sleep(0.5)
            assert calls.longest <= 5 + 1
            await calls.verify(db)
            await db.object_create("project", (last := str(uuid4())), {"fq_name": [last]})
            # Cancelled calls are stopped on the server by way of the pooler.
            for _ in range(50):
                call = asyncio.create_task(db.object_list("network", field_names=["text"]))
                await asyncio.sleep(0.001)
                call.cancel()
                await asyncio.wait({call})
                assert (await db.object_get("project", last))["uuid"] == last
    finally:
        await trial.fleet.do(bouncer.remove)
    return ""
