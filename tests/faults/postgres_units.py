"""The postgres engine below the database: units applied on connections, and what must hold."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

from asyncbackends.options import Secret
from asyncbackends.sql.effects import (
    CREATED,
    DELETED,
    NOBODY,
    UPDATED,
    Effects,
    Guard,
    NewChange,
    NewObject,
    NewRef,
    Target,
)
from asyncbackends_postgres import PostgresDatabaseOptions
from asyncbackends_postgres.connection import PostgresConnection
from asyncbackends_postgres.engine import PostgresEngine
from tests.servers.server import DatabaseServer

__all__ = ("TABLES", "PostgresTables", "changed", "created", "deleted", "fresh_ids", "open_tables")

TABLES = (
    *("counter", "object", "state", "doc", "elem", "ref", "indexed", "share", "useragent", "kv"),
    *("fence", "changes"),
)

# Rows that must not be, at any time.
BROKEN = """
-- A ref knows the name of what it leads to, exactly when that is there.
SELECT r.to_uuid FROM ~ref r JOIN ~object o ON o.uuid = r.to_uuid
WHERE CASE WHEN o.type = r.to_type THEN r.to_fq IS DISTINCT FROM o.fq
ELSE r.to_fq IS NOT NULL END;

SELECT r.from_uuid FROM ~ref r JOIN ~object o ON o.uuid = r.from_uuid
WHERE o.type <> r.from_type OR o.fq <> r.from_fq;

-- Only a tombstone has no revision.
SELECT o.uuid FROM ~object o LEFT JOIN ~state s ON s.uuid = o.uuid
WHERE (o.type = '') <> (s.uuid IS NULL);

-- Revisions are those of the changes, without a gap.
SELECT c.revision FROM ~counter c
WHERE c.revision <> (SELECT coalesce(max(revision), 0) FROM ~changes)
OR c.revision <> (SELECT count(*) FROM ~changes);

SELECT s.revision FROM ~state s LEFT JOIN ~changes h
ON h.revision = s.revision AND h.uuid = s.uuid WHERE h.revision IS NULL;

-- The owner of a name has the nil twin, a legacy duplicate its own.
SELECT o.fq FROM ~object o
WHERE o.twin NOT IN (o.uuid, '00000000-0000-0000-0000-000000000000')
"""


def fresh_ids(count: int) -> list[str]:
    """Give new uuids in their order."""
    return sorted(str(uuid4()) for _ in range(count))


class PostgresTables:
    """The tables of one fresh namespace."""

    def __init__(self, server: DatabaseServer, stack: AsyncExitStack, options: Any) -> None:
        self._server = server
        self._stack = stack
        self.engine = PostgresEngine()
        self.options: PostgresDatabaseOptions = options

    async def connection(self) -> PostgresConnection:
        """Give a new connection, which is closed with the tables."""
        connection = await self.engine.connect(self._server.endpoint, self.options)
        self._stack.callback(connection.abort)
        return connection

    def rendered(self, neutral: str) -> str:
        """Give a statement over the tables."""
        return self.engine.dialect.rendered(neutral, self.options.namespace)

    async def make(self, connection: PostgresConnection) -> None:
        """Make the tables."""
        scripts = self.engine.tables(connection.server)
        await connection.script([self.rendered(text) for text in scripts])

    async def rows(
        self, connection: PostgresConnection, neutral: str, *parameters: Any
    ) -> list[tuple[Any, ...]]:
        """Read."""
        return [tuple(row) for row in await connection.fetch(self.rendered(neutral), parameters)]

    async def content(self, connection: PostgresConnection) -> dict[str, list[str]]:
        """Give every row of every table, as text."""
        found: dict[str, list[str]] = {}
        for table in TABLES:
            neutral = f"SELECT CAST(t AS text) FROM ~{table} t ORDER BY 1"  # noqa: S608  # our names
            found[table] = [row[0] for row in await self.rows(connection, neutral)]
        return found

    async def count(self, connection: PostgresConnection, table: str) -> int:
        """Count a table's rows."""
        neutral = f"SELECT count(*) FROM ~{table}"  # noqa: S608  # our names
        count: int = (await self.rows(connection, neutral))[0][0]
        return count

    async def check(self, connection: PostgresConnection) -> None:
        """Say that what must hold at any time does."""
        for broken in BROKEN.split(";"):
            assert await self.rows(connection, broken) == [], broken


@asynccontextmanager
async def open_tables(server: DatabaseServer, **options: Any) -> AsyncGenerator[PostgresTables]:
    """Make the tables of a fresh namespace, and drop them afterwards."""
    settings = server.settings(**options)
    for name in ("engine", "endpoints"):
        del settings[name]
    settings["password"] = Secret(settings["password"])
    settings["namespace"] = f"u_{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        tables = PostgresTables(server, stack, PostgresDatabaseOptions(**settings))
        first = await tables.connection()
        await tables.make(first)
        yield tables
        first = await tables.connection()
        await first.script([f'DROP SCHEMA "{tables.options.namespace}" CASCADE'])


def created(
    uuid: str,
    name: str,
    *,
    obj_type: str = "net",
    parent: tuple[str | None, str | None, str | None] = (None, None, None),
    refs: Sequence[str] = (),
    twin: str = NOBODY,
) -> Effects:
    """Give a unit that creates an object, with refs to objects of its type."""
    return Effects(
        stamp=0,
        revisions=1,
        objects=[NewObject(uuid, obj_type, name, twin, twin == NOBODY, *parent)],
        documents=[(uuid, '{"a":1}')],
        targets=[Target(obj_type, to, None) for to in refs],
        refs=[
            NewRef(uuid, obj_type, name, obj_type, to, None, "null", False, False) for to in refs
        ],
        changes=[NewChange(1, CREATED, obj_type, uuid)],
    )


def changed(uuid: str, revision: int | None = None, *, obj_type: str = "net") -> Effects:
    """Give a unit that changes an object's revision."""
    return Effects(
        stamp=0,
        revisions=1,
        guards=[Guard(uuid, obj_type, revision)],
        changes=[NewChange(1, UPDATED, obj_type, uuid)],
    )


def deleted(uuid: str, *, buried: bool = False, obj_type: str = "net") -> Effects:
    """Give a unit that takes an object away, or buries it."""
    return Effects(
        stamp=0,
        revisions=1,
        guards=[Guard(uuid, obj_type, None)],
        gone=[] if buried else [uuid],
        buried=[uuid] if buried else [],
        changes=[NewChange(1, DELETED, obj_type, uuid)],
    )
