"""A SQL server that answers as a test says, for what stands above the connections."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from asyncbackends import ObjectType, Schema
from asyncbackends.errors import (
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    ResourceExhaustedError,
    SchemaVersionError,
)
from asyncbackends.observability import ErrorTable
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.sql.database import SqlConfigDatabase
from asyncbackends.sql.dialect import Dialect
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.server import Row, SqlEngine
from tests.unit.plain_dialect import PlainDialect

__all__ = ("DriverError", "Link", "Server", "scripted_database")

SCHEMA = Schema({"network": ObjectType(indexed=("mtu",))})
MEANINGS: dict[str, type[BackendError]] = {
    "lost": ConnectionLostError,
    "no table": SchemaVersionError,
    "disk full": ResourceExhaustedError,
}


class DriverError(Exception):
    """What the driver raises; its text is its code."""


class Link:
    """A connection to the scripted server."""

    endpoint = "db:1"
    server = ServerInfo("Scripted", "1")
    limits = Limits()
    read_only = False

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.guarantees = server.guarantees
        self.reusable = True

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        self.reusable = False
        rows = await self._server.answer(statement, parameters)
        self.reusable = True
        return rows

    async def apply(self, effects: Effects) -> Applied:
        self.reusable = False
        await self._server.apply(effects)
        self.reusable = True
        self._server.applied.append(effects)
        return Applied(self._server.revision, 0)

    async def begin(self) -> None:
        self._server.log.append("begin")

    async def commit(self) -> None:
        self._server.log.append("commit")

    async def rollback(self) -> None:
        self._server.log.append("rollback")

    async def script(self, statements: Sequence[str]) -> None:
        self._server.log += statements
        self._server.meta.setdefault("version", self._server.scripted_version)

    async def close(self) -> None:
        self.reusable = False

    def abort(self) -> None:
        self.reusable = False

    async def give_up(self) -> None:
        return None


class Server:
    """The engine and its server."""

    name = "scripted"
    default_port = 1
    log_positions: str | None = None
    dialect: Dialect = PlainDialect()

    def __init__(self) -> None:
        self.errors: ErrorTable = self._ours
        self.guarantees: frozenset[Guarantee] = frozenset()
        self.meta = {"version": "1", "schema": msgspec.json.encode(SCHEMA.to_dict()).decode()}
        self.scripted_version = "1"
        self.revision, self.compacted, self.stamp = 0, 0, 0
        self.down = False
        self.connected = 0
        self.log: list[str] = []
        self.applied: list[Effects] = []
        self.reads: list[str] = []
        self.before: Callable[[str], Awaitable[None]] = self._nothing
        """Is awaited before each statement is answered."""
        self.apply: Callable[[Effects], Awaitable[None]] = self._nothing

    async def _nothing(self, _: object) -> None:
        await asyncio.sleep(0)

    def _ours(self, error: Exception) -> BackendError | None:
        if not isinstance(error, DriverError):
            return None
        return MEANINGS.get(str(error), BackendError)(f"the driver said: {error}")

    async def answer(self, statement: str, parameters: Sequence[Any]) -> Sequence[Row]:
        await self.before(statement)
        self.reads.append(statement)
        if "FROM ~meta" in statement and statement.startswith("SELECT"):
            if "version" not in self.meta:
                raise DriverError("no table")
            return [(name, value, self.stamp) for name, value in self.meta.items()]
        if statement.startswith("INSERT INTO ~meta"):
            self.meta[parameters[0]] = parameters[1]
        if statement.startswith("UPDATE ~counter SET stamp"):
            self.stamp += 1
        if "c.compacted, c.stamp FROM ~counter" in statement:
            return [(self.revision, self.compacted, self.stamp)]
        if "FROM ~changes" in statement:
            return [(-1, self.revision, self.compacted, "", "")]
        return []

    def tables(self, server: ServerInfo) -> Sequence[str]:
        return ["CREATE TABLE ~meta", "CREATE TABLE ~counter"]

    def lost(self, error: Exception) -> bool:
        return str(error) == "lost"

    def refusal(self, error: Exception) -> BackendError | None:
        return None

    async def connect(self, endpoint: str, options: ServerDatabaseOptions) -> Link:
        if self.down:
            raise ConnectionFailedError("nobody listens")
        self.connected += 1
        return Link(self)


def scripted_database(server: Server, **options: Any) -> SqlConfigDatabase:
    """Give an unconnected database on a scripted server."""
    engine: SqlEngine = server
    return SqlConfigDatabase(engine, ["db:1"], ServerDatabaseOptions(**options))
