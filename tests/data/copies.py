"""Databases to copy between, what is in them, and who writes meanwhile."""

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asyncbackends import (
    CollectionUpdate,
    ConfigDatabase,
    MapProperty,
    ObjectType,
    RefType,
    Schema,
)
from asyncbackends.errors import AlreadyExistsError, ConflictError, NotFoundError
from asyncbackends.interchange.copying import Copy, CopyReport, Plan
from asyncbackends.interchange.copying_beside import SideData
from asyncbackends.interchange.copying_sides import Side
from tests.data.generate_dumps import uuid_of
from tests.servers.running import Servers

__all__ = (
    "EMBEDDED",
    "PAIRS",
    "SCHEMA",
    "SIDE_DATA",
    "Listener",
    "Writers",
    "copied",
    "database_settings",
    "fill",
    "made",
    "sides",
    "until",
)

EMBEDDED = [
    ("memory", "sqlite", "sqlite"),
    ("sqlite", "memory", "memory"),
    ("sqlite", "sqlite", "sqlite"),
]
PAIRS = [
    *EMBEDDED,
    ("sqlite", "postgres", "postgres"),
    ("postgres", "sqlite", "postgres"),
    ("sqlite", "mysql", "mysql"),
    ("mysql", "sqlite", "mysql"),
    ("postgres", "mysql", "mysql"),
]
"""Engines of source and target, and the one that a test is about."""

SCHEMA = Schema(
    {
        "domain": ObjectType(),
        "folder": ObjectType(parents=("domain", "folder"), properties=("note",)),
        "project": ObjectType(parents=("domain",)),
        "network": ObjectType(
            parents=("project",),
            properties=("mtu", "perms2", "id_perms"),
            indexed=("mtu",),
            lists={"routes": "route", "hops": None},
            maps={"bindings": MapProperty(wrapper="binding"), "marks": MapProperty(key="name")},
            refs={"policy": RefType(), "network": RefType()},
        ),
        "policy": ObjectType(parents=("project", "config_root"), refs={"network": RefType()}),
        "port": ObjectType(parents=("project",), refs={"network": RefType(attr=False)}),
    }
)
SIDE_DATA = SideData(tables=("leases",), shares=(("tenant", "one"),), texts=("subnet 1", "none"))


@dataclass
class Listener:
    """Remembers what a copy told."""

    events: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list[tuple[str, dict[str, Any]]]
    )
    steps: dict[str, int] = field(default_factory=dict[str, int])
    stop_at: str | None = None
    copy: Copy | None = None

    def progress(self, what: str, done: int, total: int | None = None) -> None:
        self.steps[what] = done

    def event(self, name: str, text: str, **data: Any) -> None:
        self.events.append((name, {"text": text, **data}))
        if name == self.stop_at and self.copy is not None:
            self.copy.stop.set()

    def heard(self, name: str) -> list[dict[str, Any]]:
        return [data for heard, data in self.events if heard == name]


def database_settings(engine: str, folder: Path, name: str, servers: Servers) -> dict[str, Any]:
    """Settings of a database of its own; a server is ended with the run, and its data with it."""
    endpoints = {"memory": f"{folder.name}-{name}", "sqlite": str(folder / f"{name}.db")}
    if engine in endpoints:
        return {"engine": engine, "endpoints": endpoints[engine]}
    return servers.get(engine).settings(namespace=f"copy_{secrets.token_hex(6)}")


def sides(
    source: ConfigDatabase,
    target: ConfigDatabase,
    told: Listener,
    *,
    patience: float = 10.0,
    labels: tuple[str, str] = ("the first", "the second"),
) -> tuple[Side, Side]:
    roles: tuple[Literal["source"], Literal["target"]] = ("source", "target")
    return (
        Side(roles[0], source, labels[0], told, patience=patience),
        Side(roles[1], target, labels[1], told, patience=patience),
    )


def made(
    source: ConfigDatabase,
    target: ConfigDatabase,
    told: Listener | None = None,
    *,
    patience: float = 10.0,
    labels: tuple[str, str] = ("the first", "the second"),
    **plan: Any,
) -> Copy:
    """A copy that is to be run."""
    told = told or Listener()
    ends = sides(source, target, told, patience=patience, labels=labels)
    arguments: dict[str, Any] = {"window": 0.3, "side_data": SIDE_DATA, **plan}
    told.copy = Copy(*ends, Plan(**arguments), told)
    return told.copy


async def copied(
    source: ConfigDatabase, target: ConfigDatabase, told: Listener | None = None, **plan: Any
) -> CopyReport:
    return await made(source, target, told, **plan).run()


async def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    while not condition():  # noqa: ASYNC110  # it may be about anything
        await asyncio.sleep(0.005)


async def fill(database: ConfigDatabase, networks: int = 6) -> None:
    """Make one of everything that there is."""
    await database.set_schema(SCHEMA)
    ids = uuid_of
    objects: list[tuple[str, str, dict[str, Any]]] = [
        ("domain", ids("domain"), {"fq_name": ["d: ä"], "free": {"a": [1, 2.5, None, 2**63]}}),
        ("project", ids("project"), {"fq_name": ["d: ä", "p"], "parent_type": "domain"}),
        ("policy", ids("policy"), {"fq_name": ["alone"], "entries": ["x", {"y": 1e300}]}),
    ]
    above = {"parent_type": "domain", "parent_uuid": ids("domain")}
    for depth in range(5):
        # Ids sort in another order than depths.
        objects.append(("folder", ids(f"folder {depth}"), {"fq_name": [f"f{depth}"], **above}))
        above = {"parent_type": "folder", "parent_uuid": ids(f"folder {depth}")}
    project = {"parent_type": "project", "parent_uuid": ids("project")}
    for number in range(networks):
        content: dict[str, Any] = {
            "fq_name": ["d: ä", "p", f"n{number}"],
            **project,
            "mtu": 1500 + number,
            "id_perms": {"created": "2020-01-01T00:00:00", "uuid": {"uuid_lslong": 2**64 - 1}},
            "perms2": {"share": [{"tenant": "tenant:two", "tenant_access": 7}]},
            "routes": {"route": [{"prefix": "10.0.0.0/8"}, number, "x"]},
            "bindings": {"binding": [{"key": "b", "value": number}, {"key": "a:b", "value": []}]},
            "marks": [{"name": "ü", "at": 1.5}],
            "policy_refs": [{"uuid": ids("policy"), "attr": {"sequence": number}}],
        }
        objects.append(("network", ids(f"network {number}"), content))
    await database.object_create_many(objects)
    for number in range(networks):
        net = ids(f"network {number}")
        if number:
            previous = ids(f"network {number - 1}")
            await database.create_ref("network", net, "network", previous, {"attr": number})
        named = {"fq_name": ["d: ä", "p", f"port {number}"], **project}
        port: dict[str, Any] = {**named, "network_refs": [{"uuid": net}]}
        await database.object_create("port", ids(f"port {number}"), port)
        if number % 2:
            await database.ref_relax_for_delete(ids(f"port {number}"), net)
    # Two types refer to each other; a list has gaps and words for positions.
    first = ids("network 0")
    await database.create_ref("policy", ids("policy"), "network", first)
    steps = [
        CollectionUpdate("hops", "add", "last", "z"),
        CollectionUpdate("hops", "add", "tenth", "10"),
        CollectionUpdate("hops", "add", "second", "2"),
        CollectionUpdate("routes", "delete", position="1"),
    ]
    await database.prop_collection_update("network", first, steps)
    await database.set_shared("network", first, rwx=5)
    await database.set_shared("network", first, "two", "tenant", 7)
    await database.set_shared("policy", ids("policy"), "one", "tenant", 1)
    await database.kv_put("leases", "a:1", {"by": ["me"], "until": 1.5})
    await database.useragent_kv_store("subnet 1", "text \u2028 of it")


@dataclass
class Writers:
    """Tasks that change a filled database in every way until they are stopped."""

    database: ConfigDatabase
    pause: float = 0.002
    seed: int = 1
    writes: int = 0
    _stopped: bool = False

    @contextlib.asynccontextmanager
    async def running(self, count: int = 3) -> AsyncGenerator["Writers"]:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._write(number, random.Random(self.seed + number)))
            try:
                yield self
            finally:
                self.stop()

    def stop(self) -> None:
        self._stopped = True

    async def _write(self, number: int, chance: random.Random) -> None:
        mine: list[str] = []
        while not self._stopped:
            with contextlib.suppress(AlreadyExistsError, ConflictError, NotFoundError):
                await self._write_once(number, chance, mine)
                self.writes += 1
            await asyncio.sleep(self.pause)

    async def _write_once(self, number: int, chance: random.Random, mine: list[str]) -> None:
        database, net = self.database, uuid_of(f"network {chance.randrange(6)}")
        what = chance.randrange(8)
        if what == 0 or not mine:
            name = f"w{number} {len(mine)} {chance.random()}"
            mine.append(uuid_of(f"writer {number} {chance.randrange(40)}"))
            await database.object_create(
                "port",
                mine[-1],
                {
                    "fq_name": ["d: ä", "p", name],
                    "parent_type": "project",
                    "network_refs": [{"uuid": net}],
                },
            )
        elif what == 1:
            await database.object_delete("port", mine.pop(chance.randrange(len(mine))))
        elif what == 2:
            refs = [{"uuid": net}] if chance.random() < 0.5 else None
            await database.object_update("port", chance.choice(mine), {"network_refs": refs})
        elif what == 3:
            await database.object_update("network", net, {"mtu": chance.randrange(9000)})
        elif what == 4:
            steps = [CollectionUpdate("hops", "add", chance.random(), str(chance.randrange(9)))]
            await database.prop_collection_update("network", net, steps)
        elif what == 5:
            other = uuid_of(f"network {chance.randrange(6)}")
            if other != net:
                operation: Literal["ADD", "DELETE"] = chance.choice(["ADD", "DELETE"])
                data: Mapping[str, Any] = {"attr": chance.random()}
                await database.ref_update("network", net, "network", other, data, operation)
        elif what == 6:
            await database.ref_relax_for_delete(chance.choice(mine), net)
        else:
            key = f"a:{chance.randrange(5)}"
            await database.kv_put("leases", key, {"by": chance.random()})
            await database.set_shared("network", net, rwx=chance.randrange(8))
