"""Who is there, and what they can do."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType, TracebackType
from typing import Final, Literal, Self

import msgspec

from asyncbackends.errors import InvalidRequestError, NodeNotFoundError
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap, Json
from asyncbackends.recipes.membership import Joining, Membership
from asyncbackends.recipes.seats import Grouping, Seat, enrolment

__all__ = ("Group", "MemberEvent", "MemberWatch")

READS_AT_ONCE: Final = 16
NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})

KINDS: Final[Mapping[str, Literal["joined", "updated", "left"]]] = MappingProxyType(
    {"created": "joined", "updated": "updated", "deleted": "left"}
)


class MemberEvent(msgspec.Struct, frozen=True):
    """A member joined, left, or has other ``capabilities``; they are empty when it left."""

    kind: Literal["joined", "left", "updated"]
    member: str
    capabilities: dict[str, Json] = {}


class Group:
    """Members under one path, each with capabilities that the others see.

    ::

        group = Group(coordination, "/agents")
        async with group.join("a1", {"devices": 8}) as membership:
            await membership.update({"devices": 7})

    A member is there as long as its block lasts. When its process dies, or its session is lost,
    it is gone at the latest when the service ends the session, its ttl later.

    :param path: belongs to the group; every member is a child of it, named as the member.
    """

    def __init__(self, coordination: Grouping, path: str) -> None:
        self.path = path
        self._coordination = coordination
        self._prefix = path if path.endswith("/") else f"{path}/"

    def join(
        self,
        member: str,
        capabilities: Mapping[str, Json] = NOTHING,
        *,
        rejoin: bool = True,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Membership]:
        """Give the block in which ``member`` belongs to the group.

        Leaving is safe to cancel, and bounded, as a lock's release is.

        :param member: a name, as a segment of a path.
        :param capabilities: JSON, at most 1 000 000 bytes with what is kept beside it.
        :param rejoin: when the session is lost the member comes back with the next one, after a
            while in which the others do not see it; the body goes on. If it cannot come back, for
            another reason than a service that does not answer or a name that another has for now,
            the body is cancelled and the block raises that error. Without ``rejoin`` the body is
            cancelled when the session is LOST, and the block raises SessionLostError.
        :param timeout: seconds to wait for the name, finite and > 0; None does not wait. A member
            that was killed has its name until its session ends.
        :raises NodeExistsError: on entering: the name is another's.
        :raises InvalidRequestError: at once: a bad name, or capabilities that are no JSON.
        """
        if not isinstance(member, str) or not member or "/" in member:
            message = f"a member is named by a segment of a path, which {member!r} is not"
            raise InvalidRequestError(message)
        path = f"{self._prefix}{member}"
        seat = Seat(self._coordination, path, capabilities, rejoin=rejoin)
        return Joining(member, seat, timeout)

    async def members(self) -> dict[str, dict[str, Json]]:
        """Give the capabilities of all members, by name, sorted; {} if there are none.

        One read for the names and one per member: not of one moment, unlike a watch.
        """
        try:
            names = await self._coordination.get_children(self.path)
        except NodeNotFoundError:
            return {}
        room = asyncio.Semaphore(READS_AT_ONCE)
        found: dict[str, dict[str, Json]] = {}

        async def read(name: str) -> None:
            async with room:
                capabilities = await self.capabilities_of(name)
            if capabilities is not None:
                found[name] = capabilities

        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(read(name))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {name: found[name] for name in names if name in found}

    async def capabilities_of(self, member: str) -> dict[str, Json] | None:
        """Give a member's capabilities, None if there is no such member."""
        try:
            value = await self._coordination.read_node(f"{self._prefix}{member}")
        except NodeNotFoundError:
            return None
        return enrolment(value).capabilities

    def watch(
        self, *, initial: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[MemberEvent | Gap]]:
        """Follow who joins, leaves, or has other capabilities, from entering the block on.

        Level-triggered, as the watch of nodes: of several changes of a member the last is seen,
        that it left or joined is never lost silently. After a Gap whoever is there comes again,
        as ``joined``; who does not come is no longer there.

        :param initial: who is there at entering comes first, as ``joined``.
        """
        return MemberWatch(self, self._coordination, self._prefix, initial=initial)


class MemberWatch:
    """Turns the events of nodes into those of members."""

    def __init__(self, group: Group, coordination: Grouping, prefix: str, *, initial: bool) -> None:
        self._group = group
        self._prefix = prefix
        self._watch = coordination.watch(group.path, scope="tree", initial=initial)
        self._events: AsyncIterator[NodeEvent | Gap] | None = None
        self._pending: NodeEvent | None = None

    async def __aenter__(self) -> Self:
        self._events = await self._watch.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._watch.__aexit__(exc_type, exc, traceback)

    def __aiter__(self) -> AsyncIterator[MemberEvent | Gap]:
        return self

    async def __anext__(self) -> MemberEvent | Gap:
        assert self._events is not None  # noqa: S101  # it is iterated inside its block
        while True:
            if self._pending is None:
                event = await anext(self._events)
                if isinstance(event, Gap):
                    return event
                self._pending = event
            # A cancellation in here leaves it pending: the next call tells of it.
            told = await self._told(self._pending)
            self._pending = None
            if told is not None:
                return told

    async def _told(self, event: NodeEvent) -> MemberEvent | None:
        member = event.path.removeprefix(self._prefix)
        if member == event.path or not member or "/" in member:
            return None
        if event.kind == "deleted":
            return MemberEvent("left", member)
        if event.value is not None:
            return MemberEvent(KINDS[event.kind], member, enrolment(event.value).capabilities)
        capabilities = await self._group.capabilities_of(member)
        if capabilities is None:
            return None  # That it left comes next.
        return MemberEvent(KINDS[event.kind], member, capabilities)
