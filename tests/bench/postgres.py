"""The postgres engine beside bare asyncpg, what others put over it, and another layout."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import patch

import asyncpg

from asyncbackends import open_config_database
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.statements import statements_for
from asyncbackends_postgres.applying import unit_call
from asyncbackends_postgres.dialect import DIALECT
from tests.bench.side_by_side import Contender, callers
from tests.bench.sql_columns import rows_of
from tests.bench.sql_objects import (
    CHILDREN,
    PARENTS,
    SCHEMA,
    parent_id,
    populate,
    stored_objects,
)
from tests.bench.sql_operations import (
    CALLERS,
    ColumnStatements,
    Held,
    RawSide,
    measure_operations,
    name_key,
)
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

__all__ = ("run",)

NAMESPACE = "bench"
MOST = 64
SERVER_OPTIONS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "autovacuum": "off",
}
SQL = statements_for(DIALECT, NAMESPACE)

FILL = f"""
SET session_replication_role = replica;
INSERT INTO {NAMESPACE}.object (uuid, type, fq, twin, created)
SELECT CAST('00000000-0000-0001-0000-' || lpad(to_hex(n), 12, '0') AS uuid), 'project',
    '["domain","project-' || n || '"]', CAST(lpad('', 32, '0') AS uuid), 1
FROM generate_series(0, {PARENTS - 1}) n;
INSERT INTO {NAMESPACE}.object (uuid, type, fq, twin, parent_type, parent_uuid, created)
SELECT CAST(md5(CAST(n AS text)) AS uuid), 'network',
    '["domain","project-' || n % {PARENTS} || '","network-' || n || '"]',
    CAST(lpad('', 32, '0') AS uuid), 'project',
    CAST('00000000-0000-0001-0000-' || lpad(to_hex(n % {PARENTS}), 12, '0') AS uuid), 1
FROM generate_series(1, {PARENTS * CHILDREN}) n ORDER BY 1;
INSERT INTO {NAMESPACE}.state SELECT uuid, 1, 1 FROM {NAMESPACE}.object;
"""
COLUMNS = "CREATE TABLE columns (uuid uuid, name text COLLATE \"C\", value text, PRIMARY KEY (uuid, name))"


def _login(server: DatabaseServer) -> dict[str, Any]:
    host, _, port = server.endpoint.partition(":")
    return {
        "host": host,
        "port": int(port),
        "user": server.username,
        "password": server.password,
        "database": "tests",
    }


async def _held(stack: AsyncExitStack, server: DatabaseServer) -> list[Held]:
    """Give connections that are set up as the engine's."""
    settings = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
    held: list[Held] = []
    for _ in range(MOST):
        connection: Any = await asyncpg.connect(
            **_login(server), server_settings=settings, max_cacheable_statement_size=64 * 1024
        )
        stack.push_async_callback(connection.close)
        held.append(connection.fetch)
    return held


async def _send(held: Held, unit: tuple[str, list[Any]]) -> Applied:
    return Applied(*(await held(unit[0], *unit[1]))[0])


def _unit(effects: Effects) -> tuple[str, list[Any]]:
    return unit_call(effects, NAMESPACE)


async def _fill(server: DatabaseServer) -> None:
    """Make a million objects, as it is quickest."""
    async with open_config_database(
        **server.settings(namespace=NAMESPACE, schema=SCHEMA)
    ):
        pass
    began = time.perf_counter()
    await asyncio.to_thread(server.sql, FILL, database="tests")
    await asyncio.to_thread(server.sql, "VACUUM ANALYZE", database="tests")
    print(f"\npostgres: {server.version()}, {PARENTS * CHILDREN:,} objects made in {time.perf_counter()-began:.0f} s")


async def _measure(server: DatabaseServer) -> None:
    await _fill(server)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            open_config_database(**server.settings(namespace=NAMESPACE, pool_size=CALLERS))
        )
        await populate(db)
        held = await _held(stack, server)
        await held[0](COLUMNS)
        rows = [row for one in await stored_objects(db) for row in rows_of(*one)]
        await held[0]("INSERT INTO columns SELECT * FROM unnest($1::text[]::uuid[], $2::text[], $3::text[])", *(list(c) for c in zip(*rows)))
        await asyncio.to_thread(server.sql, "VACUUM ANALYZE", database="tests")
        raw = RawSide(
            "asyncpg, held",
            held,
            SQL,
            (await held[0](SQL.counter))[0][2],
            _unit,
            _send,
            ColumnStatements(
                "SELECT uuid::text, name, value FROM columns WHERE uuid = ANY ($1::text[]::uuid[])",
                "SELECT uuid::text, value FROM columns WHERE uuid = ANY ($1::text[]::uuid[]) AND name = 'fq_name'",
                list,
            ),
        )
        pool: Any = await stack.enter_async_context(
            asyncpg.create_pool(**_login(server), min_size=CALLERS, max_size=CALLERS)
        )
        names: dict[str, Contender] = {
            "asyncpg.Pool": callers(
                lambda key: pool.fetchrow(SQL.ids_of_name, "network", key), name_key
            )
        }
        await measure_operations(db, raw, names)


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
