"""Creates on the sqlite engine beside a bare writer thread that sends the very same statements."""

import asyncio
import gc
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID, uuid4

from asyncbackends import (
    Limits,
    MapProperty,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
)
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.positions import position_sort_key
from asyncbackends_sqlite.connection import open_writer
from asyncbackends_sqlite.statements import Statements, packed_ids
from asyncbackends_sqlite.unit import CREATED
from tests.bench.rounds import Figures, print_table

__all__ = ("PROJECT", "SCHEMA", "SMALL", "new_objects", "prepare", "run")

CONCURRENT = 16
ROUNDS = 7
LARGEST_GROUP = 64
NAMESPACE = "asyncbackends"
PROJECT = str(UUID(int=1))
TARGETS = [str(UUID(int=number)) for number in range(2, 42)]

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",),
            lists={"servers": None},
            maps={"annotations": MapProperty()},
            refs={"policy": RefType()},
        ),
    }
)
SMALL: Mapping[str, Any] = {"mtu": 1500, "display_name": "blue"}
# About 1.5 KB of properties, 7 elements; 4 refs and a parent are added.
FULL: Mapping[str, Any] = {
    "id_perms": {"enable": True, "user_visible": True, "permissions": {"owner": "admin"}},
    **{f"property_{number}": {"value": "x" * 100, "number": number} for number in range(10)},
    "servers": [f"10.0.0.{number}" for number in range(4)],
    "annotations": [{"key": f"key-{number}", "value": "v" * 20} for number in range(3)],
}


def new_objects(
    number: int, content: Mapping[str, Any], *, linked: bool
) -> list[tuple[str, dict[str, Any]]]:
    """Give so many new objects, as (uuid, dict)."""
    objects: list[tuple[str, dict[str, Any]]] = []
    for _ in range(number):
        uuid = str(uuid4())
        body = {"fq_name": ["project", uuid], "parent_type": "project", **content}
        body["parent_uuid"] = PROJECT
        if linked:
            start = int(uuid[:8], 16)
            targets = (TARGETS[(start + step) % len(TARGETS)] for step in range(4))
            body["policy_refs"] = [{"uuid": to, "attr": {"sequence": 1}} for to in targets]
        objects.append((uuid, body))
    return objects


async def prepare(path: str) -> None:
    """Make the file, and the objects that others lead to."""
    async with open_config_database(engine="sqlite", endpoints=path, schema=SCHEMA) as db:
        await db.object_create("project", PROJECT, {"fq_name": ["project"]})
        for target in TARGETS:
            await db.object_create("policy", target, {"fq_name": [target]})


@dataclass
class Rows:
    """The prebuilt parameters of one create; the object's id is only known on the way."""

    new: tuple[Any, ...]
    uuid: bytes
    key: str
    document: str
    elements: list[tuple[str, str, str]]
    refs: list[tuple[str, bytes]]


def prebuilt(objects: Sequence[tuple[str, dict[str, Any]]]) -> list[Rows]:
    """Give the rows that the engine makes of these objects."""
    model = ObjectModel(SCHEMA, Limits())
    rows: list[Rows] = []
    for uuid, body in objects:
        write = model.create("network", uuid, body)
        key = packed_ids([uuid])
        elements = [
            (field, position_sort_key(at) if field == "servers" else at, text)
            for field, items in write.elements.items()
            for at, text in items
        ]
        refs = [
            (ref.attr, packed_ids([ref.uuid or ""])) for refs in write.refs.values() for ref in refs
        ]
        new = (key, "network", write.key, time.time_ns() // 1000, "project", packed_ids([PROJECT]))
        rows.append(Rows(new, key, write.key, write.document, elements, refs))
    return rows


class BareWriter:
    """A group-committing thread with a future per operation, and nothing else."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Rows, asyncio.Future[int]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def create(self, rows: Rows) -> int:
        future: asyncio.Future[int] = self._loop.create_future()
        self._queue.put((rows, future))
        return await future

    async def close(self) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        sql = Statements(NAMESPACE)
        connection = open_writer(self._path, synchronous="normal", create=True, seconds=10)
        execute = (cursor := connection.cursor()).execute
        while (first := self._queue.get()) is not None:
            group = [first]
            execute("BEGIN IMMEDIATE")
            revision = execute(sql.counters).fetchone()[0]
            execute(sql.any_dangling).fetchone()
            changes: list[tuple[int, int, str, bytes]] = []
            for rows, _ in group:
                now = time.time_ns() // 1000
                execute("SAVEPOINT operation")
                execute(sql.new_child[1], rows.new)
                number = cursor.lastrowid
                revision += 1
                execute(sql.new_state, (number, revision, now))
                execute(sql.put_doc, (number, rows.document))
                if rows.elements:
                    elements = [(number, *element) for element in rows.elements]
                    cursor.executemany(sql.put_elem, elements)
                if rows.refs:
                    holder = (number, "network", rows.uuid, rows.key)
                    refs = [(*holder, attr, to, "policy") for attr, to in rows.refs]
                    cursor.executemany(sql.new_ref, refs)
                execute("RELEASE operation")
                changes.append((revision, CREATED, "network", rows.uuid))
                if len(group) < LARGEST_GROUP and not self._queue.empty():
                    more = self._queue.get()
                    if more is not None:
                        group.append(more)
            cursor.executemany(sql.new_change, changes)
            execute(sql.set_meta, ("revision", revision))
            execute("COMMIT")
            self._loop.call_soon_threadsafe(self._answer, group, changes)
        connection.close()

    @staticmethod
    def _answer(
        group: list[tuple[Rows, asyncio.Future[int]]], changes: list[tuple[int, int, str, bytes]]
    ) -> None:
        for (_, future), change in zip(group, changes, strict=True):
            future.set_result(change[0])


async def measured(create: Callable[[Any], Awaitable[Any]], items: Sequence[Any]) -> Figures:
    """Create all, so many at once, and give what it took."""
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await create(item)

    gc.collect()
    began, began_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return Figures(len(items) / wall, cpu / len(items) * 1e6)


async def through_engine(path: str, objects: Sequence[tuple[str, dict[str, Any]]]) -> Figures:
    async with open_config_database(engine="sqlite", endpoints=path) as db:
        return await measured(lambda new: db.object_create("network", *new), objects)


async def through_bare_writer(path: str, objects: Sequence[tuple[str, dict[str, Any]]]) -> Figures:
    rows = prebuilt(objects)
    writer = BareWriter(path)
    try:
        return await measured(writer.create, rows)
    finally:
        await writer.close()


def run() -> None:
    """Print creates a second of a small and of the full object."""
    contenders = {"bare writer thread": through_bare_writer, "sqlite engine": through_engine}
    for title, content, number in (("small", SMALL, 4000), ("full", FULL, 2000)):
        found: dict[str, list[Figures]] = {name: [] for name in contenders}
        with tempfile.TemporaryDirectory() as folder:
            for round_number in range(ROUNDS + 1):
                for name, contender in contenders.items():
                    path = str(Path(folder, f"{round_number}-{name}.db"))
                    asyncio.run(prepare(path))
                    objects = new_objects(number, content, linked=title == "full")
                    figures = asyncio.run(contender(path, objects))
                    if round_number:
                        found[name].append(figures)
        medians = {
            name: Figures(
                statistics.median(each.per_second for each in figures),
                statistics.median(each.cpu_us for each in figures),
            )
            for name, figures in found.items()
        }
        print_table(
            f"sqlite: create, {title} object, {CONCURRENT} at once", medians, "bare writer thread"
        )


if __name__ == "__main__":
    run()
