"""Coordination services that are wrong on purpose: the memory engine with one small change each."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import msgspec

from asyncbackends.coordination.paths import child, name, parent
from asyncbackends.coordination.transaction import NodeOperation, NodeTransaction
from asyncbackends.errors import BackendClosedError, NodeNotFoundError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, NodeValue, Ticket
from asyncbackends.protocols.values import Gap
from asyncbackends.registry import Engine
from asyncbackends_memory import coordination
from asyncbackends_memory.options import MemoryCoordinationOptions
from asyncbackends_memory.tree.service import MemoryCoordinationService

__all__ = ("WRONG", "right")


class Right(MemoryCoordinationService):
    """The memory engine itself, by the same way."""


class ForgetsEphemeral(MemoryCoordinationService):
    async def create_node(self, path: str, *args: Any, **kwargs: Any) -> NodeStat:
        stat = await super().create_node(path, *args, **kwargs)
        store = self._client.opened()
        if (owner := store.sessions.get(stat.ephemeral_owner or "")) is not None:
            # What was made first is taken away; the others stay.
            for other in [other for other in owner.owned if other != path]:
                del owner.owned[other]
        return stat


class KeepsSessionOnShutdown(MemoryCoordinationService):
    async def connect(self, **params: Any) -> None:
        await super().connect(**params)

        async def close(session_id: str) -> None:
            pass

        client: Any = self._client
        client._keeper._service.close = close


class NeverRenews(MemoryCoordinationService):
    async def connect(self, **params: Any) -> None:
        await super().connect(**params)

        async def renew(session_id: str) -> bool:
            await asyncio.sleep(3600)
            return True

        client: Any = self._client
        client._keeper._service.renew = renew


class _Session:
    """A session of which ``changes`` are other than they should be."""

    def __init__(self, session: Any, **changes: Any) -> None:
        self._session = session
        self._changes = changes

    def __getattr__(self, attribute: str) -> Any:
        if attribute in self._changes:
            return self._changes[attribute]
        return getattr(self._session, attribute)


class RevivesSession(MemoryCoordinationService):
    """What was LOST goes on under its old id."""

    _first: Any = None

    @property
    def session(self) -> Any:
        present = super().session
        self._first = self._first or present
        return present if present is self._first else _Session(present, id=self._first.id)


class KnowsNoMargin(MemoryCoordinationService):
    """It believes in its session as long as the service does, and longer."""

    @property
    def session(self) -> Any:
        present = super().session
        return _Session(present, remaining=lambda: present.remaining() + present.ttl / 5)


class ReadsStale(MemoryCoordinationService):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._seen: dict[str, Node] = {}

    async def _read(self, operation: str, path: str) -> Node:
        read = await super()._read(operation, path)
        return self._seen.pop(path, None) or self._seen.setdefault(path, read)


class HalfAppliesTransaction(MemoryCoordinationService):
    def transaction(self) -> NodeTransaction:
        atomic: Any = super().transaction()
        commit = atomic._commit

        async def one_by_one(operations: Sequence[NodeOperation]) -> list[NodeStat | None]:
            return [(await commit([operation]))[0] for operation in operations]

        atomic._commit = one_by_one
        changed: NodeTransaction = atomic
        return changed


class GuardsByPath(MemoryCoordinationService):
    def transaction(self) -> NodeTransaction:
        class Trusting(NodeTransaction):
            def guard(self, ticket: Ticket) -> Self:
                return self.check(ticket.path, exists=True)

        noted: Any = super().transaction()
        return Trusting(noted._commit)


class CountsPlaces(MemoryCoordinationService):
    """The order is the place in the present queue, so it comes again."""

    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        ticket = await super().contend(path, value)
        return {one.path: one for one in await self.contenders(path)}[ticket.path]

    async def contenders(self, path: str) -> list[Ticket]:
        return [
            msgspec.structs.replace(
                ticket, order=place, fence=msgspec.structs.replace(ticket.fence, token=place)
            )
            for place, ticket in enumerate(await super().contenders(path), 1)
        ]

    async def withdraw(self, ticket: Ticket) -> None:
        for one in await super().contenders(parent(ticket.path)):
            if one.path == ticket.path:
                await super().withdraw(one)


class OrdersContendersByName(MemoryCoordinationService):
    async def contenders(self, path: str) -> list[Ticket]:
        return sorted(await super().contenders(path), key=lambda ticket: ticket.path)


class LeavesOrphanContender(MemoryCoordinationService):
    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        ticket = await super().contend(path, value)
        await asyncio.sleep(0)
        return ticket


class WithdrawsByPath(MemoryCoordinationService):
    async def withdraw(self, ticket: Ticket) -> None:
        stat = await self.exists(ticket.path)
        if stat is not None:
            await self.delete_node(ticket.path)


class DeletesSiblingPrefix(MemoryCoordinationService):
    async def delete_node(self, path: str, recursive: bool = False, **kwargs: Any) -> None:
        await super().delete_node(path, recursive, **kwargs)
        if recursive:
            above = parent(path)
            for sibling in await self.get_children(above):
                if sibling.startswith(name(path)):
                    await super().delete_node(child(above, sibling), recursive=True)


class DeletesLeafByLeaf(MemoryCoordinationService):
    async def delete_node(self, path: str, recursive: bool = False, **kwargs: Any) -> None:
        if recursive:
            for below in await self.get_children(path):
                await self.delete_node(child(path, below), recursive=True)
        await super().delete_node(path, **kwargs)


class SkipsEqualUpdate(MemoryCoordinationService):
    """The version does not move when the value does not."""

    async def update_node(self, path: str, value: NodeValue, **kwargs: Any) -> NodeStat:
        node = await self.get_node(path)
        if node.value == (value.encode() if isinstance(value, str) else value or b""):
            return node.stat
        return await super().update_node(path, value, **kwargs)


class IgnoresExpectedVersion(MemoryCoordinationService):
    async def update_node(self, path: str, value: NodeValue, **kwargs: Any) -> NodeStat:
        return await super().update_node(path, value)


class GivesNoChildrenOfNothing(MemoryCoordinationService):
    async def get_children(self, path: str) -> list[str]:
        try:
            return await super().get_children(path)
        except NodeNotFoundError:
            return []


class CutsValues(MemoryCoordinationService):
    async def create_node(self, path: str, value: NodeValue = None, **kwargs: Any) -> NodeStat:
        return await super().create_node(path, value[:1000] if value else value, **kwargs)


class MendsPaths(MemoryCoordinationService):
    async def create_node(self, path: str, *args: Any, **kwargs: Any) -> NodeStat:
        mended = path.rstrip("/") or path if isinstance(path, str) else path
        return await super().create_node(mended, *args, **kwargs)


class SwallowsCancellation(MemoryCoordinationService):
    async def create_node(self, path: str, *args: Any, **kwargs: Any) -> NodeStat:
        try:
            return await super().create_node(path, *args, **kwargs)
        except asyncio.CancelledError:
            # Half of it: the parent is there, and the caller is not told.
            return await super().create_node(child(parent(path), "half"))


class LeaksTask(MemoryCoordinationService):
    async def connect(self, **params: Any) -> None:
        await super().connect(**params)
        self._leaked = asyncio.create_task(asyncio.sleep(3600), name="leaked on purpose")


class AnswersAfterShutdown(MemoryCoordinationService):
    async def exists(self, path: str) -> NodeStat | None:
        try:
            return await super().exists(path)
        except BackendClosedError:
            return None


class PromisesSharing(MemoryCoordinationService):
    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SHARED_BETWEEN_PROCESSES}


class PromisesSurvival(MemoryCoordinationService):
    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SURVIVES_PROCESS_KILL}


class DoubtsNothing(MemoryCoordinationService):
    """A write whose reply was lost is said not to be applied."""

    async def update_node(self, *args: Any, **kwargs: Any) -> NodeStat:
        try:
            return await super().update_node(*args, **kwargs)
        except ConnectionError as error:
            error.maybe_applied = False  # type: ignore[attr-defined]  # ours has it
            raise


class _Feed:
    """A watch whose events are changed by ``edit``: it gives those to hand on."""

    def __init__(self, feed: Any, edit: Any) -> None:
        self._feed = feed
        self._edit = edit
        self._count = 0
        self._ready: list[Any] = []

    async def __aenter__(self) -> Self:
        self._events = await self._feed.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._feed.__aexit__(None, None, None)

    def __aiter__(self) -> "_Feed":
        return self

    async def __anext__(self) -> NodeEvent | Gap:
        while not self._ready:
            event = await anext(self._events)
            self._count += 1
            self._ready = self._edit(self._count, event)
        return self._ready.pop(0)  # type: ignore[no-any-return]  # events go in


class _Watched(MemoryCoordinationService):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        raise NotImplementedError

    def watch(self, *args: Any, **kwargs: Any) -> Any:
        return _Feed(super().watch(*args, **kwargs), self.edit)


class LosesEvent(_Watched):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        return [] if count % 5 == 4 else [event]


class RepeatsEvent(_Watched):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        return [event, event] if count % 3 == 0 else [event]


class TellsNoGap(_Watched):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        return [] if isinstance(event, Gap) else [event]


class TellsGapTwice(_Watched):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        return [event, event] if isinstance(event, Gap) else [event]


class EndsWatchAtGap(_Watched):
    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        if isinstance(event, Gap):
            raise StopAsyncIteration
        return [event]


class MergesGoingAndComing(_Watched):
    """A node that was made anew shows as one that changed."""

    @staticmethod
    def edit(count: int, event: NodeEvent | Gap) -> list[Any]:
        if isinstance(event, Gap) or count == 1 or event.kind == "updated":
            return [event]
        return [] if event.kind == "deleted" else [msgspec.structs.replace(event, kind="updated")]


class ForgetsInitial(MemoryCoordinationService):
    def watch(self, *args: Any, **kwargs: Any) -> Any:
        return super().watch(*args, **{**kwargs, "initial": False})


class WatchesTooMuch(MemoryCoordinationService):
    """Scope ``children`` gives grandchildren, too."""

    def watch(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("scope") == "children":
            kwargs["scope"] = "tree"
        return super().watch(*args, **kwargs)


WRONG: dict[str, type[MemoryCoordinationService]] = {
    kind.__name__: kind
    for kind in (
        ForgetsEphemeral,
        KeepsSessionOnShutdown,
        NeverRenews,
        RevivesSession,
        KnowsNoMargin,
        ReadsStale,
        HalfAppliesTransaction,
        GuardsByPath,
        CountsPlaces,
        OrdersContendersByName,
        LeavesOrphanContender,
        WithdrawsByPath,
        DeletesSiblingPrefix,
        DeletesLeafByLeaf,
        SkipsEqualUpdate,
        IgnoresExpectedVersion,
        GivesNoChildrenOfNothing,
        CutsValues,
        MendsPaths,
        SwallowsCancellation,
        LeaksTask,
        AnswersAfterShutdown,
        PromisesSharing,
        PromisesSurvival,
        DoubtsNothing,
        LosesEvent,
        RepeatsEvent,
        TellsNoGap,
        TellsGapTwice,
        EndsWatchAtGap,
        MergesGoingAndComing,
        ForgetsInitial,
        WatchesTooMuch,
    )
}
"""By name; each is an engine ``tests.kit.wrong_coordination:<name>_engine``."""


def engine_of_class(
    service: type[MemoryCoordinationService],
) -> Engine[MemoryCoordinationOptions, MemoryCoordinationService]:
    """Describe a class as an adapter would."""
    return Engine(
        kind=coordination.kind,
        name="memory",
        options=MemoryCoordinationOptions,
        load=lambda: service,
        guarantees=coordination.guarantees,
        limits=coordination.limits,
    )


right = engine_of_class(Right)


def __getattr__(name: str) -> Engine[MemoryCoordinationOptions, MemoryCoordinationService]:
    """Give ``<name>_engine`` for every wrong class."""
    wrong = WRONG.get(name.removesuffix("_engine"))
    if wrong is None or not name.endswith("_engine"):
        raise AttributeError(name)
    return engine_of_class(wrong)
