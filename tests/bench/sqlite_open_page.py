"""Opening a warm file of 100 000 objects and listing a page of 500."""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from asyncbackends import open_config_database
from asyncbackends.object_model.listing import listing
from asyncbackends.object_model.views import type_view
from asyncbackends_sqlite.listing import Lister
from asyncbackends_sqlite.statements import Statements
from tests.bench.sqlite_writes import PROJECT, SCHEMA, SMALL, new_objects, prepare

__all__ = ("run",)

OBJECTS = 100_000
CHUNK = 1000
PAGE = 500
ROUNDS = 15


async def fill(path: str) -> None:
    await prepare(path)
    async with open_config_database(engine="sqlite", endpoints=path, operation_timeout=60) as db:
        for _ in range(OBJECTS // CHUNK):
            objects = new_objects(CHUNK, SMALL, linked=False)
            await db.object_create_many([("network", *new) for new in objects])


async def opened_and_listed(path: str, parents: list[str] | None) -> Sequence[float]:
    """Give the milliseconds to find the engine, to open, to list after that, and a second page."""
    times = [time.perf_counter()]
    opener = open_config_database(engine="sqlite", endpoints=path)
    times.append(time.perf_counter())
    async with opener as db:
        times.append(time.perf_counter())
        page = await db.object_list("network", parents, limit=PAGE)
        times.append(time.perf_counter())
        assert len(page) == PAGE
        await db.object_list("network", parents, marker=page.marker, limit=PAGE)
        times.append(time.perf_counter())
    return [(after - before) * 1000 for before, after in pairwise(times)]


def plan(path: str, parents: list[str] | None) -> str:
    wanted = listing(type_view(SCHEMA, "network"), parent_uuids=parents, limit=PAGE)
    connection = sqlite3.connect(path)
    statement, parameters = Lister(connection.cursor(), Statements("asyncbackends")).statement(
        wanted, PAGE + 1
    )
    steps = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    connection.close()
    return str(next(step[3] for step in steps if "INDEX" in step[3]))


def run() -> None:
    """Print milliseconds and plans of a page by type and one by parent."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "x.db"))
        asyncio.run(fill(path))
        load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
        size = Path(path).stat().st_size // 1_000_000
        print(f"\nsqlite: {OBJECTS:,} objects, {size} MB, a page of {PAGE}    (load {load})")
        for name, parents in (("by type", None), ("by parent", [PROJECT])):
            rounds = [asyncio.run(opened_and_listed(path, parents)) for _ in range(ROUNDS)]
            both = [opened + listed for _, opened, listed, _ in rounds]
            found, opened, listed, again = map(statistics.median, zip(*rounds, strict=True))
            print(
                f"  {name:9}  open and list {statistics.median(both):.1f} ms (at best {min(both):.1f}):"
                f" open {opened:.1f}, list {listed:.1f}; next page {again:.1f};"
                f" finding the engine before {found:.1f}"
            )
            print(f"             {plan(path, parents)}")


if __name__ == "__main__":
    run()
