"""The seam around operations: time, log, errors, link states; and never a value."""

import asyncio
import logging
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ObjectType, Schema, open_config_database
from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    ObjectNotFoundError,
    ResourceExhaustedError,
)
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.protocols.backend import ConnectionState, Kind

pytestmark = pytest.mark.promise("observability.no-values-in-logs")

DRIVER_ERRORS: dict[type[Exception], type[BackendError]] = {
    OSError: ConnectionLostError,
    MemoryError: ResourceExhaustedError,
}


def mapped(error: Exception) -> BackendError | None:
    kind = DRIVER_ERRORS.get(type(error))
    return None if kind is None else kind(f"the driver said: {error}")


@pytest.fixture
def seam() -> Seam:
    return Seam(Kind.CONFIG_DATABASE, "sample", mapped)


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Generator[list[logging.LogRecord]]:
    handler, logger = Kept(), logging.getLogger("asyncbackends")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.records
    logger.setLevel(level)
    logger.removeHandler(handler)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    plain = logging.makeLogRecord({}).__dict__
    return {name: value for name, value in record.__dict__.items() if name not in plain}


def test_operation_is_one_record(seam: Seam, records: list[logging.LogRecord]) -> None:
    with seam("object_get"):
        pass
    (record,) = records
    extra = fields(record)
    duration = extra.pop("duration_ms")
    assert extra == {
        "engine": "sample",
        "operation": "object_get",
        "outcome": "ok",
        # The handler that keeps it may have formatted it already.
        **({"message": record.getMessage()} if "message" in extra else {}),
    }
    assert 0 <= duration < 1000
    assert (record.name, record.levelno) == ("asyncbackends.database", logging.DEBUG)


@pytest.mark.parametrize("kind", [*Kind])
def test_log_names_the_service_not_the_engine(kind: Kind, records: list[logging.LogRecord]) -> None:
    with Seam(kind, "sample", mapped)("ask"):
        pass
    assert records[0].getMessage() == f"{kind.words} ask: ok"
    assert "sample" not in records[0].getMessage()
    assert records[0].name.startswith("asyncbackends.")


def test_error_of_ours_is_told_where_it_happened(
    seam: Seam, records: list[logging.LogRecord]
) -> None:
    ours = ObjectNotFoundError("gone")
    with pytest.raises(ObjectNotFoundError) as refusal, seam("object_get"):
        raise ours
    assert refusal.value is ours
    assert (ours.engine, ours.operation) == ("sample", "object_get")
    assert fields(records[0])["outcome"] == "ObjectNotFoundError"


def test_error_of_the_driver_becomes_ours(seam: Seam, records: list[logging.LogRecord]) -> None:
    driver = OSError("link down")
    with (
        pytest.raises(ConnectionLostError, match="the driver said: link down") as refusal,
        seam("object_get"),
    ):
        raise driver
    assert refusal.value.__cause__ is driver
    assert (refusal.value.engine, refusal.value.operation) == ("sample", "object_get")
    assert fields(records[0])["outcome"] == "ConnectionLostError"


def test_other_error_stays_as_it_is(seam: Seam, records: list[logging.LogRecord]) -> None:
    with pytest.raises(KeyError), seam("object_get"):
        raise KeyError("a mistake")  # it is looked for
    assert fields(records[0])["outcome"] == "KeyError"
    assert "a mistake" not in records[0].getMessage()


def test_cancellation_passes(seam: Seam, records: list[logging.LogRecord]) -> None:
    with pytest.raises(asyncio.CancelledError), seam("object_get"):
        raise asyncio.CancelledError
    assert fields(records[0])["outcome"] == "cancelled"


def test_nothing_is_logged_above_debug(seam: Seam, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncbackends")
    with seam("object_get"):
        pass
    assert caplog.records == []


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_no_value_reaches_the_log(engine: str, records: list[logging.LogRecord]) -> None:
    schema = Schema({"project": ObjectType()})
    endpoints = ":memory:" if engine == "sqlite" else "observed"
    async with open_config_database(engine=engine, endpoints=endpoints, schema=schema) as db:
        uuid = uuid4()
        await db.object_create("project", uuid, {"fq_name": ["s3cret"], "p": "s3cret"})
        await db.object_update("project", uuid, {"p": {"x": ["s3cret"]}})
        await db.kv_put("s3cret", "s3cret", {"s3cret": "s3cret"})
        with pytest.raises(ObjectNotFoundError):
            await db.object_get("project", uuid4())
        await db.object_list("project", filters={"p": ["s3cret"]})
    logged = [(record.getMessage(), fields(record)) for record in records]
    operations = [extra["operation"] for _, extra in logged if "operation" in extra]
    # An engine with a link to make also tells of that.
    operations = [operation for operation in operations if operation != "connect"]
    expected = ["object_create", "object_update", "kv_put", "object_get", "object_list"]
    assert operations == expected
    assert {extra["engine"] for _, extra in logged} == {engine}
    assert "s3cret" not in str(logged)


def test_link_states_are_logged_by_their_weight(
    seam: Seam, records: list[logging.LogRecord]
) -> None:
    states = LinkStates(seam)
    states.set(ConnectionState.CONNECTING, "host:1")
    states.set(ConnectionState.CONNECTED, "host:1")
    states.set(ConnectionState.CONNECTED, "host:1")
    states.set(ConnectionState.DISCONNECTED, "host:1", "it went away")
    levels = [(record.levelno, fields(record)["state"]) for record in records]
    assert levels == [
        (logging.INFO, "connecting"),
        (logging.INFO, "connected"),
        (logging.WARNING, "disconnected"),
    ]
    assert records[-1].getMessage() == "config database disconnected: it went away"
    assert fields(records[-1])["endpoint"] == "host:1"


async def test_watcher_of_states_never_misses_the_last(seam: Seam) -> None:
    states = LinkStates(seam)
    states.set(ConnectionState.CONNECTED)
    seen: list[ConnectionState] = []
    note = seen.append

    async def watch() -> None:
        async with states.watch() as feed:
            async for status in feed:
                note(status.state)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for _ in range(3):
        states.set(ConnectionState.DISCONNECTED)
        states.set(ConnectionState.CONNECTED, "again")
    await asyncio.sleep(0.01)
    states.set(ConnectionState.CLOSED)
    async with asyncio.timeout(2):
        await watching
    assert seen[0] is ConnectionState.CONNECTED
    assert seen[-1] is ConnectionState.CLOSED
    assert ConnectionState.CONNECTED in seen[1:-1]
