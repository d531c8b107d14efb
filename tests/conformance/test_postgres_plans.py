"""Lists and look-ups on PostgreSQL are answered from indexes that hold all they need."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from hashlib import md5
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import pytest_asyncio

from asyncbackends import ObjectType, RefType, Schema
from asyncbackends.object_model.listing import listing
from asyncbackends.object_model.views import type_view
from asyncbackends.sql.listing import ListQuery
from asyncbackends.sql.statements import Statements
from asyncbackends_postgres.connection import PostgresConnection
from tests.faults.postgres_units import open_tables
from tests.servers.running import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",), refs={"policy": RefType()}, indexed=("mtu", "state")
        ),
    }
)
NUMBERS = count()
NETWORKS = 30_000
PROJECTS, POLICIES = 10, 200

# uuids in no order of time, as they are in real life.
FILL = """
INSERT INTO ~object SELECT md5('p' || n)::uuid, 'project', '["p' || n || '"]', NIL, NULL, NULL, 1
FROM generate_series(1, PROJECTS) n;
INSERT INTO ~object SELECT md5('q' || n)::uuid, 'policy', '["q' || n || '"]', NIL, NULL, NULL, 1
FROM generate_series(1, POLICIES) n;
INSERT INTO ~object SELECT md5('n' || n)::uuid, 'network', '["n' || n || '"]', NIL, 'project',
md5('p' || n % PROJECTS + 1)::uuid, 1 FROM generate_series(1, NETWORKS) n;
INSERT INTO ~state SELECT uuid, 1, 1 FROM ~object;
INSERT INTO ~doc SELECT uuid, repeat('x', 300) FROM ~object;
INSERT INTO ~ref SELECT md5('n' || n)::uuid, md5('q' || n % POLICIES + 1)::uuid, 'network',
'["n' || n || '"]', 'policy', '["q"]', 'null', false FROM generate_series(1, NETWORKS) n;
INSERT INTO ~indexed SELECT 'network', 'mtu', 'n:' || n % 1000, md5('n' || n)::uuid
FROM generate_series(1, NETWORKS) n
"""


class Filled(NamedTuple):
    """Tables with many rows."""

    connection: PostgresConnection
    sql: Statements

    async def plan(self, statement: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
        """Run a statement as the driver does, by a plan for any parameters, and give its steps."""
        name = f"x{next(NUMBERS)}"
        await self.connection.script([f"PREPARE {name} AS {statement}"])
        given = ", ".join(map(literal, parameters))
        execute = f"EXECUTE {name}({given})"
        rows = await self.connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}")
        return [*steps(json.loads(rows[0][0])[0]["Plan"])]


def literal(value: Any) -> str:
    if isinstance(value, (int, str)):
        return f"'{value}'"
    return f"ARRAY[{', '.join(map(literal, value))}]"


def steps(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for inner in plan.get("Plans", ()) for each in steps(inner))]


def named(letter: str, *numbers: int) -> list[str]:
    texts = (f"{letter}{number}".encode() for number in numbers)
    return [str(UUID(md5(text, usedforsecurity=False).hexdigest())) for text in texts]


@pytest.fixture(autouse=True, params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def tidied(connection: PostgresConnection, table: str) -> None:
    """Let all rows be known to be there for everybody; the server's own tidying may be at it."""
    neutral = f"SELECT relallvisible = relpages FROM pg_class WHERE oid = '{table}'::regclass"  # noqa: S608  # our names
    for _ in range(100):
        await connection.fetch(f"VACUUM ANALYZE {table}")
        if (await connection.fetch(neutral))[0][0]:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"{table} cannot be tidied up")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def filled(servers: Servers) -> AsyncIterator[Filled]:
    async with open_tables(servers.get("postgres")) as tables:
        connection = await tables.connection()
        fill = FILL.replace("NIL", "'00000000-0000-0000-0000-000000000000'")
        for name, value in (("PROJECTS", PROJECTS), ("POLICIES", POLICIES), ("NETWORKS", NETWORKS)):
            fill = fill.replace(name, str(value))
        await connection.script([tables.rendered(text) for text in fill.split(";")])
        for table in ("object", "state", "doc", "ref", "indexed"):
            await tidied(connection, f'"{tables.options.namespace}".{table}')
        yield Filled(connection, Statements(tables.engine.dialect, tables.options.namespace))


def scans(plan: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for step in plan if "Relation Name" in step]


def query(filled: Filled, **restrictions: Any) -> ListQuery:
    return ListQuery(filled.sql, listing(type_view(SCHEMA, "network"), **restrictions))


@pytest.mark.promise("database.lists-from-covering-indexes")
@pytest.mark.parametrize(
    ("restrictions", "index"),
    [
        ({}, "object_type"),
        ({"parent_uuids": named("p", 3)}, "object_parent"),
        ({"back_ref_uuids": named("q", 3)}, "ref_back"),
    ],
)
@pytest.mark.parametrize("after", [None, "80000000-0000-0000-0000-000000000000"])
async def test_pages_are_index_only_and_need_no_sort(
    filled: Filled, restrictions: dict[str, Any], index: str, after: str | None
) -> None:
    plan = await filled.plan(*query(filled, **restrictions).page(after, 51))
    assert [
        (scan["Node Type"], scan["Index Name"], scan["Heap Fetches"]) for scan in scans(plan)
    ] == [("Index Only Scan", index, 0)]
    assert not [step for step in plan if "Sort" in step["Node Type"]]
    # No more is read than the page has.
    assert scans(plan)[0]["Actual Rows"] == 51


@pytest.mark.parametrize(
    "restrictions",
    [
        {"parent_uuids": named("p", 3, 4)},
        {"back_ref_uuids": named("q", 3, 4)},
        {"parent_uuids": named("p", 4), "back_ref_uuids": named("q", 3)},
        {"obj_uuids": named("n", *range(1, 100))},
        {"parent_uuids": named("p", 1, 2), "obj_uuids": named("n", *range(1, 100))},
        {"filters": {"mtu": [7]}},
        {"filters": {"mtu": [7, 8]}, "parent_uuids": named("p", 8)},
    ],
)
async def test_no_list_reads_a_whole_table(filled: Filled, restrictions: dict[str, Any]) -> None:
    for statement in (
        query(filled, **restrictions).page(None, 51),
        query(filled, **restrictions).count(),
    ):
        plan = await filled.plan(*statement)
        assert all(scan["Node Type"] != "Seq Scan" for scan in scans(plan))
        assert all(scan.get("Heap Fetches", 0) == 0 for scan in scans(plan))
        # What is read besides is bounded by what the anchors hold.
        read = max(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans(plan))
        assert read <= 2 * NETWORKS / PROJECTS


async def test_names_and_counts_are_index_only(filled: Filled) -> None:
    sql = filled.sql
    project = named("p", 1)[0]
    for statement, parameters, index in (
        (sql.ids_of_name, ["network", '["n7"]'], "object_name"),
        (sql.ids_of_names, ["network", ['["n7"]', '["n8"]']], "object_name"),
        (sql.count_children, [project, "project", project, "network"], "object_parent"),
    ):
        plan = await filled.plan(statement, parameters)
        assert index in [scan.get("Index Name") for scan in scans(plan)]
        assert all(
            scan["Node Type"] == "Index Only Scan" or scan["Index Name"] == "object_pkey"
            for scan in scans(plan)
        )


async def test_documents_are_read_by_page(filled: Filled) -> None:
    plan = await filled.plan(*query(filled, filters={"other": [1]}).documents(None, 51))
    assert all(scan["Node Type"] != "Seq Scan" for scan in scans(plan))
    assert max(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans(plan)) <= 51
