"""The seam: log records with fields and without values, mapped errors, states of the link."""

import asyncio
import logging
from uuid import uuid4

import pytest

from asyncbackends import (
    ConnectionState,
    ConnectionStatus,
    Kind,
    ObjectType,
    Schema,
    open_config_database,
)
from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    InvalidRequestError,
    ObjectNotFoundError,
)
from asyncbackends.observability import LinkStates, Seam
from asyncbackends_memory import faults

SCHEMA = Schema({"project": ObjectType()})


class DriverError(Exception):
    """What a driver raises."""


def table(error: Exception) -> BackendError | None:
    return ConnectionLostError("gone") if isinstance(error, DriverError) else None


def seam() -> Seam:
    return Seam(Kind.COORDINATION, "acme", table)


def test_a_drivers_error_becomes_ours_with_its_cause() -> None:
    with pytest.raises(ConnectionLostError) as raised, seam()("create_node"):
        raise DriverError("socket 7")
    assert isinstance(raised.value.__cause__, DriverError)
    assert (raised.value.engine, raised.value.operation) == ("acme", "create_node")


def test_what_the_table_does_not_know_leaves_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), seam()("create_node"):
        raise ZeroDivisionError


def test_a_cancellation_leaves_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncbackends")
    with pytest.raises(asyncio.CancelledError), seam()("create_node"):
        raise asyncio.CancelledError
    assert caplog.records[0].outcome == "cancelled"  # type: ignore[attr-defined]  # an extra field


async def test_records_carry_fields_and_never_a_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncbackends")
    async with open_config_database(engine="memory", endpoints="logs", schema=SCHEMA) as db:
        await db.object_create("project", uuid4(), {"fq_name": ["hunter2"], "password": "hunter2"})
        with pytest.raises(ObjectNotFoundError):
            await db.object_get("project", uuid4())
        with pytest.raises(InvalidRequestError):
            await db.object_create("project", uuid4(), {"fq_name": ["p"], "x": (b"hunter2",)})
    fields = [vars(record) for record in caplog.records if "operation" in vars(record)]
    assert [(found["operation"], found["outcome"]) for found in fields] == [
        ("object_create", "ok"),
        ("object_get", "ObjectNotFoundError"),
        ("object_create", "InvalidRequestError"),
    ]
    assert {found["engine"] for found in fields} == {"memory"}
    assert all(found["duration_ms"] >= 0 for found in fields)
    assert {record.name for record in caplog.records} == {"asyncbackends.database"}
    assert "hunter2" not in caplog.text + str(fields)


async def test_states_give_the_present_one_and_every_later_one_to_the_end() -> None:
    seen: list[ConnectionStatus] = []
    async with open_config_database(engine="memory", endpoints="states") as db:
        states = db.states()

        async def follow() -> None:
            async with states as following:
                async for status in following:
                    seen.append(status)  # noqa: PERF401  # the list is looked at meanwhile

        task = asyncio.create_task(follow())
        await asyncio.sleep(0.01)
        faults("states").drop_connection()
        await asyncio.sleep(0.01)
        assert db.state is ConnectionState.DISCONNECTED
        faults("states").restore_connection()
        await asyncio.sleep(0.01)
    await asyncio.wait_for(task, 1)
    assert [status.state.value for status in seen] == [
        "connected",
        "disconnected",
        "connected",
        "closed",
    ]
    assert "switchboard" in (seen[1].reason or "")


async def test_a_slow_reader_of_states_gets_the_last_one() -> None:
    links = LinkStates(seam())
    links.set(ConnectionState.CONNECTING)
    async with links.watch() as following:
        assert (await anext(following)).state is ConnectionState.CONNECTING
        links.set(ConnectionState.CONNECTED, "a:1")
        links.set(ConnectionState.BLOCKED, "a:1", "memory alarm")
        status = await anext(following)
    assert (status.state, status.endpoint, status.reason) == (
        ConnectionState.BLOCKED,
        "a:1",
        "memory alarm",
    )


def test_losses_are_warnings_and_other_changes_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asyncbackends")
    links = LinkStates(seam())
    links.set(ConnectionState.CONNECTED)
    links.set(ConnectionState.DISCONNECTED, None, "reset by peer")
    links.set(ConnectionState.DISCONNECTED, None, "reset by peer")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "coordination service connected"),
        ("WARNING", "coordination service disconnected: reset by peer"),
    ]
