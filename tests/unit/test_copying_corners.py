"""What a copy meets: damage of old databases, gaps, lost links, objects that took another's place."""

import asyncio
import re
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import ConfigDatabase, ObjectType, RefType, Schema, open_config_database
from asyncbackends.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    OperationTimeoutError,
    WriteContentionError,
)
from asyncbackends_memory import faults
from tests.data.copies import SCHEMA, Listener, Writers, copied, fill, made, until
from tests.data.generate_dumps import uuid_of
from tests.data.loads import dump_lines

ids = uuid_of
FOLLOWING: dict[str, Any] = {"follow": True}


@asynccontextmanager
async def opened(
    name: str, *, filled: bool = False, **options: Any
) -> AsyncGenerator[ConfigDatabase]:
    """A database in memory."""
    async with open_config_database(engine="memory", endpoints=name, **options) as database:
        if filled:
            await fill(database)
        yield database


@pytest.fixture
async def source() -> AsyncGenerator[ConfigDatabase]:
    async with opened("copied from", filled=True) as database:
        yield database


@pytest.fixture
async def target() -> AsyncGenerator[ConfigDatabase]:
    async with opened("copied to") as database:
        yield database
    faults("copied to").clear()
    faults("copied from").clear()


async def changed_meanwhile(
    source: ConfigDatabase, target: ConfigDatabase, change: Callable[[], Awaitable[object]]
) -> Listener:
    """Change the source when a copy is in step with it, and hold the copy against it."""
    told = Listener()
    copy = made(source, target, told, follow=True)
    async with asyncio.TaskGroup() as group:
        copying = group.create_task(copy.run())
        await until(lambda: told.heard("in_step") or copying.done())
        await change()
        copy.stop.set()
    assert copying.result().differences.first == []
    assert await dump_lines(target) == await dump_lines(source)
    return told


async def test_objects_that_take_the_place_of_others(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    def port(name: str, net: str) -> dict[str, Any]:
        refs = [{"uuid": ids(net)}]
        return {"fq_name": ["d: ä", "p", name], "parent_type": "project", "network_refs": refs}

    async def change() -> None:
        # Two exchange their names; one becomes of another type; a subtree moves under another root.
        for number in (0, 1):
            await source.object_delete("port", ids(f"port {number}"))
        await source.object_create("port", ids("port 0"), port("port 1", "network 2"))
        await source.object_create("port", ids("port 1"), port("port 0", "network 3"))
        await source.object_delete("port", ids("port 2"))
        await source.object_create("policy", ids("port 2"), {"fq_name": ["once a port"]})
        for depth in reversed(range(5)):
            await source.object_delete("folder", ids(f"folder {depth}"))
        await source.object_create("domain", ids("root"), {"fq_name": ["root"]})
        above = {"parent_type": "domain", "parent_uuid": ids("root")}
        for depth in (3, 1, 4, 0, 2):
            content = {"fq_name": [f"f{depth}"], **above, "note": depth}
            await source.object_create("folder", ids(f"folder {depth}"), content)
            above = {"parent_type": "folder", "parent_uuid": ids(f"folder {depth}")}
        # Others refer to what is made anew; and two that referred to each other are gone.
        net, policy = ids("network 0"), ids("policy")
        await source.object_update("policy", policy, {"network_refs": None})
        for number in range(6):
            refs = {"policy_refs": None, "network_refs": None}
            await source.object_update("network", ids(f"network {number}"), refs)
        await source.object_delete("policy", policy)
        await source.object_create("policy", policy, {"fq_name": ["another"], "first": [net]})
        await source.create_ref("network", net, "policy", policy, {"attr": 0})

    await changed_meanwhile(source, target, change)


async def test_what_only_the_target_still_ties_together(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    """A copy that is resumed long after finds its target tied otherwise than the source."""
    await copied(source, target)
    net, project = ids("network 0"), ids("project")
    await target.object_create(
        "network", ids("holder"), {"fq_name": ["d: ä", "p", "h"], "parent_type": "project"}
    )
    await target.object_create("policy", ids("tied"), {"fq_name": ["tied"]})
    await target.create_ref("network", ids("holder"), "policy", ids("tied"))
    await target.create_ref("policy", ids("tied"), "network", ids("holder"))
    await target.create_ref("network", net, "policy", ids("tied"))
    child = {"fq_name": ["d: ä", "p", "n0"], "parent_type": "project"}
    await source.object_update("policy", ids("policy"), {"network_refs": None})
    await source.object_update("port", ids("port 0"), {"network_refs": None})
    await source.object_update("network", net, {"network_refs": None, "policy_refs": None})
    await source.object_delete("network", net)
    await source.object_create("network", ids("takes the name"), child)
    report = await copied(source, target, replace=True)
    assert report.differences.first == []
    assert await dump_lines(target) == await dump_lines(source)
    assert project in str(await target.object_get("network", ids("takes the name")))


async def test_relaxed_refs_follow_both_ways(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    port, net = ids("port 1"), ids("network 1")

    async def change() -> None:
        # No feed tells of the first; the second makes a ref strict again.
        await source.ref_relax_for_delete(ids("port 2"), ids("network 2"))
        await source.delete_ref("port", port, "network", net)
        await source.create_ref("port", port, "network", net)

    await changed_meanwhile(source, target, change)
    assert await target.get_relaxed_refs(net) == []
    assert await target.get_relaxed_refs(ids("network 2")) == [ids("port 2")]


async def test_a_schema_that_grows_is_followed(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    async def change() -> None:
        grown = Schema({**SCHEMA.types, "late": ObjectType(refs={"network": RefType()})})
        await source.set_schema(grown)
        late = {"fq_name": ["late"], "network_refs": [{"uuid": ids("network 1")}]}
        await source.object_create("late", ids("late"), late)

    await changed_meanwhile(source, target, change)


async def test_schemas_that_do_not_fit_are_refused(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    with pytest.raises(ConfigurationError, match=r"no types.* is it the right one"):
        await copied(target, source)
    await target.set_schema(Schema({"network": ObjectType()}))
    with pytest.raises(ConfigurationError, match=r"neither .* type"):
        await copied(source, target)
    async with opened("superset") as third:
        await third.set_schema(Schema({**SCHEMA.types, "more": ObjectType()}))
        await copied(source, third)
        assert "more" in third.schema.types


@pytest.mark.promise("database.copy-verified", engines=["memory"])
async def test_a_gap_in_the_feed_makes_it_compare_everything(target: ConfigDatabase) -> None:
    async with opened("forgetful", filled=True, watch_history=2) as source:

        async def change() -> None:
            async with source.batch() as unit:
                for number in range(6):
                    unit.object_update("network", ids(f"network {number}"), {"mtu": 9})
                unit.object_delete("port", ids("port 0"))

        told = await changed_meanwhile(source, target, change)
    assert told.heard("lost")


@pytest.mark.promise("database.copy-refuses-foreign-data", engines=["memory"])
async def test_one_database_under_two_names_is_refused(source: ConfigDatabase) -> None:
    revision, lines = await source.current_revision(), await dump_lines(source)
    async with opened("copied from") as same:
        with pytest.raises(ConfigurationError, match="one database, under two names"):
            await copied(source, same)
    assert await dump_lines(source) == lines
    assert await source.current_revision() <= revision + 2


LEGACY: dict[str, Any] = {"integrity": "legacy"}


async def damage(database: ConfigDatabase) -> None:
    """Leave what the old database layer left: its rules forbade nothing."""
    here = {"parent_type": "project", "parent_uuid": ids("project")}
    twin = {"fq_name": ["d: ä", "p", "n1"], **here}
    await database.object_create("network", ids("twin"), twin)
    gone = {"fq_name": ["d: ä", "p", "gone"], **here}
    for name in ("gone", "gone too"):
        await database.object_create("network", ids(name), gone)
    await database.create_ref("port", ids("port 4"), "network", ids("gone"))
    await database.create_ref("network", ids("twin"), "network", ids("gone"))
    await database.object_create("domain", ids("lost"), {"fq_name": ["lost"]})
    orphan = {"fq_name": ["orphan"], "parent_type": "domain", "parent_uuid": ids("lost")}
    for number in range(2):
        await database.object_create("folder", ids(f"orphan {number}"), orphan)
    below = {"parent_type": "folder", "parent_uuid": ids("orphan 0"), "note": 1}
    await database.object_create("folder", ids("below"), {"fq_name": ["below"], **below})
    await database.object_delete("domain", ids("lost"))
    for name in ("gone", "gone too"):
        await database.object_delete("network", ids(name))
    await database.object_create("port", ids("rootless"), {"fq_name": ["rootless"]})


@pytest.mark.promise("database.copy-verified", engines=["memory", "sqlite"])
@pytest.mark.parametrize("destination", ["memory", "sqlite"])
async def test_damage_of_old_databases_is_copied_as_it_is(destination: str, tmp_path: Path) -> None:
    endpoints = {"memory": "copied to", "sqlite": str(tmp_path / "to.db")}[destination]
    legacy = open_config_database(engine=destination, endpoints=endpoints, **LEGACY)
    async with opened("old", filled=True, **LEGACY) as source, legacy as target:
        await damage(source)
        report = await copied(source, target)
        assert report.differences.first == []
        assert await dump_lines(target) == await dump_lines(source)
        again = await copied(source, target)
        assert again.written.created + again.written.updated + again.written.linked == 0


async def test_a_strict_target_names_what_it_cannot_hold(target: ConfigDatabase) -> None:
    async with opened("old", filled=True, **LEGACY) as source:
        await damage(source)
        report = await copied(source, target)
    found = {(each.kind, each.id): each.reason for each in report.differences.first}
    assert report.differences.count == len(found) == 6
    assert re.search("exists as", found["missing", ids("twin")])
    assert re.search("its parent, .* does not exist", found["missing", ids("orphan 0")])
    assert re.search("its parent, .* does not exist", found["missing", ids("below")])
    assert re.search("the parent's name is", found["missing", ids("rootless")])
    reason = found["differs", ids("port 4")]
    assert reason.startswith("in network_refs; it refers to network")
    assert reason.endswith("which is not there")


@pytest.mark.promise("database.copy-goes-on", engines=["memory"])
async def test_lost_links_are_waited_for(source: ConfigDatabase, target: ConfigDatabase) -> None:
    lost = ConnectionLostError("the link is down")
    for operation in ("object_read", "object_list", "get_relaxed_refs", "get_shared", "kv_list"):
        faults("copied from").fail_next(lost, operation)
        faults("copied to").fail_next(OperationTimeoutError("too late"), operation)
    faults("copied to").fail_next(lost, "batch", at_write=1)
    faults("copied to").fail_next(WriteContentionError("busy"), "batch")
    told = Listener()
    faults("copied to").lose_reply("batch", times=3)
    faults("copied to").lose_reply("kv_replace")
    report = await copied(source, target, told)
    assert report.differences.first == []
    assert {each["side"] for each in told.heard("waiting")} == {"source", "target"}
    assert await dump_lines(target) == await dump_lines(source)


@pytest.mark.promise("database.copy-goes-on", engines=["memory"])
@pytest.mark.parametrize("side", ["source", "target"])
async def test_who_does_not_answer_is_named(
    source: ConfigDatabase, target: ConfigDatabase, side: str
) -> None:
    name = {"source": "copied from", "target": "copied to"}[side]
    faults(name).fail_next(ConnectionLostError("the link is down"), "object_read", times=10**6)
    with pytest.raises(ConnectionLostError, match=rf"^the {side} \(.*\): the link is down"):
        await copied(source, target, patience=0.5)
    faults(name).clear()
    faults(name).fail_next(AccessDeniedError("no right to read"), "object_read")
    with pytest.raises(AccessDeniedError, match=rf"^the {side} \(.*\): no right to read$"):
        await copied(source, target)
    faults(name).clear()
    report = await copied(source, target)
    assert report.resumed
    assert report.differences.first == []


@pytest.mark.promise("database.copy-goes-on", engines=["memory"])
async def test_a_copy_that_is_stopped_anywhere_goes_on(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    for steps in range(1, 200, 12):
        copying = asyncio.create_task(made(source, target).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        copying.cancel()
        await asyncio.wait([copying])
    report = await copied(source, target)
    assert report.resumed
    assert report.differences.first == []
    assert await dump_lines(target) == await dump_lines(source)


async def test_following_ends_when_nothing_changes(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    async with Writers(source).running() as writers, asyncio.TaskGroup() as group:
        copying = group.create_task(copied(source, target, follow=True, until_idle=0.4))
        await asyncio.sleep(1.0)
        assert not copying.done()
        writers.stop()
    assert copying.result().differences.first == []
    assert await dump_lines(target) == await dump_lines(source)


async def test_after_the_writers_have_stopped_only_changes_are_hashed(
    source: ConfigDatabase, target: ConfigDatabase
) -> None:
    told = Listener(stop_at="in_step")
    report = await copied(source, target, told, follow=True)
    assert report.hashed == report.objects == 20


async def test_a_large_database_is_not_held_in_memory(tmp_path: Path) -> None:
    schema = Schema({"thing": ObjectType(lists={"parts": None}, refs={"thing": RefType()})})
    files = [str(tmp_path / name) for name in ("large.db", "copy.db")]
    async with (
        open_config_database(engine="sqlite", endpoints=files[0]) as source,
        open_config_database(engine="sqlite", endpoints=files[1]) as target,
    ):
        await source.set_schema(schema)
        peaks: list[int] = []
        for size in (500, 1500):
            for at in range(0, size, 100):
                await source.object_create_many(
                    [
                        (
                            "thing",
                            ids(f"{number}"),
                            {"fq_name": [f"{number}"], "text": "x" * 8000, "parts": [number]},
                        )
                        for number in range(at, at + 100)
                    ]
                )
            tracemalloc.start()
            report = await copied(source, target, replace=True)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert (report.objects, report.differences.count) == (size, 0)
    # 4 and 12 MB of objects, of which a few hundred are on their way at a time.
    assert peaks[1] < peaks[0] * 1.5
