"""What the tests of the recipes share: clients of one memory tree, on a clock turned by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from asyncbackends import open_coordination
from asyncbackends.clock import ManualClock
from asyncbackends.protocols.coordination import DistributedCoordinationService, Session
from asyncbackends.protocols.nodes import NodeEvent, NodeValue, Ticket, WatchScope
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import Held, Lock
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends_memory import coordination_faults

__all__ = ("TTL", "Tree", "Waiter", "Watched", "contended", "settled", "until")

TTL = 10.0


class Tree:
    """One tree of the memory engine, whose time stands still until it is told."""

    def __init__(self) -> None:
        self.name = f"recipes-{uuid4()}"
        self.clock = ManualClock()
        self.faults = coordination_faults(self.name)
        self.faults.clock = self.clock
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.faults.clear()
        await self._stack.aclose()

    async def client(self, **options: Any) -> DistributedCoordinationService:
        """Open another client; it is shut down with the tree."""
        opener = open_coordination(engine="memory", endpoints=self.name, **options)
        return await self._stack.enter_async_context(opener)

    async def lose_session(self, client: DistributedCoordinationService) -> None:
        """Let the service forget a client's session, and the client notice."""
        lost = client.session
        self.faults.expire_session(lost.id)
        await self.clock.advance(TTL / 3 + 0.1)
        assert lost.lost.is_set()


class Watched:
    """The narrow contract of a lock over a client, with what it was asked."""

    def __init__(self, client: DistributedCoordinationService) -> None:
        self.client = client
        self.lists = 0
        self.watched: list[str] = []
        self.before_watch: Callable[[], Any] | None = None

    @property
    def session(self) -> Session:
        return self.client.session

    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        return await self.client.contend(path, value)

    async def contenders(self, path: str) -> list[Ticket]:
        self.lists += 1
        found = await self.client.contenders(path)
        if self.before_watch is not None:
            # What was read is old by the time that a watch begins.
            call, self.before_watch = self.before_watch, None
            await call()
        return found

    async def withdraw(self, ticket: Ticket) -> None:
        await self.client.withdraw(ticket)

    def watch(
        self,
        path: str,
        *,
        scope: WatchScope = "node",
        initial: bool = False,
        since: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]]:
        self.watched.append(path)
        return self.client.watch(path, scope=scope, initial=initial, since=since)


class Waiter:
    """A task that acquires a lock and holds it until it is told."""

    def __init__(self, lock: Lock) -> None:
        self.held: Held | None = None
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run(lock))

    async def _run(self, lock: Lock) -> None:
        async with lock as self.held:
            await self.leave.wait()

    async def end(self) -> None:
        """Release it."""
        self.leave.set()
        await self.task


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens without the clock's help."""

    async def met() -> bool:
        return condition()

    assert await AsyncioHarness(5).eventually(met)


async def contended(client: DistributedCoordinationService, path: str, count: int) -> None:
    """Wait until there are so many contenders, and each of them waits or holds."""

    async def all_there() -> bool:
        return len(await client.contenders(path)) == count

    assert await AsyncioHarness(5).eventually(all_there)
    await settled()


async def settled() -> None:
    """Give whoever can go on without the clock the time for it."""
    await asyncio.sleep(0.05)
