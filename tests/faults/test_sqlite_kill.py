"""Processes that write are killed at random: what was acknowledged is there, nothing is half there."""

import asyncio
import random
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbackends import open_config_database
from tests.faults.sqlite_process import BATCH

ROOT = Path(__file__).parents[2]
WRITERS = 5
KILLS = {"ci": 50, "soak": 250}


async def killed_writer(path: str, name: str, seconds: float) -> list[list[str]]:
    """Let a process write, kill it, and give the batches that it knew to be written."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.sqlite_process", "batches", path, name, "0"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"open\n"
        await asyncio.sleep(seconds)
    finally:
        process.kill()
    told = (await process.stdout.read()).decode()
    await process.wait()
    # A line that the kill cut off was not told.
    return [line.split() for line in told.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.promise(
    "database.acknowledged-writes-survive-kill",
    "database.no-half-batch-after-kill",
    engines=["sqlite"],
)
@pytest.mark.timeout(600)
async def test_killed_writers_lose_nothing_and_leave_no_half(
    tmp_path: Path, length: str, figure: Callable[[str], None]
) -> None:
    path, seed = str(tmp_path / "x.db"), random.SystemRandom().randrange(2**32)
    dice, kills, acknowledged = random.Random(seed), KILLS[length], 0
    for wave in range(kills // WRITERS):
        told = await asyncio.gather(
            *(
                killed_writer(path, f"{wave}-{writer}", dice.uniform(0, 0.25))
                for writer in range(WRITERS)
            )
        )
        ids = [uuid for batches in told for batch in batches for uuid in batch]
        acknowledged += len(ids)
        async with open_config_database(engine="sqlite", endpoints=path) as db:
            there = await db.uuids_to_fq_names(ids)
            assert [uuid for uuid in ids if uuid not in there] == [], f"seed {seed}, wave {wave}"
            for project in await db.object_list("project", field_names=["networks"]):
                assert len(project["networks"]) == BATCH - 1, f"seed {seed}, wave {wave}"
    async with open_config_database(engine="sqlite", endpoints=path) as db:
        networks = await db.object_list("network", field_names=["network_refs", "servers"])
        for network in networks:
            assert len(network["network_refs"]) == BATCH - 2
            assert network["servers"] == ["a", "b"]
        revision = await db.current_revision()
        # Every network refers to those before it, whose revisions move.
        each = BATCH + sum(range(BATCH - 1))
        assert revision == len(networks.items) // (BATCH - 1) * each
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert acknowledged > kills
    figure(f"{kills} kills, {acknowledged} acknowledged objects, none lost")
