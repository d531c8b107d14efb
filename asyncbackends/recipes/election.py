"""One leader among many, which everybody can see and no two can be."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import ParamSpec, Protocol, TypeVar

from asyncbackends.errors import InvalidRequestError, LeadershipLostError, NodeNotFoundError
from asyncbackends.protocols.coordination import Nodes, Session
from asyncbackends.protocols.nodes import NodeValue, Ticket
from asyncbackends.recipes.holding import Place, PlaceBlock
from asyncbackends.recipes.observing import Leader, Observation, present_leader
from asyncbackends.recipes.waiting import Contending, first_place

__all__ = ("Election", "Electorate", "Leading", "Term", "master_election")

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class Electorate(Contending, Nodes, Protocol):
    """What an election needs of a coordination service."""


class Term(Place):
    """The time of one leader, from its election until it resigns or its session is LOST."""

    def __init__(self, coordination: Electorate, ticket: Ticket, session: Session) -> None:
        super().__init__(coordination, ticket, session)
        self._nodes: Nodes = coordination

    @property
    def resigned(self) -> bool:
        """Whether it was given up; a term that was lost did not resign."""
        return not self.claimed

    async def proclaim(self, value: NodeValue) -> None:
        """Let those who observe see another value of this leader.

        :raises LeadershipLostError: the term is over.
        :raises InvalidRequestError: it was resigned.
        """
        if self.resigned:
            message = f"the term {self.ticket.path} was resigned, so it proclaims nothing"
            raise InvalidRequestError(message)
        message = f"the term {self.ticket.path} is over, so it proclaims nothing"
        if self.lost.is_set():
            raise LeadershipLostError(message)
        try:
            await self._nodes.update_node(self.ticket.path, value)
        except NodeNotFoundError as error:
            raise LeadershipLostError(message) from error

    async def resign(self) -> None:
        """Let the next one lead; the body goes on, and nothing cancels it from now on.

        Nothing happens when it was resigned, or is lost. Also when this is cancelled: it ends
        first, in bounded time, as a lock's release does.

        :raises BackendError: that failed; the next one leads when the session ends, or when
            another call of this succeeds.
        """
        await self._give_up()


class Leading:
    """Waits until elected on entering; resigns on leaving."""

    def __init__(self, coordination: Electorate, path: str, value: NodeValue) -> None:
        self._coordination = coordination
        self._path = path
        self._value = value
        self._block: PlaceBlock | None = None

    async def __aenter__(self) -> Term:
        """Wait until elected, without end.

        :raises InvalidRequestError: it was entered before.
        """
        if self._block is not None:
            message = "lead() gives one term; call it again for another"
            raise InvalidRequestError(message)
        ticket, session = await first_place(self._coordination, self._path, self._value)
        term = Term(self._coordination, ticket, session)
        self._block = PlaceBlock(term, term.resign, LeadershipLostError)
        return term

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Resign.

        :raises LeadershipLostError: the session was lost before the body ended or resigned.
        """
        if self._block is not None:
            await self._block.leave(exc_type, exc, traceback)


class Election:
    """Elects one leader at a time on a path, in the order in which they came.

    ::

        election = Election(coordination, "/leader", value="host-1")
        async with election.lead() as term:
            await database.object_update("site", uuid, change, fence=term.fence)

    A term is to a leader what a lock is to its holder, with the same promises and the same limit:
    the body is cancelled at the moment when the session is LOST by this machine's clock, the block
    then raises LeadershipLostError, and only the ``fence`` of a term stops a write that is late.
    Waiting, SUSPENDED sessions, cancelling and clean-up: see Lock.

    One object may be used by any number of tasks at once; each ``lead()`` is a candidate of its
    own.

    :param path: what is contended for; every candidate is a child of it.
    :param value: what those who observe see of this candidate, until it proclaims another.
    """

    def __init__(self, coordination: Electorate, path: str, value: NodeValue = b"") -> None:
        self.path = path
        self._coordination = coordination
        self._value = value

    def lead(self) -> AbstractAsyncContextManager[Term]:
        """Give the block that waits until elected, leads, and resigns at its end."""
        return Leading(self._coordination, self.path, self._value)

    async def leader(self) -> Leader | None:
        """Read who leads now; None if there is no candidate.

        It may be over by the time that the answer is here, and a leader may not know yet that it
        is one.
        """
        return await present_leader(self._coordination, self.path)

    def observe(self) -> AbstractAsyncContextManager[AsyncIterator[Leader | None]]:
        """Follow who leads, without being a candidate.

        The present leader comes first, None if there is none; then every other one, and every
        value that a leader proclaims. Level-triggered: of several changes at once the last is
        seen, never a repeat. A link or session that was lost never ends it.
        """
        return Observation(self._coordination, self.path)


async def master_election(
    coordination: Electorate,
    path: str,
    identifier: str,
    func: Callable[Arguments, Awaitable[ResultT]],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> ResultT:
    """Wait until elected, await ``func`` inside the term, resign, and give its result.

    What the method of that name does, on every engine; ``func`` is given no fence: with
    ``Election.lead()`` a body has one.

    :param identifier: only the candidate's value, what others see of the leader.
    :raises LeadershipLostError: the term ended while ``func`` ran, which was cancelled.
    """
    async with Election(coordination, path, identifier).lead():
        return await func(*args, **kwargs)
