"""One opener of a tree: its lifecycle, and the way of every operation through the switchboard."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import anyio

from asyncbackends.coercion import changed_options
from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.transaction import Create, Delete, NodeOperation, Update
from asyncbackends.coordination.within import Within
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState, Kind
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_memory.options import MemoryCoordinationOptions
from asyncbackends_memory.sharing import Sharing, the_one_name
from asyncbackends_memory.tree.editing import Edit
from asyncbackends_memory.tree.faults import coordination_faults
from asyncbackends_memory.tree.sessions import TreeSessions
from asyncbackends_memory.tree.store import StoredSession, TreeStore
from asyncbackends_memory.tree.watching import TreeWatch

__all__ = ("TreeClient",)

ResultT = TypeVar("ResultT")

_stores = Sharing(lambda name: TreeStore(coordination_faults(name)), TreeStore.drop)


class TreeClient:
    """Opens and closes a store, keeps a session in it, and applies operations to it."""

    def __init__(self, endpoints: Sequence[str], options: MemoryCoordinationOptions) -> None:
        self._name = the_one_name(endpoints)
        self.options = options
        self.seam = Seam(Kind.COORDINATION, "memory", lambda _: None)
        self.links = LinkStates(self.seam)
        self.faults = coordination_faults(self._name)
        self.watches: dict[TreeWatch, bool] = {}
        self._owner = Owner(f"coordination service (memory, {self._name})")
        self._store: TreeStore | None = None
        self._leave: Callable[[], None] | None = None
        self._keeper: SessionKeeper | None = None
        self._in_flight: set[anyio.CancelScope] = set()
        """Operations that faults hold up."""

    # Lifecycle

    async def connect(self, **params: Any) -> None:
        """Join the store and open a session."""
        if self._owner.started:
            message = "the coordination service was connected already; make another one"
            raise ConfigurationError(message)
        self.options = changed_options(self.options, params)
        await self._owner.start(self._open, self._close)

    async def _open(self) -> None:
        self.links.set(ConnectionState.CONNECTING, self._name)
        store, self._leave = _stores.enter(self._name, self.options.namespace)
        self._store = store
        store.kept = max(store.kept, self.options.watch_history)
        end = store.clock.monotonic() + self.options.connect_timeout
        keeper = SessionKeeper(
            TreeSessions(store, self.options.operation_timeout),
            self.options.session_ttl,
            store.clock,
            self.seam,
            self._session_changed,
        )
        try:
            await self.faults.before("connect", self.options.connect_timeout)
            self._keeper = keeper
            self.faults.join(self)
            with Within(store.clock, end - store.clock.monotonic()) as opening:
                await keeper.start()
        except (ConnectionLostError, OperationTimeoutError) as error:
            raise ConnectionFailedError(str(error)) from error
        if opening.ended:
            message = f"no session was opened within {self.options.connect_timeout:g} s"
            raise ConnectionFailedError(message)
        if self.faults.connected:
            self.links.set(ConnectionState.CONNECTED, self._name)
        assert self._owner.group is not None  # noqa: S101  # opening runs inside it
        self._owner.group.start_soon(keeper.run)

    async def _close(self, grace: float) -> None:
        self.faults.leave(self)
        for scope in list(self._in_flight):
            scope.cancel()
        for watch in list(self.watches):
            watch.end()
        self.watches.clear()
        try:
            if self._keeper is not None:
                await self._keeper.close(grace)
        finally:
            self.links.set(ConnectionState.CLOSED, self._name)
            if self._leave is not None:
                self._leave()
                self._leave = None

    async def shutdown(self, grace: float) -> None:
        """Close the session and leave the store; the last one to leave drops it."""
        await self._owner.stop(grace)

    def link_changed(self, state: ConnectionState, reason: str | None) -> None:
        """Hear from the switchboard."""
        self.links.set(state, self._name, reason)
        if self._keeper is None:
            return
        if state is ConnectionState.CONNECTED:
            self._keeper.link_restored()
        else:
            self._keeper.link_lost()
            self._detach_watches()

    def _session_changed(self, state: SessionState) -> None:
        if state is SessionState.LOST:
            self._detach_watches()
        elif state is SessionState.CONNECTED:
            for watch in self.watches:
                watch.attach()

    def _detach_watches(self) -> None:
        for watch in self.watches:
            watch.detach()

    # Operations

    def opened(self) -> TreeStore:
        """Give the store.

        :raises BackendClosedError: it is not open.
        """
        self._owner.check()
        assert self._store is not None  # noqa: S101  # an owner that is open has opened it
        return self._store

    @property
    def session(self) -> LiveSession:
        """The present session.

        :raises BackendClosedError: the backend is not open.
        """
        self._owner.check()
        assert self._keeper is not None  # noqa: S101  # the same
        return self._keeper.session

    def abandon(self, session_id: str) -> None:
        """Give a session up: something of its own may be at the service and nobody knows."""
        if self._keeper is not None:
            self._keeper.abandon(session_id)

    def deadline(self) -> float:
        """Give when an operation that begins now must be over, on the store's clock."""
        return self.opened().clock.monotonic() + self.options.operation_timeout

    def is_over(self, end: float) -> bool:
        """Say whether a deadline has passed."""
        return self.opened().clock.monotonic() >= end

    async def reach(self, operation: str, end: float | None = None) -> TreeStore:
        """Pass the switchboard, and give the store at a moment at which it can be reached.

        Suspends at least once, never after that moment.

        :param end: when the operation must be over; else it has the whole time from now.
        """
        store = self.opened()
        # A suspension also where nothing holds it up: a loop over calls can be cancelled and
        # starves nobody.
        await asyncio.sleep(0)
        if self.faults.in_the_way:
            now = store.clock.monotonic()
            left = self.options.operation_timeout if end is None else end - now
            with anyio.CancelScope() as scope:
                self._in_flight.add(scope)
                try:
                    await self.faults.before(operation, left)
                finally:
                    self._in_flight.discard(scope)
        session = self.session
        if session.state is not SessionState.LOST and store.live_session(session.id) is None:
            self._forgotten(session)
        return store

    def _forgotten(self, session: LiveSession) -> None:
        if self._keeper is not None:
            self._keeper.forgotten(session.id)

    async def read(
        self, operation: str, work: Callable[[TreeStore], ResultT], end: float | None = None
    ) -> ResultT:
        """Read from the store."""
        store = await self.reach(operation, end)
        result = work(store)
        self.faults.after(operation, wrote=False)
        return result

    @overload
    async def write(
        self, operation: str, change: Create | Update, end: float | None = None
    ) -> NodeStat: ...

    @overload
    async def write(self, operation: str, change: Delete, end: float | None = None) -> None: ...

    async def write(self, operation: str, change: NodeOperation, end: float | None = None) -> Any:
        """Apply one operation on a node."""
        return (await self.apply(operation, [change], _itself, end))[0]

    async def apply(
        self,
        operation: str,
        changes: Sequence[NodeOperation],
        refused: "Refused",
        end: float | None = None,
    ) -> list[NodeStat | None]:
        """Apply operations as one unit; ``refused`` gives the error when one of them is refused.

        With an ephemeral node among them it waits for a live session, and is tied to it.
        """
        end = self.deadline() if end is None else end
        ephemeral = any(isinstance(change, Create) and change.ephemeral for change in changes)
        while True:
            session = await self._live(end) if ephemeral else None
            store = await self.reach(operation, end)
            owner = None if session is None else self._owner_of_nodes(store, session)
            if session is None or owner is not None:
                return self._apply(operation, Edit(store), changes, owner, refused)

    async def _live(self, end: float) -> LiveSession:
        assert self._keeper is not None  # noqa: S101  # an owner that is open has made it
        return await self._keeper.live(end - self.opened().clock.monotonic())

    def _owner_of_nodes(self, store: TreeStore, session: LiveSession) -> StoredSession | None:
        """Give the session at the service if it still is the one that may own new nodes."""
        if session is not self.session or session.state is not SessionState.CONNECTED:
            return None
        return store.live_session(session.id)

    def _apply(
        self,
        operation: str,
        edit: Edit,
        changes: Sequence[NodeOperation],
        owner: StoredSession | None,
        refused: "Refused",
    ) -> list[NodeStat | None]:
        after_write = self.faults.inside(operation)
        stats: list[NodeStat | None] = []
        try:
            for index, change in enumerate(changes):
                try:
                    stats.append(edit.apply(change, owner))
                except BackendError as error:
                    ours = refused(index, error)
                    if ours is error:
                        raise
                    raise ours from error
                if after_write is not None:
                    after_write(index)
        except BaseException:
            edit.take_back()
            raise
        edit.commit()
        self.faults.after(operation, wrote=True)
        return stats


Refused = Callable[[int, BackendError], BackendError]


def _itself(index: int, error: BackendError) -> BackendError:
    return error
