"""The mysql engine beside bare asyncmy and aiomysql, what others put over them, and another layout."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import patch

import aiomysql
import anyio
import asyncmy
import sqlalchemy as sa

from asyncbackends import ConfigDatabase, open_config_database
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.options import Secret
from asyncbackends.protocols.backend import Kind
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.statements import statements_for
from asyncbackends_mysql.applying import packets
from asyncbackends_mysql.dialect import DIALECT, literal
from asyncbackends_mysql.engine import MysqlEngine
from asyncbackends_mysql.options import MysqlDatabaseOptions
from asyncbackends_mysql.session_setup import setup
from asyncbackends_mysql.unit_statements import unit_statements
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
from tests.bench.sql_peers import BODY, Peers, new_row, opened_peers
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

__all__ = ("run",)

NAMESPACE = "bench"
MOST = 64
OBJECTS = PARENTS * CHILDREN
CHUNKS = 10
PACKET = 1 << 24
# Neither says what it has.
DRIVERS: Sequence[Any] = (asyncmy, aiomysql)
SQL = statements_for(DIALECT, NAMESPACE)
UNITS = unit_statements(NAMESPACE)

SERVER_OPTIONS = {
    "innodb-buffer-pool-size": "1G",
    "innodb-log-file-size": "1G",
    "max-connections": "300",
    # Else what is filled in is counted while others are measured.
    "innodb-stats-auto-recalc": "OFF",
}

PROJECT = "UNHEX(CONCAT('00000000000000010000', LPAD(HEX({}), 12, '0')))"
DIGITS = "(" + " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10)) + ")"
NUMBERS = "a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d"
FROM_NUMBERS = f"FROM {DIGITS} a, {DIGITS} b, {DIGITS} c, {DIGITS} e, {DIGITS} f"
# The foreign keys hold, and checking them takes as long again.
FILL_PARENTS = f"""
SET foreign_key_checks = 0;
INSERT INTO {NAMESPACE}_object (uuid, type, fq, twin, created)
SELECT {PROJECT.format("n.n")}, 'project', CONCAT('["domain","project-', n.n, '"]'),
    REPEAT('\\0', 16), 1
FROM (SELECT a.d + 10 * b.d AS n FROM {DIGITS} a, {DIGITS} b) n
"""  # noqa: S608  # our own names
FILL_CHILDREN = f"""
SET foreign_key_checks = 0;
INSERT INTO {NAMESPACE}_object (uuid, type, fq, twin, parent_type, parent_uuid, created)
SELECT UNHEX(MD5(n.n)), 'network',
    CONCAT('["domain","project-', MOD(n.n, {PARENTS}), '","network-', n.n, '"]'),
    REPEAT('\\0', 16), 'project', {PROJECT.format(f"MOD(n.n, {PARENTS})")}, 1
FROM (SELECT {NUMBERS} + {{}} AS n {FROM_NUMBERS}) n ORDER BY 1
"""  # noqa: S608  # our own names
FILL_STATES = f"""
SET foreign_key_checks = 0;
INSERT INTO {NAMESPACE}_state SELECT uuid, 1, 1 FROM {NAMESPACE}_object ORDER BY uuid
"""  # noqa: S608  # our own names
NEW_TABLE_OF_COLUMNS = (
    "CREATE TABLE columns (uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,"
    " name VARCHAR(255), value LONGTEXT, PRIMARY KEY (uuid, name))"
    " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
)
NEW_TABLE_OF_ROWS = (
    "CREATE TABLE one_row (uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,"
    " properties TEXT)"
)
NEW_COLUMNS = "INSERT INTO columns (uuid, name, value) VALUES (%s, %s, %s)"
COLUMNS = ColumnStatements(
    "SELECT uuid, name, value FROM columns WHERE uuid IN %s",
    "SELECT uuid, value FROM columns WHERE uuid IN %s AND name = 'fq_name'",
    tuple,
)
GET_ROW = "SELECT uuid, properties FROM one_row WHERE uuid = %s"
NEW_ROW = "INSERT INTO one_row (uuid, properties) VALUES (%s, %s)"


def _opened(server: DatabaseServer, **options: Any) -> Any:
    return open_config_database(**server.settings(namespace=NAMESPACE, **options))


def _options(server: DatabaseServer) -> MysqlDatabaseOptions:
    return MysqlDatabaseOptions(
        username=server.username,
        password=Secret(server.password),
        database="tests",
        namespace=NAMESPACE,
    )


def _login(server: DatabaseServer) -> dict[str, Any]:
    host, _, port = server.endpoint.partition(":")
    return {
        "host": host,
        "port": int(port),
        "user": server.username,
        "password": server.password,
        "db": "tests",
        "charset": "utf8mb4",
        "autocommit": True,
    }


class _Held:
    """A held connection of a driver, used by its cursors."""

    def __init__(self, connection: Any) -> None:
        self.cursor: Callable[[], Any] = connection.cursor

    async def __call__(self, statement: str, *parameters: Any) -> Sequence[Any]:
        async with self.cursor() as cursor:
            await cursor.execute(statement % tuple(map(literal, parameters)))
            return await cursor.fetchall()  # type: ignore[no-any-return]  # of a driver without types

    async def unit(self, texts: Sequence[str]) -> Applied:
        async with self.cursor() as cursor:
            for text in texts:
                await cursor.execute(text)
                while await cursor.nextset():
                    pass
            return Applied(*await cursor.fetchone())

    async def get(self, uuid: str) -> Any:
        async with self.cursor() as cursor:
            await cursor.execute(GET_ROW, (uuid,))
            return await cursor.fetchone()

    async def insert(self, uuid: str) -> Any:
        async with self.cursor() as cursor:
            return await cursor.execute(NEW_ROW, (uuid, BODY))

    async def find(self, key: str) -> Any:
        async with self.cursor() as cursor:
            await cursor.execute(SQL.ids_of_name, ("network", key))
            return await cursor.fetchone()


async def _send(held: Held, texts: Sequence[str]) -> Applied:
    assert isinstance(held, _Held)
    return await held.unit(texts)


def _unit(effects: Effects) -> list[str]:
    return packets(effects, UNITS, PACKET, alone=True)


async def _held(
    stack: AsyncExitStack, server: DatabaseServer, connect: Callable[..., Awaitable[Any]]
) -> list[_Held]:
    """Give connections that are set up as the engine's."""
    held: list[_Held] = []
    for _ in range(MOST):
        connection = await connect(**_login(server))
        stack.callback(connection.close)
        one = _Held(connection)
        async with one.cursor() as cursor:
            await cursor.execute(setup(_options(server)))
            while await cursor.nextset():
                pass
        held.append(one)
    return held


async def _fill(server: DatabaseServer) -> None:
    """Make a million objects and what is measured among them."""
    began = time.perf_counter()
    async with _opened(server, schema=SCHEMA):
        pass
    await asyncio.to_thread(server.sql, FILL_PARENTS, database="tests")
    for start in range(0, OBJECTS, OBJECTS // CHUNKS):
        await asyncio.to_thread(server.sql, FILL_CHILDREN.format(start + 1), database="tests")
    await asyncio.to_thread(server.sql, FILL_STATES, database="tests")
    async with _opened(server) as db:
        await populate(db)
        rows = [row for one in await stored_objects(db) for row in rows_of(*one)]
    connection: Any = await DRIVERS[0].connect(**_login(server))
    async with connection.cursor() as cursor:
        await cursor.execute(NEW_TABLE_OF_COLUMNS)
        await cursor.execute(NEW_TABLE_OF_ROWS)
        await cursor.execute("START TRANSACTION")
        await cursor.executemany(NEW_COLUMNS, rows)
        await cursor.executemany(NEW_ROW, [(network_id(number), BODY) for number in range(1000)])
        await cursor.execute("COMMIT")
    connection.close()
    tables = f"{NAMESPACE}_object, {NAMESPACE}_state, {NAMESPACE}_ref, {NAMESPACE}_elem, columns"
    await asyncio.to_thread(server.sql, f"ANALYZE TABLE {tables}", database="tests")
    seconds = time.perf_counter() - began
    print(f"\nmysql: {server.product} {server.version()}, {OBJECTS:,} objects in {seconds:.0f} s")


class _Plans:
    """Explains statements."""

    def __init__(self, held: _Held) -> None:
        self._held = held

    async def __call__(self, statement: str, parameters: Sequence[Any]) -> Sequence[str]:
        rows = await self._held(f"EXPLAIN {statement}", *parameters)
        [plan] = rows
        key, extra = str(plan[-5] if len(plan) == 10 else plan[-6]), str(plan[-1])
        assert key in {"object_type", "object_parent"}, rows
        assert "Using index" in extra, rows
        assert "filesort" not in extra, rows
        return [f"key {key}, {extra}"]


async def _others(
    stack: AsyncExitStack, server: DatabaseServer, held: list[_Held], driver: Any
) -> Others:
    name: str = driver.__name__
    pool: Any = await driver.create_pool(**_login(server), minsize=CALLERS, maxsize=CALLERS)
    stack.push_async_callback(pool.wait_closed)
    stack.callback(pool.close)
    login = _login(server)
    url = sa.URL.create(
        f"mysql+{name}", login["user"], login["password"], login["host"], login["port"], "tests"
    )

    def pooled(call: Callable[[_Held, str], Awaitable[Any]]) -> Callable[[str], Awaitable[Any]]:
        async def run(given: str) -> Any:
            async with pool.acquire() as connection:
                return await call(_Held(connection), given)

        return run

    peers: Peers = await opened_peers(
        stack, {name: url}, CALLERS, f"{NAMESPACE}_object", sa.String(36)
    )
    get: dict[str, Contender] = {
        f"{name}, held": holders(held, _Held.get, network_id),
        f"{name}.Pool": callers(pooled(_Held.get), network_id),
        **peers.get(),
    }
    insert: dict[str, Contender] = {
        f"{name}, held": holders(held, _Held.insert, new_row),
        f"{name}.Pool": callers(pooled(_Held.insert), new_row),
        **peers.insert(),
    }
    find: dict[str, Contender] = {
        f"{name}.Pool": callers(pooled(_Held.find), name_key),
        **peers.find(),
    }
    return Others(find=find, get_row=get, insert_row=insert)


async def _measure_pool(server: DatabaseServer) -> None:
    """Print what it costs to take a connection and give it back."""
    states = LinkStates(Seam(Kind.CONFIG_DATABASE, "mysql", lambda _: None))
    pool = Pool(MysqlEngine(), [server.endpoint], _options(server), states)
    theirs: Any = await DRIVERS[0].create_pool(**_login(server), minsize=1, maxsize=10)
    times: dict[str, list[float]] = {"our pool": [], "asyncmy.Pool": []}
    async with anyio.create_task_group() as group:
        await pool.open(group)
        for _ in range(21):
            for name, lend in (("our pool", pool.connection), ("asyncmy.Pool", theirs.acquire)):
                began = time.perf_counter()
                for _ in range(1000):
                    async with lend():
                        pass
                times[name].append((time.perf_counter() - began) * 1000)
        await pool.close(0)
        group.cancel_scope.cancel()
    theirs.close()
    await theirs.wait_closed()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"\nmysql: acquire and release an idle connection, us    (load {load})")
    for name, found in times.items():
        print(f"  {name}: median {statistics.median(found):.2f}, at best {min(found):.2f}")


async def _measure(server: DatabaseServer) -> None:
    await _fill(server)
    await _measure_pool(server)
    for driver in DRIVERS:
        async with AsyncExitStack() as stack:
            db: ConfigDatabase = await stack.enter_async_context(
                _opened(server, pool_size=CALLERS, driver=driver.__name__)
            )
            held = await _held(stack, server, driver.connect)
            if driver is DRIVERS[0]:
                await measure_pages(db, SQL, _Plans(held[0]))
            stamp: int = (await held[0](SQL.counter))[0][2]
            name = f"{driver.__name__}, held"
            raw = RawSide(name, held, SQL, stamp, _unit, _send, COLUMNS)
            await measure_operations(db, raw, await _others(stack, server, held, driver))


def run() -> None:
    """Measure on a server of its own."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("mysql", options=SERVER_OPTIONS) as server,
    ):
        asyncio.run(_measure(server))


if __name__ == "__main__":
    run()
