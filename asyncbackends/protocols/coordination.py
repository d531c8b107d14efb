"""The contract of the coordination service: a tree of nodes, sessions, watches and contenders."""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, ParamSpec, Protocol, TypeVar, overload, runtime_checkable

from asyncbackends.protocols.backend import Backend
from asyncbackends.protocols.nodes import (
    Node,
    NodeEvent,
    NodeStat,
    NodeValue,
    Ticket,
    WatchScope,
)
from asyncbackends.protocols.values import Gap

__all__ = (
    "Contention",
    "DistributedCoordinationService",
    "MasterElection",
    "Nodes",
    "Session",
    "SessionLost",
    "SessionState",
    "Sessions",
    "SupportsArriving",
    "Transaction",
    "Transactions",
    "WatchableNodes",
)

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class Nodes(Protocol):
    """The tree.

    A path is ``/`` and non-empty segments between slashes, without ``.``, ``..``, control
    characters or a slash at the end; it means the same on every engine. The root always exists
    and is neither created nor deleted. A value has at most 1 000 000 bytes.
    """

    async def create_node(
        self,
        path: str,
        value: NodeValue = None,
        *,
        ephemeral: bool = False,
        make_parents: bool = True,
    ) -> NodeStat:
        """Make a node.

        :param ephemeral: the node goes when the session of this backend ends; it can have no
            children. While there is no live session, this waits for one until its deadline.
        :param make_parents: missing ancestors are made too, empty and lasting.
        :raises NodeExistsError: with the present ``stat``.
        :raises NodeNotFoundError: an ancestor is missing and ``make_parents`` is False.
        :raises InvalidRequestError: a bad path or value, or the parent is ephemeral.
        """
        ...

    @overload
    async def read_node(self, path: str, include_timestamp: Literal[False] = False) -> bytes: ...

    @overload
    async def read_node(
        self, path: str, include_timestamp: Literal[True]
    ) -> tuple[bytes, NodeStat]: ...

    async def read_node(
        self, path: str, include_timestamp: bool = False
    ) -> bytes | tuple[bytes, NodeStat]:
        """Give a node's value, with its stat if ``include_timestamp``.

        :raises NodeNotFoundError: there is none.
        """
        ...

    async def get_node(self, path: str) -> Node:
        """Give a node's value and stat, of one moment.

        :raises NodeNotFoundError: there is none.
        """
        ...

    async def update_node(
        self, path: str, value: NodeValue, *, expected_version: int | None = None
    ) -> NodeStat:
        """Replace a node's value.

        :param expected_version: the ``version`` that the node must have.
        :raises NodeNotFoundError: there is none.
        :raises RevisionConflictError: the node has another version.
        """
        ...

    async def delete_node(
        self, path: str, recursive: bool = False, *, expected_version: int | None = None
    ) -> None:
        """Take a node away, or with ``recursive`` the node and all below it.

        Atomic with ATOMIC_RECURSIVE_DELETE.

        :param expected_version: the ``version`` that the node itself must have.
        :raises NodeNotFoundError: there is none.
        :raises HasChildrenError: it has children and ``recursive`` is False.
        :raises RevisionConflictError: the node has another version.
        """
        ...

    async def get_children(self, path: str) -> list[str]:
        """Give the names of the direct children, without the path, sorted.

        :raises NodeNotFoundError: there is no such node.
        """
        ...

    async def exists(self, path: str) -> NodeStat | None:
        """Give the stat of a node, None if there is none."""
        ...


class Transaction(Protocol):
    """Several operations on nodes that are applied as a whole or not at all.

    The methods only note an operation and give the transaction back. Operations are applied in
    order, each sees what those before it did. At most 100 of them and 1 000 000 bytes of values.
    """

    def check(
        self, path: str, *, version: int | None = None, exists: bool | None = None
    ) -> "Transaction":
        """Demand that a node has a version, or that it exists or not; give exactly one of them.

        :raises InvalidRequestError: none or both are given.
        """
        ...

    def create(
        self,
        path: str,
        value: NodeValue = None,
        *,
        ephemeral: bool = False,
        make_parents: bool = True,
    ) -> "Transaction":
        """Make a node, as ``create_node`` does."""
        ...

    def update(
        self, path: str, value: NodeValue, *, expected_version: int | None = None
    ) -> "Transaction":
        """Replace a value, as ``update_node`` does."""
        ...

    def delete(self, path: str, *, expected_version: int | None = None) -> "Transaction":
        """Take a node without children away, as ``delete_node`` does."""
        ...

    def guard(self, ticket: Ticket) -> "Transaction":
        """Demand that a contender's entry is still there: whoever was first is first until then.

        Refused with NodeNotFoundError as the error of its index.
        """
        ...

    async def commit(self) -> list[NodeStat | None]:
        """Apply all, once; give a stat for each create and update, None for the others.

        :raises TransactionFailedError: ``index`` and ``error`` say which was refused and why;
            nothing was applied.
        :raises InvalidRequestError: too many operations or bytes, or a second commit.
        """
        ...


class Transactions(Protocol):
    """Several operations as one."""

    def transaction(self) -> Transaction:
        """Begin to note operations; nothing is sent before ``commit``."""
        ...


class WatchableNodes(Protocol):
    """The feed of events."""

    def watch(
        self,
        path: str,
        *,
        scope: WatchScope = "node",
        initial: bool = False,
        since: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]]:
        """Follow a node, its direct children, or its tree, from entering the block on.

        Level-triggered: several changes of a node between two events may show as one, the last
        state always arrives. The coming and going of a node is not lost silently, the events of
        one path are in order, revisions never go back. The path need not exist. Own writes are
        seen, expired ephemeral nodes are ``deleted``, keeping a session alive is no event. After
        anything that may have lost events comes one Gap, then what is there by then, and it goes
        on: a link or a session that was lost never ends it.

        :param scope: ``children`` gives ``created`` and ``deleted`` of direct children alone.
        :param initial: what is there at entering comes first, as ``created``, parents first.
        :param since: a revision; what came after it is given first. An engine that does not keep
            it answers with one Gap("compacted") and what is there, as ``created``.
        :raises InvalidRequestError: ``since`` with ``initial``, or ahead of the service.
        """
        ...


class Contention(Protocol):
    """Places in the queue before a path: what every recipe stands on."""

    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        """Take a place: make one ephemeral child whose ``order`` no other ever had there.

        Orders grow with every entry ever made on the path, so ``order`` is a fencing token. A
        lost answer never leaves an entry behind that nobody knows of: it is looked for, and
        given, or taken back, if need be as soon as the service answers again, or its session ends.

        :raises ConnectionLostError: it was not made, or is taken back; ``maybe_applied`` is False.
        """
        ...

    async def contenders(self, path: str) -> list[Ticket]:
        """Give the contenders sorted by ``order``; [] where nobody ever contended."""
        ...

    async def withdraw(self, ticket: Ticket) -> None:
        """Give a place up; if it is gone already, this does nothing.

        :raises ConnectionLostError: it is not given up yet; with ``maybe_applied`` it still may be,
            also later: the service may go on while the session lives, so that none stays in line.
        """
        ...


@runtime_checkable
class SupportsArriving(Protocol):
    """What a service that answers with the queue can do: a recipe need not ask for it again."""

    async def arrive(self, path: str, value: NodeValue = b"") -> tuple[Ticket, bool]:
        """Take a place as ``contend`` does, and say whether surely nobody was before it then.

        Since orders only grow, such a place is the first for as long as it is there. False says
        nothing: ask for the contenders.
        """
        ...


class SessionState(enum.StrEnum):
    """How a session stands."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    """Renewals are not answered, or the link is down; what is held is still held."""
    LOST = "lost"
    """Over, for good, by this machine's clock."""


class SessionLost(Protocol):
    """Whether a session is over."""

    def is_set(self) -> bool:
        """Say whether it is."""
        ...

    async def wait(self) -> Literal[True]:
        """Wait until it is."""
        ...


class Session(Protocol):
    """What ephemeral nodes belong to: one client, as long as it renews.

    The deadline counts from the moment at which the last answered renewal was sent, plus the
    granted ``ttl``, less max(0.2 s, ttl / 10): this side is never later than the service. At the
    deadline the session is LOST without asking; should the service still know it afterwards, it
    is closed there, never revived. Then a new session, with another id, opens in the background.
    """

    @property
    def id(self) -> str:
        """The session's id, never used twice."""
        ...

    @property
    def state(self) -> SessionState:
        """How it stands now."""
        ...

    @property
    def ttl(self) -> float:
        """The seconds that the service granted."""
        ...

    @property
    def lost(self) -> SessionLost:
        """Set when it is LOST; never cleared."""
        ...

    def deadline(self) -> float:
        """Give when it will be LOST without another renewal, on CLOCK_BOOTTIME."""
        ...

    def remaining(self) -> float:
        """Give the seconds until the deadline, 0.0 when it is past or the session is LOST."""
        ...

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[SessionState]]:
        """Watch it: the present state first, then every later one; ends after LOST."""
        ...

    def on_lost(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called in the loop at the moment it is LOST; give what takes that back.

        It is called at once if the session is LOST already.
        """
        ...


class Sessions(Protocol):
    """The session of a backend."""

    @property
    def session(self) -> Session:
        """The present session; after a loss another one, as soon as it is opened."""
        ...


class MasterElection(Protocol):
    """The shortcut to lead."""

    async def master_election(
        self,
        path: str,
        identifier: str,
        func: Callable[Arguments, Awaitable[ResultT]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> ResultT:
        """Wait until elected, await ``func`` inside the term, resign, and give its result.

        The semantics of the blueprint's and kazoo's election, with one difference: when the term
        ends while ``func`` runs, it is cancelled, where OpenContrail ended the process.

        :param identifier: only the contender's value, what others see of the leader.
        :raises LeadershipLostError: the term ended while ``func`` ran.
        """
        ...


class DistributedCoordinationService(
    Nodes,
    Transactions,
    WatchableNodes,
    Contention,
    Sessions,
    MasterElection,
    Backend,
    Protocol,
):
    """A tree of small nodes that every process sees alike, with sessions and watches.

    A function that needs less asks for the narrower Protocol.
    """
