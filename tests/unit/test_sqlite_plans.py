"""Lists are answered from indexes that hold all they need."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from asyncbackends import ObjectType, RefType, Schema, open_config_database
from asyncbackends.object_model.listing import Listing, listing
from asyncbackends.object_model.views import type_view
from asyncbackends_sqlite.listing import Lister
from asyncbackends_sqlite.statements import Statements, packed_ids

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",),
            properties=("mtu", "free"),
            refs={"policy": RefType()},
            indexed=("mtu",),
        ),
    }
)
IDS = [str(UUID(int=number << 96 | number)) for number in range(1, 60)]
PROJECTS, POLICIES, NETWORKS = IDS[:3], IDS[3:6], IDS[6:]


@pytest.fixture
async def path(tmp_path: Path) -> str:
    path = str(tmp_path / "x.db")
    async with open_config_database(engine="sqlite", endpoints=path, schema=SCHEMA) as db:
        for obj_type, uuids in (("project", PROJECTS), ("policy", POLICIES)):
            for uuid in uuids:
                await db.object_create(obj_type, uuid, {"fq_name": [uuid]})
        for number, uuid in enumerate(NETWORKS):
            body = {
                "fq_name": [uuid],
                "parent_uuid": PROJECTS[number % 3],
                "policy_refs": [{"uuid": POLICIES[number % 2]}],
                "mtu": number % 5,
            }
            await db.object_create("network", uuid, body)
    return path


@pytest.fixture
def connection(path: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def plan(connection: sqlite3.Connection, statement: str, parameters: list[object]) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [row[3] for row in rows]


def wanted(**restrictions: object) -> Listing:
    return listing(type_view(SCHEMA, "network"), **restrictions)  # type: ignore[arg-type]  # by name


@pytest.mark.promise("database.lists-from-covering-indexes", engines=["sqlite"])
@pytest.mark.parametrize(
    ("restrictions", "index"),
    [
        ({}, "object_type (type=? AND uuid>?)"),
        ({"parent_uuids": PROJECTS[:1]}, "object_parent (parent_uuid=? AND type=? AND uuid>?)"),
        ({"back_ref_uuids": POLICIES[:1]}, "ref_back (to_uuid=? AND from_type=? AND from_uuid>?)"),
    ],
)
@pytest.mark.parametrize("marker", [None, f"after:{NETWORKS[3]}"])
def test_pages_by_type_parent_and_back_ref_are_index_only_and_need_no_sort(
    connection: sqlite3.Connection, restrictions: dict[str, object], index: str, marker: str | None
) -> None:
    lister = Lister(connection.cursor(), Statements("asyncbackends"))
    asked = wanted(**restrictions, marker=marker, limit=500)
    steps = plan(connection, *lister.statement(asked, 501))
    searches = [step for step in steps if step.startswith(("SEARCH", "SCAN"))]
    assert any(step.endswith(f"USING COVERING INDEX asyncbackends_{index}") for step in searches)
    # Beside it there is only the pass over its result.
    assert len([step for step in searches if "asyncbackends_" in step or " o " in step]) == 1
    assert not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    "restrictions",
    [
        {"parent_uuids": PROJECTS[:2]},
        {"back_ref_uuids": POLICIES[:2]},
        {"parent_uuids": PROJECTS[:1], "back_ref_uuids": POLICIES[:1]},
        {"parent_uuids": PROJECTS, "back_ref_uuids": POLICIES, "obj_uuids": NETWORKS[:9]},
        {"obj_uuids": NETWORKS[:9]},
    ],
)
def test_combined_restrictions_touch_covering_indexes_only(
    connection: sqlite3.Connection, restrictions: dict[str, object]
) -> None:
    lister = Lister(connection.cursor(), Statements("asyncbackends"))
    steps = plan(connection, *lister.statement(wanted(**restrictions, limit=5), 6))
    tables = [step for step in steps if step.split(" ")[1:2] in (["o"], ["r"], ["p"], ["b"])]
    assert tables
    assert all("USING COVERING INDEX" in step for step in tables), steps


def test_an_indexed_filter_is_looked_up(connection: sqlite3.Connection) -> None:
    lister = Lister(connection.cursor(), Statements("asyncbackends"))
    steps = plan(connection, *lister.statement(wanted(filters={"mtu": [1]}, limit=5), 6))
    assert any(step.startswith("SEARCH i ") and "key=?" in step for step in steps), steps
    assert not [step for step in steps if "SCAN o" in step or "doc" in step]


def test_names_and_counts_are_index_only(connection: sqlite3.Connection) -> None:
    sql = Statements("asyncbackends")
    project = packed_ids(PROJECTS[:1])
    names = plan(connection, sql.ids_of_names, ['["[\\"x\\"]"]', "network"])
    assert any("COVERING INDEX asyncbackends_object_name" in step for step in names)
    counts = plan(connection, sql.count_children, [project, "project", project, "network"])
    assert any("COVERING INDEX asyncbackends_object_parent" in step for step in counts)


def test_a_new_object_finds_refs_that_wait_for_it_by_the_index_of_these(
    connection: sqlite3.Connection,
) -> None:
    sql = Statements("asyncbackends")
    steps = plan(connection, sql.attach, ["[]", packed_ids(IDS[:1]), "network"])
    assert any("ref_dangling" in step for step in steps), steps
    steps = plan(connection, sql.any_dangling, [])
    assert any("ref_dangling" in step for step in steps), steps
