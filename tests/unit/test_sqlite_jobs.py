"""The race between the loop and a thread: what has not begun is never applied."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import ObjectType, Schema
from asyncbackends.errors import (
    BackendClosedError,
    OperationTimeoutError,
    ResourceExhaustedError,
    WriteContentionError,
)
from asyncbackends.native import allocate_lock
from asyncbackends.object_model.writes import KvPut
from asyncbackends_sqlite import jobs
from asyncbackends_sqlite.jobs import Job, JobKind
from asyncbackends_sqlite.options import SqliteDatabaseOptions
from asyncbackends_sqlite.session import Session
from asyncbackends_sqlite.unit import Unit

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
SCHEMA = Schema({"tag": ObjectType()})


@asynccontextmanager
async def opened(path: Path | str, **options: Any) -> AsyncGenerator[Session]:
    session = Session([str(path)], SqliteDatabaseOptions(schema=SCHEMA, **options))
    await session.connect()
    try:
        yield session
    finally:
        await session.shutdown(1)


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Hold the lock as another process would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def columns(session: Session, key: str) -> Any:
    return await session.read(lambda cursor: cursor.execute(session.sql.row, ("t", key)).fetchone())


def put(key: str) -> KvPut:
    return KvPut("t", key, {"column": "1"})


async def test_one_of_two_has_the_claim() -> None:
    job = Job(lambda _: None, asyncio.get_running_loop().create_future(), JobKind.WRITE)
    assert job.claim()
    assert not job.abandon()
    assert job.abandoned


@pytest.mark.promise("database.not-begun-never-applied", engines=["sqlite"])
async def test_cancelled_before_it_begins_is_never_applied(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as session:
        async with locked(tmp_path / "x.db"):
            write = asyncio.create_task(session.write(put("cancelled")))
            await asyncio.sleep(0.05)
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
        await session.write(put("later"))
        assert await columns(session, "later") is not None
        assert await columns(session, "cancelled") is None


@pytest.mark.promise("database.not-begun-never-applied", engines=["sqlite"])
async def test_lock_of_another_process_is_contention_and_never_applied(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db", operation_timeout=0.2) as session:
        async with locked(tmp_path / "x.db"):
            outcomes = await asyncio.gather(
                *(session.write(put(f"late {n}")) for n in range(3)), return_exceptions=True
            )
        for outcome in outcomes:
            assert isinstance(outcome, WriteContentionError)
            assert outcome.retryable
            assert not outcome.maybe_applied
        await session.write(put("later"))
        assert [await columns(session, f"late {n}") for n in range(3)] == [None] * 3


async def test_lock_that_is_released_in_time_costs_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as session:
        async with locked(tmp_path / "x.db"):
            write = asyncio.create_task(session.write(put("patient")))
            await asyncio.sleep(0.1)
            assert not write.done()
        assert (await write).revision == 1


async def test_begun_and_late_may_be_applied(tmp_path: Path) -> None:
    release = allocate_lock()
    release.acquire()

    def slow(unit: Unit) -> None:
        unit.execute(unit.sql.put_useragent, ("slow", "1"))
        release.acquire(True, 5)

    async with opened(tmp_path / "x.db", operation_timeout=0.1) as session:
        with pytest.raises(OperationTimeoutError) as late:
            await session.change(slow)
        assert late.value.maybe_applied
        # What waited behind it was not begun.
        with pytest.raises(OperationTimeoutError) as behind:
            await session.write(put("behind"))
        assert not behind.value.maybe_applied
        release.release()
        await session.write(put("later"))
        statement = session.sql.useragent
        found = await session.read(
            lambda cursor: cursor.execute(statement, ('["slow"]',)).fetchall()
        )
        assert found == [("slow", "1")]
        assert await columns(session, "behind") is None


@pytest.mark.parametrize("path", ["x.db", ":memory:"])
async def test_a_read_nobody_waits_for_is_interrupted(tmp_path: Path, path: str) -> None:
    target = path if path == ":memory:" else tmp_path / path
    async with opened(target, operation_timeout=0.2, readers=1) as session:
        with pytest.raises(OperationTimeoutError) as late:
            await session.read(lambda cursor: cursor.execute(ENDLESS).fetchone())
        assert not late.value.maybe_applied
        began = time.monotonic()
        assert await columns(session, "any") is None
        assert time.monotonic() - began < 0.2
        reading = asyncio.create_task(
            session.read(lambda cursor: cursor.execute(ENDLESS).fetchone())
        )
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await columns(session, "any") is None
        assert (await session.write(put("fine"))).revision == 1


async def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LONGEST_QUEUE", 20)
    async with opened(tmp_path / "x.db") as session:
        async with locked(tmp_path / "x.db"):
            writes = [asyncio.create_task(session.write(put(str(n)))) for n in range(40)]
            await asyncio.sleep(0.1)
            refused = [write.exception() for write in writes if write.done()]
            assert all(isinstance(error, ResourceExhaustedError) for error in refused)
        accepted = await asyncio.gather(*writes, return_exceptions=True)
        applied = [result for result in accepted if not isinstance(result, BaseException)]
        assert len(applied) + len(refused) == 40
        revision = await session.read(
            lambda cursor: cursor.execute(session.sql.counters).fetchone()[0]
        )
        assert revision == len(applied)


async def test_one_refused_write_leaves_its_group_alone(tmp_path: Path) -> None:
    def broken(unit: Unit) -> None:
        unit.execute(unit.sql.put_useragent, ("half", "1"))
        message = "on the way"
        raise ValueError(message)

    async with opened(tmp_path / "x.db") as session:
        async with locked(tmp_path / "x.db"):
            first = asyncio.create_task(session.write(put("first")))
            middle = asyncio.create_task(session.change(broken))
            last = asyncio.create_task(session.write(put("last")))
            await asyncio.sleep(0.05)
        assert (await first).revision == 1
        with pytest.raises(ValueError, match="on the way"):
            await middle
        assert (await last).revision == 2
        found = await session.read(
            lambda cursor: cursor.execute(session.sql.useragent, ('["half"]',)).fetchall()
        )
        assert found == []


async def test_shutdown_finishes_what_is_queued(tmp_path: Path) -> None:
    session = Session([str(tmp_path / "x.db")], SqliteDatabaseOptions(schema=SCHEMA))
    await session.connect()
    writes = [asyncio.create_task(session.write(put(str(n)))) for n in range(200)]
    await asyncio.sleep(0)
    await session.shutdown(5)
    assert [(await write).revision for write in writes] == [*range(1, 201)]
    with pytest.raises(BackendClosedError):
        await session.write(put("after"))


async def test_shutdown_without_grace_refuses_what_is_queued(tmp_path: Path) -> None:
    session = Session([str(tmp_path / "x.db")], SqliteDatabaseOptions(schema=SCHEMA))
    await session.connect()
    async with locked(tmp_path / "x.db"):
        writes = [asyncio.create_task(session.write(put(str(n)))) for n in range(5)]
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await session.shutdown(0)
        assert time.monotonic() - began < 2
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, BackendClosedError) for outcome in outcomes)


async def test_a_thread_that_dies_fails_the_backend_with_its_cause(tmp_path: Path) -> None:
    async with opened(tmp_path / "x.db") as session:

        def close(unit: Unit) -> None:
            unit.connection.close()

        with pytest.raises(BackendClosedError, match="the thread that writes failed"):
            await session.change(close)
        await asyncio.sleep(0.05)
        with pytest.raises(BackendClosedError, match="Cannot operate on a closed database"):
            await session.write(put("after"))
