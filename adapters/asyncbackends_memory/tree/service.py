"""The coordination service in this process's memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any, Literal, ParamSpec, TypeVar, overload

from asyncbackends.coordination import refusals
from asyncbackends.coordination.paths import changeable_path, checked_path, checked_value
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.transaction import (
    Create,
    Delete,
    NodeOperation,
    NodeTransaction,
    Update,
    checked_version,
)
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, NodeValue, WatchScope
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import election
from asyncbackends_memory.options import (
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    MemoryCoordinationOptions,
)
from asyncbackends_memory.tree.client import TreeClient
from asyncbackends_memory.tree.contending import TreeContention
from asyncbackends_memory.tree.faults import CoordinationFaults
from asyncbackends_memory.tree.store import TreeStore
from asyncbackends_memory.tree.watching import TreeWatch

__all__ = ("MemoryCoordinationService",)

VERSION = version("asyncbackends")

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class MemoryCoordinationService(TreeContention):
    """Implements :class:`asyncbackends.DistributedCoordinationService`; see there."""

    engine = "memory"

    def __init__(self, endpoints: Sequence[str], options: MemoryCoordinationOptions) -> None:
        self._client = TreeClient(endpoints, options)

    @property
    def faults(self) -> CoordinationFaults:
        """The switchboard of this endpoint."""
        return self._client.faults

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return COORDINATION_GUARANTEES

    @property
    def limits(self) -> Limits:
        return COORDINATION_LIMITS

    @property
    def state(self) -> ConnectionState:
        return self._client.links.status.state

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        return self._client.links.watch()

    async def connect(self, **params: Any) -> None:
        await self._client.connect(**params)

    async def shutdown(self, *, grace: float = 5.0) -> None:
        await self._client.shutdown(grace)

    async def server_info(self) -> ServerInfo:
        with self._client.seam("server_info"):
            info = ServerInfo("memory", VERSION)
            return await self._client.read("server_info", lambda _: info)

    @property
    def session(self) -> LiveSession:
        return self._client.session

    async def create_node(
        self,
        path: str,
        value: NodeValue = None,
        *,
        ephemeral: bool = False,
        make_parents: bool = True,
    ) -> NodeStat:
        with self._client.seam("create_node"):
            create = Create(checked_path(path), checked_value(value), ephemeral, make_parents)
            return await self._client.write("create_node", create)

    @overload
    async def read_node(self, path: str, include_timestamp: Literal[False] = False) -> bytes: ...

    @overload
    async def read_node(
        self, path: str, include_timestamp: Literal[True]
    ) -> tuple[bytes, NodeStat]: ...

    async def read_node(
        self, path: str, include_timestamp: bool = False
    ) -> bytes | tuple[bytes, NodeStat]:
        node = await self._read("read_node", path)
        return (node.value, node.stat) if include_timestamp else node.value

    async def get_node(self, path: str) -> Node:
        return await self._read("get_node", path)

    async def _read(self, operation: str, path: str) -> Node:
        with self._client.seam(operation):
            checked_path(path)
            node = await self._client.read(operation, lambda store: store.nodes.get(path))
            if node is None:
                raise refusals.no_node(path)
            return node

    async def update_node(
        self, path: str, value: NodeValue, *, expected_version: int | None = None
    ) -> NodeStat:
        with self._client.seam("update_node"):
            version = checked_version(expected_version, "expected_version")
            update = Update(changeable_path(path), checked_value(value), version)
            return await self._client.write("update_node", update)

    async def delete_node(
        self, path: str, recursive: bool = False, *, expected_version: int | None = None
    ) -> None:
        with self._client.seam("delete_node"):
            version = checked_version(expected_version, "expected_version")
            delete = Delete(changeable_path(path), recursive, version)
            await self._client.write("delete_node", delete)

    async def get_children(self, path: str) -> list[str]:
        with self._client.seam("get_children"):
            checked_path(path)

            def work(store: TreeStore) -> list[str]:
                if path not in store.nodes:
                    raise refusals.no_node(path)
                return sorted(store.children.get(path, ()))

            return await self._client.read("get_children", work)

    async def exists(self, path: str) -> NodeStat | None:
        with self._client.seam("exists"):
            checked_path(path)
            return await self._client.read("exists", lambda store: store.stat(path))

    def transaction(self) -> NodeTransaction:
        async def commit(operations: Sequence[NodeOperation]) -> list[NodeStat | None]:
            with self._client.seam("transaction"):
                return await self._client.apply(
                    "transaction", operations, refusals.refused_in_transaction
                )

        self._client.opened()
        return NodeTransaction(commit)

    def watch(
        self,
        path: str,
        *,
        scope: WatchScope = "node",
        initial: bool = False,
        since: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]]:
        self._client.opened()
        return TreeWatch(self._client, path, scope, initial=initial, since=since)

    async def master_election(
        self,
        path: str,
        identifier: str,
        func: Callable[Arguments, Awaitable[ResultT]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> ResultT:
        return await election.master_election(self, path, identifier, func, *args, **kwargs)
