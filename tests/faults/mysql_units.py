"""The mysql engine below the database: connections to a namespace, and what must hold in it."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from asyncbackends.options import Secret
from asyncbackends_mysql import MysqlDatabaseOptions
from asyncbackends_mysql.connection import MysqlConnection
from asyncbackends_mysql.engine import MysqlEngine
from tests.servers.mysql_namespaces import TABLES
from tests.servers.server import DatabaseServer

__all__ = ("MysqlTables", "open_tables")

NOBODY = "00" * 16
# What there must be none of, each in one line.
BROKEN = f"""
SELECT r.to_fq FROM ~ref r JOIN ~object o ON o.uuid = r.to_uuid AND o.type = r.to_type WHERE NOT r.to_fq <=> o.fq
SELECT r.to_fq FROM ~ref r JOIN ~object o ON o.uuid = r.to_uuid AND o.type <> r.to_type WHERE r.to_fq IS NOT NULL
SELECT o.fq FROM ~ref r JOIN ~object o ON o.uuid = r.from_uuid WHERE o.type <> r.from_type OR o.fq <> r.from_fq
SELECT o.fq FROM ~object o LEFT JOIN ~state s ON s.uuid = o.uuid WHERE (o.type = '') <> (s.uuid IS NULL)
SELECT c.revision FROM ~counter c WHERE c.revision <> (SELECT count(*) FROM ~changes)
SELECT c.revision FROM ~counter c WHERE c.revision <> (SELECT coalesce(max(revision), 0) FROM ~changes)
SELECT s.revision FROM ~state s LEFT JOIN ~changes h USING (revision, uuid) WHERE h.op IS NULL
SELECT o.fq FROM ~object o WHERE o.twin NOT IN (o.uuid, x'{NOBODY}')
"""  # noqa: S608  # statements of ours


class MysqlTables:
    """The tables of one fresh namespace."""

    def __init__(self, server: DatabaseServer, stack: AsyncExitStack, options: Any) -> None:
        self._server = server
        self._stack = stack
        self.engine = MysqlEngine()
        self.options: MysqlDatabaseOptions = options

    async def connection(self) -> MysqlConnection:
        """Give a new connection, which is closed with the tables."""
        connection = await self.engine.connect(self._server.endpoint, self.options)
        self._stack.callback(connection.abort)
        return connection

    def rendered(self, neutral: str) -> str:
        """Give a statement over the tables."""
        return self.engine.dialect.rendered(neutral, self.options.namespace)

    async def rows(
        self, connection: MysqlConnection, neutral: str, *parameters: Any
    ) -> list[tuple[Any, ...]]:
        """Read; a uuid among the parameters is given as text."""
        given = [self._parameter(parameter) for parameter in parameters]
        found = await connection.fetch(self.rendered(neutral), given)
        return [tuple(map(_as_text, row)) for row in found]

    def _parameter(self, parameter: Any) -> Any:
        is_id = isinstance(parameter, str) and len(parameter) == 36
        return self.engine.dialect.id(parameter) if is_id else parameter

    async def count(self, connection: MysqlConnection, table: str) -> int:
        """Say how many rows a table has."""
        statement = self.rendered(f"SELECT 1 FROM ~{table}")  # noqa: S608  # one of ours
        return len(await connection.fetch(statement))

    async def content(self, connection: MysqlConnection) -> dict[str, list[str]]:
        """Give every row of every table, as text."""
        found: dict[str, list[str]] = {}
        for table in TABLES:
            statement = self.rendered(f"SELECT * FROM ~{table}")  # noqa: S608  # one of ours
            found[table] = sorted(map(str, await connection.fetch(statement)))
        return found

    async def check(self, connection: MysqlConnection) -> None:
        """Say that what must hold at any time does."""
        for broken in BROKEN.strip().splitlines():
            assert await self.rows(connection, broken) == [], broken


def _as_text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


@asynccontextmanager
async def open_tables(server: DatabaseServer, **options: Any) -> AsyncGenerator[MysqlTables]:
    """Make the tables of a fresh namespace, and drop them afterwards."""
    settings = server.settings(**options)
    for name in ("engine", "endpoints"):
        del settings[name]
    settings["password"] = Secret(settings["password"])
    namespace = settings["namespace"] = f"u_{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        tables = MysqlTables(server, stack, MysqlDatabaseOptions(**settings))
        first = await tables.connection()
        await first.script([tables.rendered(text) for text in tables.engine.tables(first.server)])
        yield tables
        first = await tables.connection()
        await first.script([f"DROP TABLE {', '.join(f'{namespace}_{one}' for one in TABLES)}"])
