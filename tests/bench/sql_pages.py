"""Pages of 500 out of a million objects: what a client waits for, and how the server finds them."""

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncbackends import ConfigDatabase
from asyncbackends.object_model.listing import listing
from asyncbackends.object_model.views import type_view
from asyncbackends.sql.listing import ListQuery
from asyncbackends.sql.statements import Statements
from tests.bench.sql_objects import SCHEMA, parent_id

__all__ = ("Explain", "measure_pages")

PAGE = 500
ROUNDS = 41

Explain = Callable[[str, Sequence[Any]], Awaitable[Sequence[str]]]
"""Gives the lines of a statement's plan that say how rows are found; fails where it is another."""


async def measure_pages(db: ConfigDatabase, sql: Statements, explain: Explain) -> None:
    """Print milliseconds and plans of pages by type and by parent, the first and a later one."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"\n{db.engine}: a page of {PAGE} by object_list, client and server    (load {load})")
    for name, parents in (("by type", None), ("by parent", [parent_id(1)])):
        # Well behind the first pages.
        page = await db.object_list("network", parents, limit=PAGE)
        for _ in range(9):
            page = await db.object_list("network", parents, marker=page.marker, limit=PAGE)
        for place, marker in (("first", None), ("10th", page.marker)):
            times: list[float] = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                found = await db.object_list("network", parents, marker=marker, limit=PAGE)
                times.append((time.perf_counter() - began) * 1000)
                assert len(found) == PAGE
            print(
                f"  {name}, {place}: median {statistics.median(times):.2f} ms,"
                f" at best {min(times):.2f}, nine of ten within {sorted(times)[ROUNDS * 9 // 10]:.2f}"
            )
            wanted = listing(
                type_view(SCHEMA, "network"), parent_uuids=parents, marker=marker, limit=PAGE
            )
            for line in await explain(*ListQuery(sql, wanted).page(wanted.after, PAGE + 1)):
                print(f"      {line}")
