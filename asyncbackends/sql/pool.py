"""The connections of an open database: kept, handed out, and replaced when they are lost."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Final

import anyio
from anyio.abc import TaskGroup

from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.observability import LinkStates
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.sql.dialing import Dialer
from asyncbackends.sql.server import Connection, SqlEngine

__all__ = ("Lease", "Pool")

LOOK: Final = 1.0
"""Seconds between looks whether idle connections are still there."""

CLOSING: Final = 0.75
"""Seconds that the good-byes at the end may take."""

GIVING_UP: Final = 1.0
"""Seconds that stopping a call on the server may take."""


class Lease:
    """A connection for the time of a block; leaving it never waits."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._connection = self._pool.idle_one() or await self._pool.next_one()
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.give_back(self._connection, exc)


class Pool:
    """At most ``pool_size`` connections, the last used first; who waits is served in order.

    While the link is in doubt the keeper alone dials, with full jitter, and callers wait for it
    until their own deadlines. A refusal that a second try cannot change ends this: every waiting
    and later caller gets it.
    """

    def __init__(
        self,
        engine: SqlEngine,
        endpoints: Sequence[str],
        options: ServerDatabaseOptions,
        links: LinkStates,
    ) -> None:
        self._engine = engine
        self._options = options
        self._links = links
        self._dialer = Dialer(engine, endpoints, options)
        self._idle: list[Connection] = []
        self._out: set[Connection] = set()
        self._opening = 0
        self._waiters: OrderedDict[asyncio.Future[Connection], None] = OrderedDict()
        self._group: TaskGroup | None = None
        self._doubtful = asyncio.Event()
        self._closing = False
        self._returned = asyncio.Event()
        self._given_up: str | None = None
        self.last_failure: BackendError | None = None
        """Why the link is down, or was the last time."""

    # What callers use.

    @property
    def is_down(self) -> bool:
        """Whether there is no connection, and none could be made the last time."""
        return self._links.status.state is ConnectionState.DISCONNECTED

    def connection(self) -> Lease:
        """Give a context manager of a connection; it waits as long as the caller lets it.

        :raises BackendError: in ``async with``: the refusal, or that the pool is closed.
        """
        return Lease(self)

    def idle_one(self) -> Connection | None:
        """Take an idle connection that is still there."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                self._out.add(connection)
                return connection
            connection.abort()
        return None

    async def next_one(self) -> Connection:
        """Wait in the queue for a connection."""
        if self._closing:
            raise _closed()
        if self._dialer.refusal is not None:
            raise _again(self._dialer.refusal)
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        self._grow()
        try:
            return await waiter
        except BaseException:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result(), None)
            raise

    def give_back(self, connection: Connection, error: BaseException | None) -> None:
        """Take a connection back, or let go of it where it cannot be used again."""
        self._out.discard(connection)
        if connection.reusable:
            self._hand_over(connection)
        else:
            self._let_go(connection, error)
        if self._closing and not self._out:
            self._refuse_waiters(_closed())
            self._returned.set()

    def timed_out(self) -> None:
        """Hear that the operation just given up met its deadline.

        What is idle at the same endpoint is suspect too.
        """
        endpoint, self._given_up = self._given_up, None
        if endpoint is None:
            return
        self._drop(endpoint)
        if not self._idle and not self._out:
            self._doubt(ConnectionFailedError(f"{endpoint} did not answer in time"))

    # Its life.

    async def open(self, group: TaskGroup) -> None:
        """Make first contact: every endpoint is tried once, within ``connect_timeout``.

        :param group: background work runs there.
        :raises ConnectionFailedError: none can be used; a refusal at once.
        """
        connection = await self._dialer.first()
        self._group = group
        self._arrived(connection)
        group.start_soon(self._keep)

    async def close(self, grace: float) -> None:
        """Say good-bye; what is in use may come back within ``grace`` seconds."""
        self._group = None
        self._closing = True
        if self._out:
            with anyio.move_on_after(grace):
                await self._returned.wait()
        self._refuse_waiters(_closed())
        late, idle = list(self._out), list(self._idle)
        self._idle.clear()
        for connection in late:
            connection.abort()
        async with anyio.create_task_group() as group:
            for connection in late:
                group.start_soon(self._give_up, connection, CLOSING)
            for connection in idle:
                group.start_soon(self._part, connection)

    # Inside: connections that come and go.

    def _arrived(self, connection: Connection) -> None:
        self._hand_over(connection)
        # Where the server takes no writes for now, a new connection does not change that.
        if self._links.status.state is not ConnectionState.BLOCKED:
            self._links.set(ConnectionState.CONNECTED, connection.endpoint)

    def _hand_over(self, connection: Connection) -> None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                self._out.add(connection)
                waiter.set_result(connection)
                return
        if self._dialer.refusal is None:
            self._idle.append(connection)
        else:
            connection.abort()

    def _let_go(self, connection: Connection, error: BaseException | None) -> None:
        connection.abort()
        if connection.read_only:
            self._drop(connection.endpoint)
        if isinstance(error, Exception) and self._lost(error):
            self._drop_dead()
            if not self._idle and not self._out:
                self._doubt(self._dialer.failure(connection.endpoint, error) or _gone(connection))
                return
        elif error is not None:
            self._given_up = connection.endpoint
            if self._group is not None:
                self._group.start_soon(self._give_up, connection, GIVING_UP)
        self._grow()

    def _lost(self, error: Exception) -> bool:
        return isinstance(error, ConnectionLostError) or self._engine.lost(error)

    def _drop_dead(self) -> None:
        dead = [connection for connection in self._idle if not connection.reusable]
        if dead:
            self._idle = [connection for connection in self._idle if connection.reusable]
            for connection in dead:
                connection.abort()

    def _drop(self, endpoint: str) -> None:
        dropped = [connection for connection in self._idle if connection.endpoint == endpoint]
        self._idle = [connection for connection in self._idle if connection.endpoint != endpoint]
        for connection in dropped:
            connection.abort()

    def _refuse_waiters(self, error: BackendError) -> None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(_again(error))

    async def _give_up(self, connection: Connection, seconds: float) -> None:
        # Where the group ends meanwhile it still has its time: nobody else stops the call.
        with anyio.CancelScope(shield=True), anyio.move_on_after(seconds):
            await self._leniently(connection.endpoint, connection.give_up())

    async def _part(self, connection: Connection) -> None:
        with anyio.move_on_after(CLOSING):
            await self._leniently(connection.endpoint, connection.close())
        connection.abort()

    async def _leniently(self, endpoint: str, step: Awaitable[None]) -> None:
        """Take a step at the end of a connection; that it is lost already is no trouble."""
        try:
            await step
        except Exception as error:
            if self._dialer.failure(endpoint, error) is None:
                raise

    # Inside: dialing.

    @property
    def _full(self) -> bool:
        live = len(self._idle) + len(self._out) + self._opening
        return live >= self._options.pool_size

    def _grow(self) -> None:
        """Dial for those that wait, unless the link is in doubt."""
        if self._group is None or self._doubtful.is_set():
            return
        # No more than there are already: whether the password still holds, one has to find out.
        most = max(1, len(self._idle) + len(self._out))
        while self._opening < min(most, len(self._waiters)) and not self._full:
            self._opening += 1
            self._group.start_soon(self._dial)

    async def _dial(self) -> None:
        try:
            connection = await self._dialer.another()
        except BackendError as error:
            self._opening -= 1
            self._doubt(error)
        except BaseException:
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            self._arrived(connection)
            self._grow()

    def _doubt(self, error: BackendError) -> None:
        """Let the keeper dial, and nobody else."""
        self.last_failure = error
        self._doubtful.set()
        if self._dialer.refusal is not None:
            self._refuse_waiters(self._dialer.refusal)
            for connection in self._idle:
                connection.abort()
            self._idle.clear()
        if not self._idle and not self._out and not self._closing:
            self._links.set(ConnectionState.DISCONNECTED, None, str(error))

    async def _keep(self) -> None:
        while self._dialer.refusal is None:
            with anyio.move_on_after(LOOK):
                await self._doubtful.wait()
            last = self._idle[-1] if self._idle else None
            self._drop_dead()
            if last is not None and not self._idle and not self._out:
                self._doubt(_gone(last))
            if self._doubtful.is_set():
                await self._reconnect()

    async def _reconnect(self) -> None:
        tries = 0
        # What is in use may still work, and serves who waits as it comes back.
        while self._dialer.refusal is None and (self._waiters or not (self._idle or self._out)):
            await asyncio.sleep(self._pause(tries))
            tries += 1
            # One that dials already finds out for all; it may have been refused meanwhile.
            if not (self._full or self._opening or self._dialer.refusal):
                failure = self.last_failure
                self._opening += 1
                await self._dial()
                if self.last_failure is failure:
                    break
        if self._dialer.refusal is None:
            self._doubtful.clear()
            self._grow()

    def _pause(self, tries: int) -> float:
        options = self._options
        ceiling = min(options.reconnect_max, options.reconnect_min * 2.0 ** min(tries, 60))
        return random.uniform(0, ceiling)  # noqa: S311  # spreads load, hides nothing


def _closed() -> BackendError:
    return BackendClosedError("the config database was closed meanwhile")


def _gone(connection: Connection) -> BackendError:
    return ConnectionLostError(f"{connection.endpoint} closed the connection")


def _again(error: BackendError) -> BackendError:
    """Give an error of its own to each who is to raise it."""
    again = type(error)(str(error))
    again.__cause__ = error
    return again
