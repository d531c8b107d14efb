"""The memory engine beside a dict that copies what goes in and out, and where the time goes."""

import copy
import cProfile
import io
import pstats
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from asyncbackends import (
    ConfigDatabase,
    MapProperty,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
)
from tests.bench.rounds import interleaved, print_table

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "network": ObjectType(
            parents=("project",),
            lists={"servers": None},
            maps={"annotations": MapProperty()},
            refs={"project": RefType()},
        ),
    }
)
PROJECT = str(uuid4())
SMALL: Mapping[str, Any] = {"mtu": 1500, "display_name": "blue"}
FULL: Mapping[str, Any] = {
    "properties": {f"key_{number}": "x" * 40 for number in range(30)},
    "servers": [f"10.0.0.{number}" for number in range(4)],
    "annotations": [{"key": str(number), "value": number} for number in range(3)],
    "project_refs": [{"uuid": PROJECT, "attr": None}],
}


def network(number: int, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"fq_name": ["p", f"n{number}"], "parent_uuid": PROJECT, **content}


class CopyingDict:
    """What a user would write for a test: a dict that nobody else can change."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Any]] = {}

    def create(self, uuid: str, content: Mapping[str, Any]) -> None:
        self._objects[uuid] = copy.deepcopy(dict(content))

    def get(self, uuid: str) -> dict[str, Any]:
        return copy.deepcopy(self._objects[uuid])


async def _creates(db: ConfigDatabase, operations: int, content: Mapping[str, Any]) -> list[str]:
    uuids = [str(uuid4()) for _ in range(operations)]
    for number, uuid in enumerate(uuids):
        await db.object_create("network", uuid, network(number, content))
    return uuids


async def _memory(operations: int, content: Mapping[str, Any], reads: int) -> None:
    async with open_config_database(engine="memory", endpoints="bench", schema=SCHEMA) as db:
        await db.object_create("project", PROJECT, {"fq_name": ["p"]})
        uuids = await _creates(db, operations, content)
        for _ in range(reads):
            for uuid in uuids:
                await db.object_get("network", uuid)


async def _dict(operations: int, content: Mapping[str, Any], reads: int) -> None:
    table = CopyingDict()
    uuids = [str(uuid4()) for _ in range(operations)]
    for number, uuid in enumerate(uuids):
        table.create(uuid, network(number, content))
    for _ in range(reads):
        for uuid in uuids:
            table.get(uuid)


def run() -> None:
    """Measure creates, then creates and ten gets each, of a small and a full object."""
    for size, content in (("small", SMALL), ("full", FULL)):
        for reads in (0, 10):
            what = "create" if reads == 0 else "create + 10 get"
            figures = interleaved(
                {
                    "dict with copies": partial(_dict, content=content, reads=reads),
                    "memory engine": partial(_memory, content=content, reads=reads),
                },
                operations=2000 if reads == 0 else 400,
            )
            print_table(f"memory: {what}, {size} object", figures, "dict with copies")
    print_profile()


def print_profile() -> None:
    """Print where the time of creates and gets of the full object goes."""
    profile = cProfile.Profile()
    profile.enable()
    interleaved({"memory engine": lambda n: _memory(n, FULL, 4)}, operations=500, rounds=1)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
    print("\nmemory: where the time goes")
    print("\n".join(line for line in text.getvalue().splitlines() if line.strip())[:3000])
