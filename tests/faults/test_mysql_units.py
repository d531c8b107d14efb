"""Units on a real MariaDB or MySQL, with each driver: the same tests as on PostgreSQL."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from asyncbackends.sql.effects import Effects, NewKvRow
from asyncbackends_mysql.connection import MysqlConnection
from tests.faults import test_postgres_units
from tests.faults.mysql_units import MysqlTables, open_tables
from tests.faults.postgres_units import created, deleted, fresh_ids
from tests.servers.running import Servers

# They find the fixtures of this module.
globals().update(
    {name: test for name, test in vars(test_postgres_units).items() if name.startswith("test_")}
)

FIRST, SECOND = test_postgres_units.FIRST, test_postgres_units.SECOND


class Site(NamedTuple):
    """Tables with a connection."""

    tables: MysqlTables
    connection: MysqlConnection

    async def rows(self, neutral: str, *parameters: object) -> list[tuple[object, ...]]:
        return await self.tables.rows(self.connection, neutral, *parameters)


@pytest.fixture(params=["aiomysql", "asyncmy"], scope="module")
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def site(servers: Servers, driver: str) -> AsyncIterator[Site]:
    async with open_tables(servers.get("mysql"), driver=driver) as tables:
        site = Site(tables, await tables.connection())
        yield site
        await tables.check(site.connection)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def furnished(servers: Servers, driver: str) -> AsyncIterator[Site]:
    """a <- b (a ref, and b has a child), a name that two have, and one that nobody has any more."""
    async with open_tables(servers.get("mysql"), driver=driver) as tables:
        site = Site(tables, await tables.connection())
        one, two, three, four, child = fresh_ids(5)
        for unit in (
            created(FIRST, "a"),
            created(SECOND, "b", refs=[FIRST]),
            created(child, "child", parent=("net", SECOND, None)),
            created(one, "twice"),
            created(two, "twice", twin=two),
            created(three, "left"),
            created(four, "left", twin=four),
            deleted(three),
            Effects(stamp=0, revisions=1, fence=("f", 1, 5)),
            Effects(stamp=0, revisions=1, kv_rows=[NewKvRow("t", "k", "{}", 0, 1)]),
        ):
            await site.connection.apply(unit)
        yield site
