"""The configuration database on a server that speaks SQL."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from asyncbackends.batch import Batch
from asyncbackends.object_model.writes import Write
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.values import Change, Fence, Gap
from asyncbackends.schema import Schema
from asyncbackends.sql.feed import Watch
from asyncbackends.sql.key_values import SqlKeyValues
from asyncbackends.sql.objects import SqlObjects
from asyncbackends.sql.relations import SqlRelations
from asyncbackends.sql.server import Connection, SqlEngine
from asyncbackends.sql.session import Session

__all__ = ("SqlConfigDatabase",)


class SqlConfigDatabase(SqlObjects, SqlRelations, SqlKeyValues):
    """Implements :class:`asyncbackends.ConfigDatabase`; see there for what the methods mean."""

    def __init__(
        self, engine: SqlEngine, endpoints: Sequence[str], options: ServerDatabaseOptions
    ) -> None:
        self._session = Session(engine, endpoints, options)

    @property
    def engine(self) -> str:
        return self._session.engine.name

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return self._session.guarantees

    @property
    def limits(self) -> Limits:
        return self._session.limits

    @property
    def state(self) -> ConnectionState:
        return self._session.links.status.state

    @property
    def schema(self) -> Schema:
        return self._session.rules().schema

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        return self._session.links.watch()

    async def connect(self, **params: Any) -> None:
        await self._session.connect(**params)

    async def shutdown(self, *, grace: float = 5.0) -> None:
        await self._session.shutdown(grace)

    async def server_info(self) -> ServerInfo:
        async def ask(connection: Connection) -> ServerInfo:
            await connection.fetch(self._session.sql.ping)
            return connection.server

        with self._session.seam("server_info"):
            return await self._session.work(ask)

    async def set_schema(self, schema: Schema) -> None:
        with self._session.seam("set_schema"):
            await self._session.set_schema(schema)

    def batch(self, *, fence: Fence | None = None) -> Batch:
        async def commit(writes: Sequence[Write], fence: Fence | None) -> Sequence[Any]:
            with self._session.seam("batch"):
                return await self._session.apply(writes, fence)

        return Batch(self._session.rules(), commit, fence=fence)

    def watch(
        self, types: Collection[str] | None = None, since: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Change | Gap]]:
        for obj_type in types or ():
            self._session.rules().view(obj_type)
        return Watch(self._session.following, types, since)

    async def current_revision(self) -> int:
        with self._session.seam("current_revision"):
            rows = await self._session.read(self._session.sql.counter)
            revision: int = rows[0][0]
            return revision
