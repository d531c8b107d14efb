"""Who leads, as anybody may see it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import msgspec

from asyncbackends.errors import NodeNotFoundError
from asyncbackends.protocols.coordination import Contention, Nodes, WatchableNodes
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes.patience import patiently

__all__ = ("Leader", "Observable", "Observation", "present_leader")


class Observable(Contention, Nodes, WatchableNodes, Protocol):
    """What seeing a leader needs of a coordination service."""


class Leader(msgspec.Struct, frozen=True):
    """Who is first on the path of an election.

    ``value`` is what it proclaimed last, ``order`` tells one term from another and grows from
    term to term, ``path`` is its node.
    """

    value: bytes
    order: int
    path: str


async def present_leader(coordination: Observable, path: str) -> Leader | None:
    """Read who leads; None if nobody contends."""
    while True:
        contenders = await coordination.contenders(path)
        if not contenders:
            return None
        first = contenders[0]
        try:
            value = await coordination.read_node(first.path)
        except NodeNotFoundError:
            continue  # It has gone in between: its successor leads.
        return Leader(value, first.order, first.path)


class Observation:
    """Gives the present leader, then every later state that differs from the one given before."""

    def __init__(self, coordination: Observable, path: str) -> None:
        self._coordination = coordination
        self._path = path
        self._watch: AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]] | None = None
        self._events: AsyncIterator[NodeEvent | Gap] | None = None
        self._given = False
        self._stale = True
        self._leader: Leader | None = None

    async def __aenter__(self) -> Self:
        # It begins before the first look, so nothing is missed in between.
        self._watch = self._coordination.watch(self._path, scope="tree")
        self._events = await self._watch.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            await self._watch.__aexit__(exc_type, exc, traceback)

    def __aiter__(self) -> AsyncIterator[Leader | None]:
        return self

    async def __anext__(self) -> Leader | None:
        assert self._events is not None  # noqa: S101  # it is iterated inside its block
        while True:
            # A cancellation in here leaves it stale: the next call looks again.
            while not self._stale:
                self._stale = self._matters(await anext(self._events))
            leader = await patiently(partial(present_leader, self._coordination, self._path))
            self._stale = False
            if leader != self._leader or not self._given:
                self._leader, self._given = leader, True
                return leader

    def _matters(self, event: NodeEvent | Gap) -> bool:
        """Say whether an event may change who leads: nobody who comes is before who is there."""
        if isinstance(event, Gap) or self._leader is None:
            return True
        # Also "created": a value that was proclaimed since may be folded into it.
        return event.path == self._leader.path
