"""Several processes on one file: writing, watching, opening, forking."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbackends import Change, open_config_database
from asyncbackends.errors import ForkedError
from tests.faults.sqlite_process import SCHEMA

ROOT = Path(__file__).parents[2]
WRITES = {"ci": 500, "soak": 2500}


async def output_of(*arguments: str) -> str:
    """Run a Python command from the checkout and give what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.promise("database.ordered-watch-across-processes", engines=["sqlite"])
@pytest.mark.timeout(300)
async def test_a_watch_sees_every_write_of_two_processes_once_and_in_order(
    tmp_path: Path, length: str, figure: Callable[[str], None]
) -> None:
    path, writes = str(tmp_path / "x.db"), WRITES[length]
    async with open_config_database(engine="sqlite", endpoints=path, schema=SCHEMA) as db:
        async with db.watch() as feed:
            told = asyncio.gather(
                *(
                    output_of(
                        "-m", "tests.faults.sqlite_process", "creates", path, name, str(writes)
                    )
                    for name in ("left", "right")
                )
            )
            seen: list[Change] = []
            async for change in feed:
                assert isinstance(change, Change)
                seen.append(change)
                if len(seen) == 2 * writes:
                    break
            lines = [line.split() for text in await told for line in text.splitlines()[1:]]
        acknowledged = sorted((int(revision), uuid) for revision, uuid in lines)
        assert [(change.revision, change.uuid) for change in seen] == acknowledged
        assert [change.revision for change in seen] == [*range(1, 2 * writes + 1)]
        assert await db.current_revision() == 2 * writes
    figure(f"{2 * writes} changes of 2 processes, none missed")


async def test_many_processes_make_the_tables_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    command = ("-m", "tests.faults.sqlite_process", "creates", path)
    await asyncio.gather(*(output_of(*command, f"opener {number}", "3") for number in range(8)))
    async with open_config_database(engine="sqlite", endpoints=path) as db:
        assert db.schema == SCHEMA
        assert await db.object_list("project", count=True) == 24


async def test_after_a_fork_every_call_is_refused_and_the_parent_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    async with open_config_database(engine="sqlite", endpoints=path, schema=SCHEMA) as db:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            found = b"no error"
            try:
                db.current_revision().send(None)
            except ForkedError as error:
                found = str(error).encode()
            except BaseException as error:  # noqa: BLE001  # the parent is told
                found = repr(error).encode()
            os.write(writing, found)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            assert b"opened before a fork; open it again in this process" in told.read()
        os.waitpid(child, 0)  # noqa: ASYNC222  # it has ended
        assert await db.current_revision() == 0


async def test_a_process_that_holds_the_lock_for_a_while_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with open_config_database(engine="sqlite", endpoints=str(path), schema=SCHEMA) as db:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(db.kv_put("t", "k", {"a": 1}))
        # Readers are not kept waiting, and neither is somebody who opens.
        assert await db.current_revision() == 0
        async with open_config_database(engine="sqlite", endpoints=str(path)) as other:
            assert await other.object_list("project", count=True) == 0
        await asyncio.sleep(0.1)
        connection.execute("COMMIT")
        connection.close()
        assert (await write).revision == 1
