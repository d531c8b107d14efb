"""Dumps are not held in memory: neither when they are read nor when they are written."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import pytest

from asyncbackends import (
    ConfigDatabase,
    ConfigObject,
    Guarantee,
    Limits,
    ObjectPage,
    ObjectType,
    Schema,
)
from asyncbackends.interchange.dumping import Dumper
from asyncbackends.interchange.records import to_line
from tests.data.generate_dumps import cloud, column_form, uuid_of
from tests.data.loads import load_file


class Sink:
    """A database that forgets: what is measured is the load and the dump alone."""

    guarantees = frozenset({Guarantee.ATOMIC_BATCH})
    limits = Limits()

    def __init__(self, objects: int = 0) -> None:
        self.schema = Schema({"thing": ObjectType()})
        self.objects = objects
        self.writes = 0

    async def set_schema(self, schema: Schema) -> None:
        self.schema = schema

    async def uuids_to_fq_names(self, uuids: Sequence[str]) -> dict[str, list[str]]:
        await asyncio.sleep(0)
        return {}

    def batch(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.sleep(0)

    def object_create(self, obj_type: str, obj_uuid: str, obj_dict: dict[str, Any]) -> None:
        self.writes += 1

    def object_update(self, obj_type: str, obj_uuid: str, new_obj_dict: dict[str, Any]) -> None:
        self.writes += 1

    def prop_collection_update(self, obj_type: str, obj_uuid: str, updates: list[Any]) -> None:
        self.writes += 1

    async def current_revision(self) -> int:
        return 0

    async def get_shared(self, *share: str) -> list[tuple[str, int]]:
        return []

    async def kv_list(self, table: str, **page: Any) -> ObjectPage[Any]:
        return ObjectPage([])

    async def object_iter(
        self, obj_type: str, parents: Sequence[str] | None = None, *, page: int = 500
    ) -> AsyncIterator[ConfigObject]:
        now = datetime.now(UTC)
        for number in range(self.objects):
            content = {"uuid": uuid_of(str(number)), "fq_name": [str(number)], "text": "x" * 1000}
            yield ConfigObject(content, revision=1, created=now, last_modified=now)


async def peak_of(work: Awaitable[object]) -> int:
    """Bytes that Python held at most during some work."""
    tracemalloc.start()
    try:
        await work
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak


async def write(objects: int, path: Path) -> None:
    loop = asyncio.get_running_loop()
    database = cast("ConfigDatabase", Sink(objects))
    with await loop.run_in_executor(None, path.open, "wb") as file:
        async for record in Dumper(database).records():
            await loop.run_in_executor(None, file.write, to_line(record))


async def load(path: Path) -> None:
    database = Sink()
    database.schema = Schema()
    loaded, findings = await load_file(cast("ConfigDatabase", database), path)
    assert findings.damaged == []
    assert loaded.summary is not None
    assert 0 < loaded.summary.created <= database.writes


@pytest.mark.promise("interchange.bounded-memory")
async def test_a_dump_in_our_own_form_is_not_held(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    peaks: list[tuple[int, int]] = []
    for objects in (1_500, 4_500):
        path = tmp_path / "own.jsonl"
        peaks.append((await peak_of(write(objects, path)), await peak_of(load(path))))
    written, loaded = ((large - small) / 3_000 for small, large in zip(*peaks, strict=True))
    figure(f"own form: {written:.0f} bytes an object written, {loaded:.0f} read")
    assert written < 20
    assert loaded < 400  # its id, to find a second object that has it


@pytest.mark.promise("interchange.bounded-memory")
async def test_of_a_dump_by_columns_an_index_is_held(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    peaks: list[int] = []
    path = tmp_path / "columns.json"
    for projects in (6, 15):
        path.write_text(json.dumps(column_form(cloud(projects=projects, networks=50))), "utf-8")
        peaks.append(await peak_of(load(path)))
    read = (peaks[1] - peaks[0]) / (9 * (3 + 50 * 4))
    figure(f"columns: {read:.0f} bytes an object read")
    # Names, links at both ends, where the row stands: 1.4 kB at 100 000 objects; tables that double
    # in size make it jump.
    assert read < 4_500
