"""The memory engine's switchboard, and who shares a name."""

import asyncio
import threading
from collections.abc import Generator
from uuid import uuid4

import pytest

from asyncbackends import ConfigDatabase, ConnectionState, ObjectType, Schema, open_config_database
from asyncbackends.errors import (
    BackendClosedError,
    ConfigurationError,
    ConnectionLostError,
    FqNameTakenError,
    ObjectNotFoundError,
    OperationTimeoutError,
    WriteContentionError,
)
from asyncbackends.opening import Opener
from asyncbackends_memory import Faults, faults

SCHEMA = Schema({"project": ObjectType()})
ENDPOINT = "switched"


@pytest.fixture
def switchboard() -> Generator[Faults]:
    yield faults(ENDPOINT)
    faults(ENDPOINT).clear()


def opened(seconds: float = 5.0) -> Opener[ConfigDatabase]:
    return open_config_database(
        engine="memory", endpoints=ENDPOINT, schema=SCHEMA, operation_timeout=seconds
    )


async def test_fail_next_refuses_and_nothing_is_applied(switchboard: Faults) -> None:
    async with opened() as db:
        uuid = uuid4()
        switchboard.fail_next(WriteContentionError("busy"), "object_create")
        assert await db.object_list("project", count=True) == 0
        with pytest.raises(WriteContentionError):
            await db.object_create("project", uuid, {"fq_name": ["p"]})
        with pytest.raises(ObjectNotFoundError):
            await db.object_get("project", uuid)
        await db.object_create("project", uuid, {"fq_name": ["p"]})


async def test_a_unit_that_fails_in_the_middle_is_taken_back(switchboard: Faults) -> None:
    async with opened() as db:
        switchboard.fail_next(ConnectionLostError("killed"), "batch", at_write=1)
        before = await db.current_revision()
        with pytest.raises(ConnectionLostError, match="killed"):
            async with db.batch() as batch:
                for name in "abc":
                    batch.object_create("project", uuid4(), {"fq_name": [name]})
        assert await db.object_list("project", count=True) == 0
        assert await db.current_revision() == before
        # Its name is free again too.
        await db.object_create("project", uuid4(), {"fq_name": ["a"]})


async def test_a_lost_reply_leaves_the_write_applied(switchboard: Faults) -> None:
    async with opened() as db:
        uuid = uuid4()
        switchboard.lose_reply("object_create")
        with pytest.raises(ConnectionLostError) as raised:
            await db.object_create("project", uuid, {"fq_name": ["p"]})
        assert raised.value.maybe_applied
        result = await db.object_create("project", uuid, {"fq_name": ["p"]})
        assert result.revision == await db.current_revision() == 1


async def test_a_delay_past_the_deadline_is_a_timeout_without_effect(switchboard: Faults) -> None:
    async with opened(0.05) as db:
        switchboard.delay(10, "object_create")
        with pytest.raises(OperationTimeoutError) as raised:
            await db.object_create("project", uuid4(), {"fq_name": ["p"]})
        assert not raised.value.maybe_applied
        assert await db.object_list("project", count=True) == 0


async def test_operations_wait_for_a_dropped_connection(switchboard: Faults) -> None:
    async with opened() as db:
        switchboard.drop_connection()
        assert db.state is ConnectionState.DISCONNECTED
        create = asyncio.create_task(db.object_create("project", uuid4(), {"fq_name": ["p"]}))
        await asyncio.sleep(0.02)
        assert not create.done()
        switchboard.restore_connection()
        await asyncio.wait_for(create, 1)


async def test_a_connection_that_stays_away_is_an_error_without_effect(
    switchboard: Faults,
) -> None:
    async with opened(0.05) as db:
        switchboard.drop_connection()
        with pytest.raises(ConnectionLostError) as raised:
            await db.object_create("project", uuid4(), {"fq_name": ["p"]})
        assert not raised.value.maybe_applied
        switchboard.restore_connection()
        assert await db.object_list("project", count=True) == 0


async def test_closing_ends_the_waiting_of_an_operation_and_of_a_watch(
    switchboard: Faults,
) -> None:
    async with opened() as db:
        await db.object_create("project", uuid4(), {"fq_name": ["p"]})
        watch = await db.watch().__aenter__()
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.01)
    with pytest.raises(BackendClosedError):
        await asyncio.wait_for(waiting, 1)


async def test_openers_of_one_name_share_until_the_last_closes() -> None:
    async with opened() as first:
        async with opened() as second:
            await first.object_create("project", uuid4(), {"fq_name": ["p"]})
            with pytest.raises(FqNameTakenError):
                await second.object_create("project", uuid4(), {"fq_name": ["p"]})
        assert await first.object_list("project", count=True) == 1
    async with opened() as third:
        assert await third.object_list("project", count=True) == 0


async def test_another_event_loop_is_refused() -> None:
    problems: list[Exception] = []

    async def open_too() -> None:
        async with opened():
            pass

    def other_loop() -> None:
        try:
            asyncio.run(open_too())
        except ConfigurationError as error:
            problems.append(error)

    async with opened():
        thread = threading.Thread(target=other_loop)
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
    assert "another event loop" in str(problems[0])
