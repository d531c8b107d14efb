"""A disk that is full, a file that cannot be written: typed, and nothing half-written."""

import sqlite3
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ConnectionState
from asyncbackends.errors import (
    AccessDeniedError,
    BackendError,
    ConnectionLostError,
    ResourceExhaustedError,
    TransactionFailedError,
)
from asyncbackends_sqlite import driver_errors
from asyncbackends_sqlite.database import SqliteConfigDatabase
from asyncbackends_sqlite.options import SqliteDatabaseOptions
from asyncbackends_sqlite.session import Session
from asyncbackends_sqlite.unit import Unit
from tests.faults.sqlite_process import SCHEMA

BULKY = {"text": "x" * 20_000}


class Opened(SqliteConfigDatabase):
    """Lets a test speak to SQLite on the writer's connection."""

    @property
    def session(self) -> Session:
        return self._session

    async def pragma(self, statement: str) -> Any:
        def work(unit: Unit) -> Any:
            return unit.execute(f"PRAGMA {statement}").fetchone()

        return await self._session.change(work)


async def opened(path: Path) -> Opened:
    db = Opened([str(path)], SqliteDatabaseOptions(schema=SCHEMA))
    await db.connect()
    return db


def state_of(db: Opened) -> ConnectionState:
    return db.state


async def create(db: Opened) -> str:
    uuid = str(uuid4())
    await db.object_create("project", uuid, {"fq_name": [uuid], **BULKY})
    return uuid


@pytest.mark.promise("database.full-disk-is-typed", engines=["sqlite"])
async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    db = await opened(tmp_path / "x.db")
    try:
        there = [await create(db) for _ in range(3)]
        pages = (await db.pragma("page_count"))[0]
        await db.pragma(f"max_page_count = {pages + 8}")
        with pytest.raises(ResourceExhaustedError, match="full") as full:
            for _ in range(5):
                there += [await create(db)]
        assert not full.value.maybe_applied
        assert state_of(db) is ConnectionState.BLOCKED
        revision = await db.current_revision()
        assert revision == len(there)
        with pytest.raises(BackendError) as refused:
            async with db.batch() as batch:
                for _ in range(5):
                    uuid = str(uuid4())
                    batch.object_create("project", uuid, {"fq_name": [uuid], **BULKY})
        assert isinstance(refused.value, ResourceExhaustedError | TransactionFailedError)
        assert not refused.value.maybe_applied
        assert await db.object_list("project", count=True) == len(there)
        assert await db.current_revision() == revision
        await db.pragma("max_page_count = 1000000")
        there.append(await create(db))
        assert state_of(db) is ConnectionState.CONNECTED
        assert {uuid for _, uuid in await db.object_list("project")} == {*there}
    finally:
        await db.shutdown()
    connection = sqlite3.connect(tmp_path / "x.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    db = await opened(tmp_path / "x.db")
    try:
        await create(db)
        await db.pragma("query_only = 1")
        with pytest.raises(AccessDeniedError) as refused:
            await create(db)
        assert not refused.value.maybe_applied
        assert await db.object_list("project", count=True) == 1
    finally:
        await db.shutdown()


@pytest.mark.parametrize(
    ("code", "error", "maybe"),
    [
        (sqlite3.SQLITE_FULL, ResourceExhaustedError, False),
        (sqlite3.SQLITE_IOERR_FSYNC, ConnectionLostError, True),
        (sqlite3.SQLITE_CORRUPT, ConnectionLostError, True),
        (sqlite3.SQLITE_READONLY, AccessDeniedError, False),
    ],
)
def test_a_failed_commit_says_whether_it_may_be_applied(
    code: int, error: type[BackendError], *, maybe: bool
) -> None:
    driver = sqlite3.OperationalError("on the way")
    driver.sqlite_errorcode = code
    found = driver_errors.commit_error(driver)
    assert type(found) is error
    assert found.maybe_applied is maybe
    assert "rolled back" in str(found)


async def test_a_failed_commit_takes_back_its_group_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    """A deferred foreign key is what SQLite only looks at in the COMMIT."""

    def spoil(unit: Unit) -> None:
        unit.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        unit.execute("CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
        unit.execute("INSERT INTO b VALUES (1)")

    db = await opened(tmp_path / "x.db")
    try:
        there = await create(db)
        await db.session.change(foreign_keys_soon)
        with pytest.raises(BackendError, match="commit failed and was rolled back"):
            await db.session.change(spoil)
        assert await db.current_revision() == 1
        assert (await db.object_get("project", there)).revision == 1
        await create(db)
        assert await db.current_revision() == 2
    finally:
        await db.shutdown()


def foreign_keys_soon(unit: Unit) -> None:
    """Turn foreign keys on, which SQLite does between transactions alone."""
    begin = unit.begin

    def with_foreign_keys() -> None:
        unit.execute("PRAGMA foreign_keys = 1")
        begin()

    unit.begin = with_foreign_keys  # type: ignore[method-assign]  # only this one
