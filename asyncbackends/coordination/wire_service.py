"""A coordination service made of an engine's wire: see DistributedCoordinationService."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from asyncbackends.coordination import refusals
from asyncbackends.coordination.contending import checked_ticket, ticket_of, tickets_of
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
from asyncbackends.coordination.wire import CoordinationLink, RefusedError, Wire
from asyncbackends.coordination.wire_client import WireClient
from asyncbackends.coordination.wire_watching import WireWatch
from asyncbackends.options import ServerCoordinationOptions
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, NodeValue, Ticket, WatchScope
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import election

__all__ = ("WireCoordination",)

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")
OptionsT = TypeVar("OptionsT", bound=ServerCoordinationOptions)


class WireCoordination(Generic[OptionsT]):
    """Implements :class:`asyncbackends.DistributedCoordinationService` over whatever wire."""

    def __init__(
        self,
        engine: str,
        endpoints: Sequence[str],
        options: OptionsT,
        make_wire: Callable[[Sequence[str], OptionsT], Wire],
        *,
        guarantees: frozenset[Guarantee],
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._guarantees = guarantees
        self._limits = limits
        self._client = WireClient(engine, endpoints, options, make_wire)

    @property
    def engine(self) -> str:
        return self._engine

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return self._guarantees if self._client.wire is None else self._client.wire.guarantees

    @property
    def limits(self) -> Limits:
        return self._limits if self._client.wire is None else self._client.wire.limits

    @property
    def state(self) -> ConnectionState:
        return self._client.states.status.state

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        return self._client.states.watch()

    async def connect(self, **params: Any) -> None:
        await self._client.connect(**params)

    async def shutdown(self, *, grace: float = 5.0) -> None:
        await self._client.shutdown(grace)

    async def server_info(self) -> ServerInfo:
        return await self._read("server_info", lambda link: link.server_info())

    @property
    def session(self) -> LiveSession:
        return self._client.session

    # Nodes.

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
            return _made(await self._apply_one(create))

    @overload
    async def read_node(self, path: str, include_timestamp: Literal[False] = False) -> bytes: ...

    @overload
    async def read_node(
        self, path: str, include_timestamp: Literal[True]
    ) -> tuple[bytes, NodeStat]: ...

    async def read_node(
        self, path: str, include_timestamp: bool = False
    ) -> bytes | tuple[bytes, NodeStat]:
        node = await self._node("read_node", path)
        return (node.value, node.stat) if include_timestamp else node.value

    async def get_node(self, path: str) -> Node:
        return await self._node("get_node", path)

    async def _node(self, operation: str, path: str) -> Node:
        node = await self._read(operation, lambda link: link.get(checked_path(path)))
        if node is None:
            raise self._client.seam.named(refusals.no_node(path), operation)
        return node

    async def update_node(
        self, path: str, value: NodeValue, *, expected_version: int | None = None
    ) -> NodeStat:
        with self._client.seam("update_node"):
            version = checked_version(expected_version, "expected_version")
            update = Update(changeable_path(path), checked_value(value), version)
            return _made(await self._apply_one(update))

    async def delete_node(
        self, path: str, recursive: bool = False, *, expected_version: int | None = None
    ) -> None:
        with self._client.seam("delete_node"):
            version = checked_version(expected_version, "expected_version")
            await self._apply_one(Delete(changeable_path(path), recursive, version))

    async def get_children(self, path: str) -> list[str]:
        names = await self._read("get_children", lambda link: link.children(checked_path(path)))
        if names is None:
            raise self._client.seam.named(refusals.no_node(path), "get_children")
        return sorted(names)

    async def exists(self, path: str) -> NodeStat | None:
        return await self._read("exists", lambda link: link.stat(checked_path(path)))

    async def _read(
        self, operation: str, ask: Callable[[CoordinationLink], Awaitable[ResultT]]
    ) -> ResultT:
        with self._client.seam(operation):
            self._client.check()
            return await self._client.access.read(ask)

    async def _apply_one(self, operation: NodeOperation) -> NodeStat | None:
        self._client.check()
        try:
            (stat,) = await self._client.access.write([operation])
        except RefusedError as refused:
            raise refused.error from refused.__cause__
        return stat

    # Transactions.

    def transaction(self) -> NodeTransaction:
        self._client.check()
        return NodeTransaction(self._commit)

    async def _commit(self, operations: Sequence[NodeOperation]) -> list[NodeStat | None]:
        with self._client.seam("transaction"):
            self._client.check()
            if not operations:
                return []
            try:
                return await self._client.access.write(operations)
            except RefusedError as refused:
                error = refused.error
                raise refusals.refused_in_transaction(refused.index, error) from error

    # Watching.

    def watch(
        self,
        path: str,
        *,
        scope: WatchScope = "node",
        initial: bool = False,
        since: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]]:
        self._client.check()
        return WireWatch(self._client, path, scope, initial=initial, since=since)

    # Contending.

    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        ticket, _ = await self.arrive(path, value)
        return ticket

    async def arrive(self, path: str, value: NodeValue = b"") -> tuple[Ticket, bool]:
        with self._client.seam("contend"):
            content = checked_value(value)
            self._client.check()
            stat, first = await self._client.entries.make(path, content)
            options = self._client.options
            return ticket_of(stat, options.namespace, options.fence_epoch), first

    async def contenders(self, path: str) -> list[Ticket]:
        stats = await self._read("contenders", lambda link: link.entries(checked_path(path)))
        options = self._client.options
        return tickets_of(stats, options.namespace, options.fence_epoch)

    async def withdraw(self, ticket: Ticket) -> None:
        with self._client.seam("withdraw"):
            checked = checked_ticket(ticket)
            self._client.check()
            await self._client.withdrawals.withdraw(checked)

    async def master_election(
        self,
        path: str,
        identifier: str,
        func: Callable[Arguments, Awaitable[ResultT]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> ResultT:
        return await election.master_election(self, path, identifier, func, *args, **kwargs)


def _made(stat: NodeStat | None) -> NodeStat:
    assert stat is not None  # noqa: S101  # see CoordinationLink.apply
    return stat
