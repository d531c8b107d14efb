"""The postgres engine beside bare asyncpg, what others put over it, and another layout."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from asyncbackends import ConfigDatabase, open_config_database
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.statements import statements_for
from asyncbackends_postgres.applying import unit_call
from asyncbackends_postgres.dialect import DIALECT
from tests.bench.side_by_side import Contender, callers, holders
from tests.bench.sql_columns import rows_of
from tests.bench.sql_objects import (
    CHILDREN,
    PARENTS,
    SCHEMA,
    network_id,
    populate,
    stored_objects,
)
from tests.bench.sql_operations import (
    CALLERS,
    ColumnStatements,
    Held,
    Others,
    RawSide,
    measure_operations,
    name_key,
)
from tests.bench.sql_pages import measure_pages
from tests.bench.sql_peers import BODY, new_row, opened_peers
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

__all__ = ("run",)

# It has no types.
asyncpg: Any = import_module("asyncpg")

NAMESPACE = "bench"
MOST = 64
OBJECTS = PARENTS * CHILDREN
SQL = statements_for(DIALECT, NAMESPACE)

SERVER_OPTIONS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    # Its work would fall into one contender's time; VACUUM ANALYZE comes after what is filled in.
    "autovacuum": "off",
}
SESSION = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
"""As the engine's own connections."""

PROJECT = "CAST('00000000-0000-0001-0000-' || lpad(to_hex({}), 12, '0') AS uuid)"
CHUNKS = 8
# The foreign keys hold, and checking them takes as long again.
FILL_PARENTS = f"""
SET session_replication_role = replica;
WITH new AS (
    INSERT INTO {NAMESPACE}.object (uuid, type, fq, twin, created)
    SELECT {PROJECT.format("n")}, 'project', '["domain","project-' || n || '"]',
        CAST(lpad('', 32, '0') AS uuid), 1
    FROM generate_series(0, {PARENTS - 1}) n RETURNING uuid
) INSERT INTO {NAMESPACE}.state SELECT uuid, 1, 1 FROM new
"""  # noqa: S608  # our own names
FILL_CHILDREN = f"""
SET session_replication_role = replica;
WITH new AS (
    INSERT INTO {NAMESPACE}.object (uuid, type, fq, twin, parent_type, parent_uuid, created)
    SELECT CAST(md5(CAST(n AS text)) AS uuid), 'network',
        '["domain","project-' || mod(n, {PARENTS}) || '","network-' || n || '"]',
        CAST(lpad('', 32, '0') AS uuid), 'project', {PROJECT.format(f"mod(n, {PARENTS})")}, 1
    FROM generate_series(%d, %d) n ORDER BY 1 RETURNING uuid
) INSERT INTO {NAMESPACE}.state SELECT uuid, 1, 1 FROM new
"""  # noqa: S608  # our own names
TABLES = (
    'CREATE TABLE columns (uuid uuid, name text COLLATE "C", value text,'
    " PRIMARY KEY (uuid, name));"
    "CREATE TABLE one_row (uuid uuid PRIMARY KEY, properties text)"
)
NEW_COLUMNS = "INSERT INTO columns SELECT * FROM unnest($1::text[]::uuid[], $2::text[], $3::text[])"
COLUMNS = ColumnStatements(
    "SELECT uuid::text, name, value FROM columns WHERE uuid = ANY ($1::text[]::uuid[])",
    "SELECT uuid::text, value FROM columns WHERE uuid = ANY ($1::text[]::uuid[])"
    " AND name = 'fq_name'",
    list,
)
GET_ROW = "SELECT uuid, properties FROM one_row WHERE uuid = $1"
NEW_ROW = "INSERT INTO one_row (uuid, properties) VALUES ($1, $2)"


def _login(server: DatabaseServer) -> dict[str, Any]:
    host, _, port = server.endpoint.partition(":")
    login = {"user": server.username, "password": server.password, "database": "tests"}
    return {"host": host, "port": int(port), **login}


def _opened(server: DatabaseServer, **options: Any) -> Any:
    return open_config_database(**server.settings(namespace=NAMESPACE, **options))


async def _fill(server: DatabaseServer) -> None:
    """Make a million objects and what is measured among them."""
    began = time.perf_counter()
    async with _opened(server, schema=SCHEMA):
        pass
    await asyncio.to_thread(server.sql, FILL_PARENTS, database="tests")
    for start in range(0, OBJECTS, OBJECTS // CHUNKS):
        chunk = FILL_CHILDREN % (start + 1, start + OBJECTS // CHUNKS)
        await asyncio.to_thread(server.sql, chunk, database="tests")
    async with _opened(server) as db:
        await populate(db)
        rows = [row for one in await stored_objects(db) for row in rows_of(*one)]
    connection = await asyncpg.connect(**_login(server))
    await connection.execute(TABLES)
    await connection.execute(NEW_COLUMNS, *(list(column) for column in zip(*rows, strict=True)))
    for start in range(1000):
        await connection.execute(NEW_ROW, network_id(start), BODY)
    await connection.close()
    await asyncio.to_thread(server.sql, "VACUUM ANALYZE", database="tests")
    seconds = time.perf_counter() - began
    print(f"\npostgres: PostgreSQL {server.version()}, {OBJECTS:,} objects in {seconds:.0f} s")


async def _held(stack: AsyncExitStack, server: DatabaseServer) -> list[Any]:
    """Give connections that are set up as the engine's."""
    held: list[Any] = []
    for _ in range(MOST):
        connection = await asyncpg.connect(
            **_login(server), server_settings=SESSION, max_cacheable_statement_size=64 * 1024
        )
        stack.push_async_callback(connection.close)
        held.append(connection)
    return held


def _unit(effects: Effects) -> tuple[str, list[Any]]:
    return unit_call(effects, NAMESPACE)


async def _send(held: Held, unit: tuple[str, list[Any]]) -> Applied:
    return Applied(*(await held(unit[0], *unit[1]))[0])


class _Plans:
    """Explains statements as the engine's connections plan them."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def __call__(self, statement: str, parameters: Sequence[Any]) -> Sequence[str]:
        given = ", ".join(f"'{parameter}'" for parameter in parameters)
        await self._connection.execute(f"PREPARE explained AS {statement}")
        rows = await self._connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS) EXECUTE explained({given})"
        )
        await self._connection.execute("DEALLOCATE explained")
        lines = [str(row[0]).strip() for row in rows]
        wanted = "Index Only Scan|Heap Fetches|Buffers: shared hit|Execution Time|Planning Time"
        chosen = [line for line in lines if re.search(wanted, line)]
        assert any("Index Only Scan" in line for line in chosen), lines
        assert "Heap Fetches: 0" in chosen, lines
        return chosen


async def _others(stack: AsyncExitStack, server: DatabaseServer, held: list[Any]) -> Others:
    pool = await stack.enter_async_context(
        asyncpg.create_pool(**_login(server), min_size=CALLERS, max_size=CALLERS)
    )
    login = _login(server)
    url = sa.URL.create(
        "postgresql+asyncpg",
        login["user"],
        login["password"],
        login["host"],
        login["port"],
        "tests",
    )
    peers = await opened_peers(
        stack, {"asyncpg": url}, CALLERS, f"{NAMESPACE}.object", sa.Uuid(as_uuid=False)
    )
    name = SQL.ids_of_name
    get: dict[str, Contender] = {
        "asyncpg, held": holders(held, lambda one, uuid: one.fetchrow(GET_ROW, uuid), network_id),
        "asyncpg.Pool": callers(lambda uuid: pool.fetchrow(GET_ROW, uuid), network_id),
        **peers.get(),
    }
    insert: dict[str, Contender] = {
        "asyncpg, held": holders(held, lambda one, uuid: one.execute(NEW_ROW, uuid, BODY), new_row),
        "asyncpg.Pool": callers(lambda uuid: pool.execute(NEW_ROW, uuid, BODY), new_row),
        **peers.insert(),
    }
    find: dict[str, Contender] = {
        "asyncpg.Pool": callers(lambda key: pool.fetchrow(name, "network", key), name_key),
        **peers.find(),
    }
    return Others(find=find, get_row=get, insert_row=insert)


async def _measure(server: DatabaseServer) -> None:
    await _fill(server)
    async with AsyncExitStack() as stack:
        db: ConfigDatabase = await stack.enter_async_context(_opened(server, pool_size=CALLERS))
        held = await _held(stack, server)
        await measure_pages(db, SQL, _Plans(held[0]))
        stamp: int = (await held[0].fetch(SQL.counter))[0][2]
        fetches: list[Held] = [connection.fetch for connection in held]
        raw = RawSide("asyncpg, held", fetches, SQL, stamp, _unit, _send, COLUMNS)
        await measure_operations(db, raw, await _others(stack, server, held))


def run() -> None:
    """Measure on a server of its own."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("postgres", options=SERVER_OPTIONS) as server,
    ):
        asyncio.run(_measure(server))


if __name__ == "__main__":
    run()
