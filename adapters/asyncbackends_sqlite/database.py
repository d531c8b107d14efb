"""The configuration database in a SQLite file, or in memory."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from asyncbackends.batch import Batch
from asyncbackends.object_model.writes import Write
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.values import Change, Fence, Gap
from asyncbackends.schema import Schema
from asyncbackends.sql.feed import Watch
from asyncbackends_sqlite.key_values import SqliteKeyValues
from asyncbackends_sqlite.objects import SqliteObjects
from asyncbackends_sqlite.options import SqliteDatabaseOptions
from asyncbackends_sqlite.relations import SqliteRelations
from asyncbackends_sqlite.session import Session

__all__ = ("SqliteConfigDatabase",)


class SqliteConfigDatabase(SqliteObjects, SqliteRelations, SqliteKeyValues):
    """Implements :class:`asyncbackends.ConfigDatabase`; see there for what the methods mean."""

    engine = "sqlite"

    def __init__(self, endpoints: Sequence[str], options: SqliteDatabaseOptions) -> None:
        self._session = Session(endpoints, options)

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
        with self._session.seam("server_info"):
            row = await self._session.read(
                lambda cursor: cursor.execute("SELECT sqlite_version()").fetchone()
            )
            return ServerInfo("SQLite", row[0])

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
        return Watch(self._session, types, since)

    async def current_revision(self) -> int:
        with self._session.seam("current_revision"):
            statement = self._session.sql.counters
            row = await self._session.read(lambda cursor: cursor.execute(statement).fetchone())
            revision: int = row[0]
            return revision
