"""Servers answer lists and names from indexes that hold all they need, in order."""

import asyncio
from random import Random
from typing import Any
from uuid import UUID

import pytest

from asyncbackends import ObjectType, RefType, Schema, open_config_database
from asyncbackends.narrowing import is_list
from asyncbackends.object_model.listing import listing
from asyncbackends.object_model.values import fq_key
from asyncbackends.object_model.views import type_view
from asyncbackends.sql.listing import ListQuery
from asyncbackends.sql.statements import Statements
from asyncbackends_mysql.dialect import DIALECT as MYSQL
from asyncbackends_mysql.dialect import literal
from asyncbackends_postgres.dialect import DIALECT as POSTGRES
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(parents=("project",), refs={"policy": RefType()}, indexed=("mtu",)),
    }
)
VIEW = type_view(SCHEMA, "network")
RANDOM = Random(7)
IDS = [str(UUID(int=RANDOM.getrandbits(128))) for _ in range(1500)]
PROJECTS, POLICIES, NETWORKS = IDS[:10], IDS[10:1000], IDS[1000:]
NAMESPACE = "plans"

LISTS: dict[str, dict[str, Any]] = {
    "object_type": {},
    "object_parent": {"parent_uuids": PROJECTS[:1]},
    "ref_back": {"back_ref_uuids": POLICIES[:1]},
    "indexed": {"filters": {"mtu": [3]}},
}


UNSEEN = """
SELECT count(*) FROM pg_class WHERE relallvisible < relpages
AND oid IN ('plans.object'::regclass, 'plans.ref'::regclass, 'plans.indexed'::regclass)
"""


async def filled(settings: dict[str, Any]) -> None:
    async with open_config_database(**settings, schema=SCHEMA) as database:
        for obj_type, uuids in (("project", PROJECTS), ("policy", POLICIES)):
            await database.object_create_many(
                [(obj_type, uuid, {"fq_name": [uuid]}) for uuid in uuids]
            )
        await database.object_create_many(
            [
                (
                    "network",
                    uuid,
                    {
                        "fq_name": [uuid],
                        "parent_uuid": PROJECTS[number % 10],
                        "policy_refs": [{"uuid": POLICIES[number % 7]}],
                        "mtu": number % 50,
                    },
                )
                for number, uuid in enumerate(NETWORKS)
            ]
        )


def statements(sql: Statements) -> dict[str, tuple[str, list[Any]]]:
    """Give the statements that must be answered from one index, by its name."""
    found: dict[str, tuple[str, list[Any]]] = {}
    for index, restrictions in LISTS.items():
        query = ListQuery(sql, listing(VIEW, **restrictions))
        found[f"{index} first page"] = query.page(None, 100)
        found[f"{index} later page"] = query.page(NETWORKS[5], 100)
        found[f"{index} count"] = query.count()
    name = fq_key([NETWORKS[0]])
    found["object_name of one"] = sql.ids_of_name, ["network", name]
    found["object_name of several"] = sql.ids_of_names, ["network", [name, fq_key([IDS[0]])]]
    return found


async def vacuumed(server: DatabaseServer) -> None:
    """Have it noted that everybody sees all rows, which waits until they are on disk."""
    for _ in range(50):
        server.sql("VACUUM ANALYZE plans.object, plans.ref, plans.indexed", database="tests")
        if server.sql(UNSEEN, database="tests").strip() == "0":
            return
        await asyncio.sleep(0.1)


@pytest.mark.promise("database.lists-from-covering-indexes", engines=["postgres"])
async def test_postgres(servers: Servers) -> None:
    server = servers.get("postgres")
    await filled(server.settings(namespace=NAMESPACE))
    await vacuumed(server)
    sql = Statements(POSTGRES, NAMESPACE)
    script = [
        # As the engine plans: once, without the parameters. Few rows would be read as they lie.
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;",
    ]
    found = statements(sql)
    for number, (text, parameters) in enumerate(found.values()):
        given = ", ".join(map(_quoted, parameters))
        script.append(f"PREPARE s{number} AS {text};")
        script.append("SELECT 'statement';")
        script.append(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE s{number}({given});")
    plans = server.sql("\n".join(script), database="tests").split("statement\n")[1:]
    assert len(plans) == len(found)
    for what, plan in zip(found, plans, strict=True):
        assert f"Index Only Scan using {what.split()[0]}" in plan, (what, plan)
        assert "Sort" not in plan, (what, plan)
        assert "Heap Fetches: 0" in plan, (what, plan)


def _quoted(parameter: Any) -> str:
    if is_list(parameter):
        return f"ARRAY[{', '.join(map(_quoted, parameter))}]"
    return "'" + str(parameter).replace("'", "''") + "'"


@pytest.mark.promise("database.lists-from-covering-indexes", engines=["mysql"])
async def test_mariadb(servers: Servers) -> None:
    server = servers.get("mysql")
    await filled(server.settings(namespace=NAMESPACE))
    server.sql(
        f"ANALYZE TABLE {NAMESPACE}_object, {NAMESPACE}_ref, {NAMESPACE}_indexed", database="tests"
    )
    for what, (text, parameters) in statements(Statements(MYSQL, NAMESPACE)).items():
        # Newer servers would draw a tree.
        explain = f"EXPLAIN FORMAT=TRADITIONAL {text % tuple(map(literal, parameters))}"
        first = server.sql(explain, database="tests").splitlines()[0].split("\t")
        assert "Using index" in first[-1], (what, first)
        assert "filesort" not in first[-1], (what, first)
        index = what.split()[0]
        # MySQL has a column for partitions before it.
        key = first[6] if len(first) == 12 else first[5]
        assert key == ("PRIMARY" if index == "indexed" else index), (what, first)
