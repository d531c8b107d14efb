"""A SQL engine that does as the script says, for the tests of the pool."""

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.observability import ErrorTable, LinkStates, Seam
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import Kind, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.sql.dialect import Dialect
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.server import Connection, Row, SqlEngine

__all__ = ("Driver", "Engine", "Link", "pool_of")


class Driver(Exception):  # noqa: N818  # stands for a driver's own class
    """What the driver raises; its text says what it is."""


class NoDialect:
    def rendered(self, statement: str, namespace: str) -> str:
        return statement

    def id(self, uuid: str) -> Any:
        return uuid


class Link:
    """A connection without a server."""

    def __init__(self, engine: "Engine", endpoint: str, number: int) -> None:
        self.engine = engine
        self.endpoint = endpoint
        self.number = number
        self.server = ServerInfo("Scripted", "1")
        self.guarantees: frozenset[Guarantee] = frozenset()
        self.limits = Limits()
        self.read_only = endpoint in engine.read_only
        self.busy = False
        self.dead = False
        self.ends: list[str] = []

    @property
    def reusable(self) -> bool:
        return not (self.busy or self.dead)

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        self.busy = True
        await self.engine.server(self, statement)
        self.busy = False
        return []

    async def apply(self, effects: Effects) -> Applied:
        raise NotImplementedError

    async def begin(self) -> None:
        self.busy = True

    async def commit(self) -> None:
        self.busy = False

    async def rollback(self) -> None:
        self.busy = False

    async def script(self, statements: Sequence[str]) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await self.engine.part(self)
        self.ends.append("close")

    def abort(self) -> None:
        self.dead = True
        self.engine.open.discard(self)
        self.ends.append("abort")

    async def give_up(self) -> None:
        await self.engine.part(self)
        self.ends.append("give up")


_link: type[Connection] = Link


def mapped(error: Exception) -> BackendError | None:
    return ConnectionLostError(str(error)) if isinstance(error, Driver) else None


class Engine:
    """Connects as ``dialing`` says, by default at once."""

    name = "scripted"
    default_port = 1
    log_positions: str | None = None
    dialect: Dialect = NoDialect()

    def __init__(self) -> None:
        self.made: list[Link] = []
        self.open: set[Link] = set()
        self.dialed: list[str] = []
        self.troubles: dict[str, Exception] = {}
        self.read_only: set[str] = set()
        self.slow: dict[str, asyncio.Event] = {}
        self.frozen = False
        self.errors: ErrorTable = mapped

    def tables(self, server: ServerInfo) -> Sequence[str]:
        return ()

    def lost(self, error: Exception) -> bool:
        return isinstance(error, Driver) and str(error) == "lost"

    def refusal(self, error: Exception) -> BackendError | None:
        if isinstance(error, Driver) and str(error) == "password":
            return AuthenticationFailedError("wrong password")
        if isinstance(error, Driver) and str(error) == "database":
            return ConnectionFailedError("no such database")
        return None

    async def connect(self, endpoint: str, options: ServerDatabaseOptions) -> Link:
        self.dialed.append(endpoint)
        await asyncio.sleep(0)
        if endpoint in self.slow:
            await self.slow[endpoint].wait()
        if endpoint in self.troubles:
            raise self.troubles[endpoint]
        link = Link(self, endpoint, len(self.made))
        self.made.append(link)
        self.open.add(link)
        return link

    async def server(self, link: Link, statement: str) -> None:
        if statement == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if statement == "fail":
            raise Driver(statement)
        if statement == "lost":
            link.dead = True
            raise Driver(statement)

    async def part(self, link: Link) -> None:
        if self.frozen:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def kill(self) -> None:
        """Let every open connection be closed by the server."""
        for link in self.open:
            link.dead = True


_engine: type[SqlEngine] = Engine


def pool_of(engine: Engine, *endpoints: str, **options: Any) -> tuple[Pool, LinkStates]:
    links = LinkStates(Seam(Kind.CONFIG_DATABASE, engine.name, engine.errors))
    return Pool(engine, endpoints or ("a",), ServerDatabaseOptions(**options), links), links
