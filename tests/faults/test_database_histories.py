"""Histories: what was acknowledged is there, and a watch tells all of it once and in order."""

import asyncio
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from asyncbackends import Change, ConfigDatabase, Gap
from asyncbackends.errors import ConnectionFailedError, InvalidRequestError, SchemaVersionError
from tests.faults.database_history import History, follow
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.servers.proxy import Proxy

ROOT = Path(__file__).parents[2]
HISTORY = {"ci": 15.0, "soak": 600.0}
CHANGES = {"ci": 1_000, "soak": 5_000}
CUTS = {"ci": 80, "soak": 2_000}
WRITERS = 32

pytestmark = [each_driver, pytest.mark.timeout(3600)]


@pytest.mark.promise(
    "database.acknowledged-writes-survive-server-kill", "database.watch-outlives-outages"
)
def test_history(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(killed_again_and_again))


async def killed_again_and_again(trial: Trial) -> str:
    seed = 20_260 if trial.length == "ci" else random.randrange(2**32)
    dice, history, seen = random.Random(seed), History(trial, seed), list[Change]()
    end = time.monotonic() + HISTORY[trial.length]
    kills = 0
    async with (
        trial.open(operation_timeout=2) as db,
        trial.open(operation_timeout=2) as other,
        asyncio.TaskGroup() as watching,
    ):
        await history.prepare(db)
        following = watching.create_task(follow(other, seen))
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(history.write((db, other)[number % 2]))
            while time.monotonic() < end:
                await asyncio.sleep(dice.uniform(0.5, 2.5))
                await trial.kill()
                kills += 1
                await asyncio.sleep(dice.choice([0, 0, dice.uniform(0, 3)]))
                await trial.start()
            history.over = True
        revision = await db.current_revision()

        async def is_complete() -> bool:
            return len(seen) >= revision

        await trial.settled(is_complete, f"{len(seen)} of {revision} changes were seen")
        following.cancel()
        await history.verify(db, seen)
    assert kills > 3
    assert history.count("in doubt")
    return (
        f"{trial.driver}: {kills} kills of the server, {history.count('applied')} writes "
        f"acknowledged, 0 lost, {history.count('refused')} refused, 0 visible, "
        f"{history.count('in doubt')} in doubt; {revision} changes watched, 0 missed, 0 out of "
        f"order (seed {seed})"
    )


@pytest.mark.promise("database.doubt-is-told", "database.watch-outlives-outages")
def test_links_are_cut(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(cut_again_and_again))


async def cut_again_and_again(trial: Trial) -> str:
    """All links go at once, at any moment of a login, a look, a write or a commit."""
    seed = random.randrange(2**32)
    dice, history, seen = random.Random(seed), History(trial, seed), list[Change]()
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint, reconnect_max=0.05) as db,
        asyncio.TaskGroup() as watching,
    ):
        await history.prepare(db)
        following = watching.create_task(follow(db, seen))
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(history.write(db))
            for _ in range(CUTS[trial.length]):
                await asyncio.sleep(dice.uniform(0, 0.15))
                proxy.cut(reset=dice.random() < 0.5)
            history.over = True
        revision = await db.current_revision()

        async def is_complete() -> bool:
            return len(seen) >= revision

        await trial.settled(is_complete, f"{len(seen)} of {revision} changes were seen")
        following.cancel()
        await history.verify(db, seen)
    return (
        f"{trial.driver}: links cut {CUTS[trial.length]} times, {history.count('applied')} writes "
        f"acknowledged, 0 lost, {history.count('in doubt')} in doubt; {revision} changes watched, "
        f"0 missed (seed {seed})"
    )


@pytest.mark.promise("database.killed-watcher-resumes", "database.ordered-watch-across-processes")
def test_killed_watcher(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(watcher_killed_beside_writers))


async def watcher_killed_beside_writers(trial: Trial) -> str:
    changes, told = CHANGES[trial.length], dict[int, str]()
    seen: list[list[str]] = []
    kills = 0
    async with trial.open() as db, trial.open() as other:
        numbers = iter(range(changes))

        async def write(db: ConfigDatabase) -> None:
            for _ in numbers:
                await asyncio.sleep(random.uniform(0, 0.6))
                uuid = str(uuid4())
                result = await db.object_create("network", uuid, {"fq_name": [uuid]})
                told[result.revision] = uuid

        writing = [asyncio.create_task(write((db, other)[number % 2])) for number in range(WRITERS)]
        while len(seen) < changes:
            left, over = changes - len(seen), all(task.done() for task in writing)
            # The last one sees the rest.
            await watched(trial, seen, left if over else min(left, random.randint(10, 60)))
            kills += 1
        await asyncio.gather(*writing)
        assert await db.current_revision() == changes
    expected = [[str(revision), "create", told[revision]] for revision in sorted(told)]
    assert [int(words[0]) for words in seen] == [*range(1, changes + 1)]
    assert seen == expected
    assert kills > 2
    return (
        f"{trial.driver}: {changes} changes of {WRITERS} writers, {kills} kills of the watcher, "
        "0 missed, 0 out of order"
    )


async def watched(trial: Trial, seen: list[list[str]], number: int) -> None:
    """Let a process watch until it has told so many changes, and kill it."""
    since = int(seen[-1][0]) if seen else 0
    settings = {**trial.settings(), "schema": None}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.database_process"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode({"settings": settings, "since": since}))
        process.stdin.close()
        assert await process.stdout.readline() == b"open\n"
        seen += [(await process.stdout.readline()).decode().split() for _ in range(number)]
    finally:
        process.kill()
        # What it told is what it was told; a line that the kill cut off is not.
        rest = (await process.stdout.read()).decode().splitlines(keepends=True)
        seen += [line.split() for line in rest if line.endswith("\n") and line != "open\n"]
        await process.wait()


@pytest.mark.promise("database.restored-database-is-told")
def test_restored(run_trial: RunTrial, engine: str) -> None:
    run_trial(restored_from_a_backup)


async def restored_from_a_backup(trial: Trial) -> str:
    async with trial.open() as db:
        await created(db, 5)
        old = await db.current_revision()
    await trial.fleet.do(back_up, trial)
    await trial.start()
    async with trial.open(operation_timeout=10) as db, db.watch() as changes:
        await created(db, 5)
        new = await db.current_revision()
        for revision in range(old + 1, new + 1):
            change = await anext(changes)
            assert isinstance(change, Change)
            assert change.revision == revision
        await trial.kill()
        await trial.fleet.do(restore, trial)
        await trial.start()
        # Who watches is told, and who comes back with what it has seen as well.
        async with asyncio.timeout(10):
            assert await anext(changes) == Gap("recreated", new)
        assert await db.current_revision() == old
        with pytest.raises(InvalidRequestError, match="ahead of this database") as refused:
            async with db.watch(since=new):
                pass
        assert "backup" in str(refused.value)
        (uuid,) = await created(db, 1)
        async with asyncio.timeout(10):
            assert await anext(changes) == Change(old + 1, "create", "network", uuid)
    return ""


async def created(db: ConfigDatabase, number: int) -> list[str]:
    uuids = [str(uuid4()) for _ in range(number)]
    for uuid in uuids:
        await db.object_create("network", uuid, {"fq_name": [uuid]})
    return uuids


def back_up(trial: Trial) -> None:
    trial.server.stop()
    subprocess.run(["cp", "-a", trial.server.data, trial.server.folder / "backup"], check=True)


def restore(trial: Trial) -> None:
    shutil.rmtree(trial.server.data)
    (trial.server.folder / "backup").rename(trial.server.data)


@pytest.mark.promise("database.restored-database-is-told")
def test_wiped(run_trial: RunTrial, engine: str) -> None:
    run_trial(wiped)


async def wiped(trial: Trial) -> str:
    """The database is made anew under an open one: an error that says so, and no silence."""
    name = await trial.fleet.do(trial.server.database, "wiped")
    async with trial.open(database=name, operation_timeout=2) as db:
        await created(db, 3)
        revision = await db.current_revision()
        await trial.fleet.do(trial.server.database, name)
        for call in (db.current_revision(), created(db, 1)):
            ending = await trial.ending(call)
            # Who looked in between has found no database, and does not look again.
            assert isinstance(ending.error, SchemaVersionError | ConnectionFailedError)
            assert not ending.error.maybe_applied
    async with trial.open(database=name) as db:
        assert await db.current_revision() == 0
        with pytest.raises(InvalidRequestError, match="ahead of this database"):
            async with db.watch(since=revision):
                pass
        await created(db, 1)
    return ""
