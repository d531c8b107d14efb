"""The configuration database in this process's memory."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from asyncbackends.batch import Batch
from asyncbackends.object_model.applying import refused_in_unit
from asyncbackends.object_model.writes import Write
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.values import Change, Fence, Gap
from asyncbackends.schema import Schema
from asyncbackends_memory.feed import Watch
from asyncbackends_memory.key_values import MemoryKeyValues
from asyncbackends_memory.objects import MemoryObjects
from asyncbackends_memory.options import MemoryDatabaseOptions
from asyncbackends_memory.relations import MemoryRelations
from asyncbackends_memory.session import Session
from asyncbackends_memory.switchboard import Faults

__all__ = ("MemoryConfigDatabase",)

VERSION = version("asyncbackends")


class MemoryConfigDatabase(MemoryObjects, MemoryRelations, MemoryKeyValues):
    """Implements :class:`asyncbackends.ConfigDatabase`; see there for what the methods mean."""

    engine = "memory"

    def __init__(self, endpoints: Sequence[str], options: MemoryDatabaseOptions) -> None:
        self._session = Session(endpoints, options)

    @property
    def faults(self) -> Faults:
        """The switchboard of this endpoint."""
        return self._session.faults

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
            info = ServerInfo("memory", VERSION)
            return await self._session.read("server_info", lambda _: info)

    async def set_schema(self, schema: Schema) -> None:
        with self._session.seam("set_schema"):
            await self._session.read("set_schema", lambda _: self._session.use_schema(schema))

    def batch(self, *, fence: Fence | None = None) -> Batch:
        async def commit(writes: Sequence[Write], fence: Fence | None) -> Sequence[Any]:
            with self._session.seam("batch"):
                return await self._session.apply("batch", writes, fence, refused_in_unit)

        return Batch(self._session.rules(), commit, fence=fence)

    def watch(
        self, types: Collection[str] | None = None, since: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Change | Gap]]:
        for obj_type in types or ():
            self._session.rules().view(obj_type)
        return Watch(self._session.opened, types, since)

    async def current_revision(self) -> int:
        with self._session.seam("current_revision"):
            return await self._session.read("current_revision", lambda store: store.revision)
