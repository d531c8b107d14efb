"""Dumps into databases and out of them again."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import (
    ALL_FIELDS,
    CollectionUpdate,
    ConfigDatabase,
    Guarantee,
    MapProperty,
    ObjectType,
    RefType,
    Schema,
)
from asyncbackends.errors import ConfigurationError, UseragentKeyNotFoundError
from asyncbackends.interchange.findings import Findings
from tests.data.generate_dumps import cloud, column_form, uuid_of
from tests.data.loads import DATA, ENGINES, dump_lines, load_file, open_database, write_dump

DUMPS = os.environ.get("ASYNCBACKENDS_TEST_DUMPS")

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
async def database(engine: str, tmp_path: Path) -> AsyncIterator[ConfigDatabase]:
    async with open_database(engine, tmp_path) as opened:
        yield opened


@pytest.fixture
async def second(engine: str, tmp_path: Path) -> AsyncIterator[ConfigDatabase]:
    async with open_database(engine, tmp_path, "second") as opened:
        yield opened


def saved(folder: Path, content: Any, name: str = "dump.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.promise("interchange.opencontrail-dumps-load")
@pytest.mark.parametrize("file", ["columns.json", "exim.json"])
async def test_every_object_reads_back_equal(database: ConfigDatabase, file: str) -> None:
    loaded, findings = await load_file(database, DATA / file)
    made = cloud()
    assert findings.damaged == []
    assert loaded.summary is not None
    assert loaded.summary.created == len(made.things) == 35
    assert loaded.summary.parents == 26
    assert loaded.summary.refs == 44
    for thing in made.things:
        assert await database.object_get(thing.obj_type, thing.uuid) == thing.expected()
    await both_ways(database)


async def both_ways(database: ConfigDatabase) -> tuple[int, int, int]:
    """Follow every parent and every ref from its other end; gives what there is."""
    objects = parents = refs = 0
    for obj_type in database.schema.types:
        async for found in database.object_iter(obj_type):
            objects += 1
            if "parent_uuid" in found:
                parents += 1
                field = f"{obj_type}s"
                parent = await database.object_get(
                    found["parent_type"], found["parent_uuid"], [field]
                )
                assert found["uuid"] in {child["uuid"] for child in parent[field]}
            for target in database.schema.types[obj_type].refs:
                for ref in found.get(f"{target}_refs", ()):
                    refs += 1
                    field = "back_refs" if target != obj_type else "refs"
                    other = await database.object_get(target, ref["uuid"], ALL_FIELDS)
                    assert other["fq_name"] == ref["to"]
                    assert {
                        "to": found["fq_name"],
                        "uuid": found["uuid"],
                        "attr": ref["attr"],
                    } in other[f"{obj_type}_{field}"]
    return objects, parents, refs


async def test_what_stands_beside_the_objects_is_loaded(database: ConfigDatabase) -> None:
    loaded, _ = await load_file(database, DATA / "exim.json")
    assert loaded.summary is not None
    made = cloud()
    network, project = made.of("virtual_network")[0], made.of("project")[-1]
    assert await database.get_shared("virtual_network", project.uuid, "tenant") == [
        (network.uuid, 7)
    ]
    assert await database.useragent_kv_retrieve("subnet 1") == "plain, no JSON"
    row = await database.kv_get("route_target_table", "target:64512:8000001")
    assert row == {"rtgt_num": "8000001"}
    port = made.of("virtual_machine_interface")[0]
    assert await database.get_relaxed_refs(network.uuid) == [port.uuid]


@pytest.mark.promise("interchange.load-again-changes-nothing")
@pytest.mark.parametrize("file", ["columns.json", "exim.json"])
async def test_loading_again_changes_nothing(database: ConfigDatabase, file: str) -> None:
    await load_file(database, DATA / file)
    revision = await database.current_revision()
    loaded, _ = await load_file(database, DATA / file)
    assert loaded.summary is not None
    assert loaded.summary.unchanged == 35
    assert loaded.summary.refs == 44
    assert await database.current_revision() == revision


@pytest.mark.promise("interchange.load-again-changes-nothing")
async def test_what_differs_is_put_right(database: ConfigDatabase) -> None:
    await load_file(database, DATA / "columns.json")
    before = await dump_lines(database)
    made = cloud()
    network, alarm = made.of("virtual_network")[0], made.of("alarm")[1]
    port = made.of("virtual_machine_interface")[0]
    await database.object_update(
        "virtual_network",
        network.uuid,
        {"mtu": 9000, "display_name": None, "network_ipam_refs": None},
    )
    await database.object_update("alarm", alarm.uuid, {"alarm_rules": [1, 2]})
    await database.object_update(
        "virtual_machine_interface",
        port.uuid,
        {"virtual_machine_interface_bindings": None, "virtual_machine_interface_refs": []},
    )
    loaded, findings = await load_file(database, DATA / "columns.json")
    assert findings.damaged == []
    assert loaded.summary is not None
    assert loaded.summary.updated == 3
    assert await dump_lines(database) == before


@pytest.mark.promise("interchange.damage-is-listed")
async def test_damage_is_listed_and_the_rest_is_loaded(database: ConfigDatabase) -> None:
    loaded, findings = await load_file(database, DATA / "columns_damaged.json")
    assert findings.damaged_count == 22
    assert loaded.summary is not None
    assert loaded.summary.refused == 0
    assert loaded.summary.created == 35
    assert (await both_ways(database))[0] == 35


@pytest.mark.promise("interchange.damage-is-listed")
async def test_strict_writes_nothing_when_there_is_damage(database: ConfigDatabase) -> None:
    loaded, findings = await load_file(database, DATA / "columns_damaged.json", strict=True)
    assert loaded.summary is None
    assert findings.damaged_count == 22
    assert await database.current_revision() == 0
    assert database.schema == Schema()


async def test_strict_loads_what_has_no_damage(database: ConfigDatabase) -> None:
    loaded, findings = await load_file(database, DATA / "exim.json", strict=True)
    assert findings.damaged == []
    assert loaded.summary is not None
    assert loaded.summary.created == 35


@pytest.mark.promise("interchange.dump-load-dump")
async def test_a_dump_of_a_loaded_dump_is_the_same(
    database: ConfigDatabase, second: ConfigDatabase, tmp_path: Path
) -> None:
    await load_file(database, DATA / "exim.json")
    lines = await dump_lines(database)
    assert any(b'"positions":{"alarm_rules":["0","2","10","abc"]}' in line for line in lines)
    assert any(b'"relaxed_by":' in line for line in lines)
    await write_dump(database, tmp_path / "dump.jsonl")
    loaded, findings = await load_file(second, tmp_path / "dump.jsonl", strict=True)
    assert findings.damaged == []
    assert loaded.schema_origin == "the dump's"
    assert await dump_lines(second) == lines
    revision = await second.current_revision()
    await load_file(second, tmp_path / "dump.jsonl")
    assert await second.current_revision() == revision


FOLDERS = Schema(
    {
        "folder": ObjectType(parents=("folder", "area", "config_root"), properties=()),
        "area": ObjectType(parents=("folder", "config_root"), properties=()),
        "paper": ObjectType(
            parents=("folder",),
            properties=("text",),
            lists={"pages": "page"},
            maps={"marks": MapProperty(wrapper="mark")},
            refs={"paper": RefType(), "folder": RefType()},
        ),
    }
)


async def test_types_that_contain_themselves_go_level_by_level(
    database: ConfigDatabase, second: ConfigDatabase, tmp_path: Path
) -> None:
    await database.set_schema(FOLDERS)
    parent: dict[str, Any] = {}
    for depth in range(12):
        # Names decide the uuids, so levels are not in the order of uuids.
        obj_type = "area" if depth % 3 == 2 else "folder"
        for number in range(3):
            uuid = uuid_of(f"{depth} {number}")
            await database.object_create(
                obj_type, uuid, {"fq_name": [f"{depth}", f"{number}"], **parent}
            )
        parent = {"parent_type": obj_type, "parent_uuid": uuid_of(f"{depth} 0")}
    folder = uuid_of("10 0")
    papers = [uuid_of("paper 1"), uuid_of("paper 2")]
    for number, uuid in enumerate(papers):
        content = {"fq_name": [f"paper {number}"], "parent_uuid": folder, "pages": {"page": [1]}}
        await database.object_create("paper", uuid, content)
    await database.create_ref("paper", papers[0], "paper", papers[1], {"attr": [1.0]})
    await database.create_ref("paper", papers[0], "folder", folder, relax_for_delete=True)
    steps = [
        CollectionUpdate("pages", "add", "x", "~"),
        CollectionUpdate("pages", "delete", None, "0"),
    ]
    await database.prop_collection_update("paper", papers[0], steps)
    await write_dump(database, tmp_path / "dump.jsonl")
    loaded, findings = await load_file(second, tmp_path / "dump.jsonl", strict=True)
    assert findings.damaged == []
    assert loaded.summary is not None
    assert loaded.summary.created == 38
    assert await dump_lines(second) == await dump_lines(database)
    read = await second.prop_collection_read("paper", papers[0], ["pages"])
    assert read == {"pages": [("x", "~")]}
    assert await second.get_relaxed_refs(folder) == [papers[0]]


async def test_only_what_is_refused_stays_out(database: ConfigDatabase, tmp_path: Path) -> None:
    await load_file(database, DATA / "columns.json")
    path = tmp_path / "dump.jsonl"
    await write_dump(database, path)
    made = cloud()
    domain, networks = made.of("domain")[0], made.of("virtual_network")
    project = made.of("project")[0]
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        uuid = line.get("object", {}).get("uuid")
        if uuid == networks[0].uuid:
            line["object"]["mtu"] = 2**70
        elif uuid == networks[1].uuid:
            line["object"]["fq_name"] = networks[2].fq_name
        elif uuid == networks[2].uuid:
            line["type"] = "ghost"
        elif uuid == project.uuid:
            line["object"]["parent_uuid"] = uuid_of("nobody")
    end = lines.pop()
    again = [line for line in lines if line.get("object", {}).get("uuid") == domain.uuid]
    lines += [*again, {**end, "objects": 36}]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")

    async with open_database(str(database.engine), tmp_path, "third") as third:
        loaded, findings = await load_file(third, path)
        assert loaded.summary is not None
        reasons = "\n".join(map(str, findings.damaged))
        assert "an earlier line has the same uuid" in reasons
        assert "the schema has no type 'ghost'" in reasons
        assert uuid_of("nobody") in reasons
        assert all(issue.row.startswith("line ") for issue in findings.damaged)
        objects, _, _ = await both_ways(third)
        assert objects == loaded.summary.created
        # The second project and what is below it came through.
        assert await third.fq_name_to_uuid("virtual_network", networks[3].fq_name)

    async with open_database(str(database.engine), tmp_path, "fourth") as fourth:
        _, strict = await load_file(fourth, path, strict=True)
        assert await fourth.current_revision() == 0
        found = {(issue.row.split()[-1], issue.column) for issue in strict.damaged}
        assert (networks[0].uuid, "") in found
        assert (project.uuid, "parent_uuid") in found
        assert (networks[2].uuid, "") in found


async def test_a_database_keeps_its_schema(database: ConfigDatabase) -> None:
    await database.set_schema(Schema({"domain": ObjectType(properties=("id_perms",))}))
    loaded, findings = await load_file(database, DATA / "columns.json")
    assert loaded.summary is not None
    assert loaded.summary.created == 1
    assert loaded.schema_origin == "the database's"
    assert findings.damaged_count > 0


async def test_a_schema_that_contradicts_the_database_is_refused(database: ConfigDatabase) -> None:
    await database.set_schema(Schema({"domain": ObjectType(lists={"a": "b"})}))
    with pytest.raises(ConfigurationError, match="domain"):
        await load_file(database, DATA / "columns.json", schema=Schema({"other": ObjectType()}))
    assert await database.current_revision() == 0


async def test_a_dump_may_lean_on_what_the_database_has(
    database: ConfigDatabase, tmp_path: Path
) -> None:
    await load_file(database, DATA / "columns.json")
    made = cloud(projects=3)
    part = column_form(made)
    there = {thing.uuid for thing in cloud().things}
    part[0]["db"] = {uuid: row for uuid, row in part[0]["db"].items() if uuid not in there}
    part[0]["OBJ_FQ_NAME_TABLE"] = {}
    loaded, _ = await load_file(database, saved(tmp_path, part))
    assert loaded.summary is not None
    assert loaded.summary.created == 15
    assert (await both_ways(database))[0] == 50


@pytest.mark.promise("interchange.live-database-loads")
async def test_a_live_database_loads_whole(
    database: ConfigDatabase, second: ConfigDatabase, tmp_path: Path
) -> None:
    if DUMPS is None:
        path, expected = DATA / "columns.json", (35, 26, 44)
    else:
        path, expected = Path(DUMPS, "bulk_sync.json"), (150, 110, 142)
    content = json.loads(path.read_text("utf-8"))[0]
    _, findings = await load_file(database, path)
    assert await both_ways(database) == expected
    for uuid, row in content["db"].items():
        await same_as_row(database, uuid, row)
    if DUMPS is not None:
        assert len(database.schema.types) == 34
        assert [issue.row.split()[0] for issue in findings.damaged] == ["alarm"]
        assert findings.notes["columns have a type's old name with dashes"] == 26
    await write_dump(database, tmp_path / "dump.jsonl")
    await load_file(second, tmp_path / "dump.jsonl")
    assert await dump_lines(second) == await dump_lines(database)


async def same_as_row(database: ConfigDatabase, uuid: str, row: dict[str, str]) -> None:
    """Hold an object against its columns, read here in another way than the load does."""
    found = await database.object_get(json.loads(row["type"]), uuid)
    assert found["fq_name"] == json.loads(row["fq_name"])
    lists: dict[str, list[tuple[int | str, Any]]] = {}
    for column, text in row.items():
        kind, _, rest = column.partition(":")
        if kind == "prop":
            assert found.get(rest) == json.loads(text)
        elif kind == "propl":
            name, at = rest.split(":")
            position = int(at) if at.isdigit() else 10**9
            lists.setdefault(name, []).append((position, json.loads(text)))
        elif kind == "propm":
            assert json.loads(text) in found[rest.partition(":")[0]]
        elif kind == "ref":
            name, target = rest.split(":")
            data = json.loads(text)
            ref = {"uuid": target, "attr": data.get("attr", data)}
            refs = [{"uuid": each["uuid"], "attr": each["attr"]} for each in found[f"{name}_refs"]]
            assert ref in refs
        elif kind == "parent":
            assert rest == f"{found['parent_type']}:{found['parent_uuid']}"
    for name, elements in lists.items():
        assert found[name] == [value for _, value in sorted(elements, key=lambda each: each[0])]


async def test_links_that_one_end_alone_stores_are_loaded(
    database: ConfigDatabase, tmp_path: Path
) -> None:
    if DUMPS is None:
        content = column_form(cloud())
        for row in content[0]["db"].values():
            for column in [name for name in row if name.startswith(("backref:", "children:"))]:
                del row[column]
        path, expected, one_ended = saved(tmp_path, content), (35, 26, 44), 68
    else:
        # Of its eighteen links two have their other end, and two are the two ends of one.
        path, expected, one_ended = Path(DUMPS, "db-dump.json"), (13, 8, 10), 14
    _, findings = await load_file(database, path)
    assert await both_ways(database) == expected
    assert findings.warning_counts["links stored at one end only"] == one_ended


async def test_without_atomic_batches_objects_go_one_by_one(
    database: ConfigDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaker = database.guarantees - {Guarantee.ATOMIC_BATCH}
    monkeypatch.setattr(type(database), "guarantees", weaker)
    loaded, findings = await load_file(database, DATA / "exim.json")
    assert findings.damaged == []
    assert loaded.summary is not None
    assert loaded.summary.created == 35
    assert (await both_ways(database)) == (35, 26, 44)


async def test_texts_are_no_part_of_a_dump(
    database: ConfigDatabase, second: ConfigDatabase, tmp_path: Path
) -> None:
    """A database cannot list them; the documentation says so."""
    await load_file(database, DATA / "exim.json")
    await write_dump(database, tmp_path / "dump.jsonl")
    await load_file(second, tmp_path / "dump.jsonl")
    with pytest.raises(UseragentKeyNotFoundError):
        await second.useragent_kv_retrieve("subnet 1")


def test_findings_count_more_than_they_keep(engine: str) -> None:
    findings = Findings()
    for number in range(20_000):
        findings.damage(str(number), "", "why")
        findings.warn("kind", str(number), "", "why")
    assert findings.damaged_count == findings.warning_counts["kind"] == 20_000
    assert len(findings.damaged) < 20_000
    assert len(findings.warnings["kind"]) < 20_000
