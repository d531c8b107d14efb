"""Two open clients of a service, in a loop of their own, and the watches on it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from asyncbackends.errors import BackendError
from asyncbackends.opening import open_coordination
from asyncbackends.protocols.coordination import Transaction
from asyncbackends.protocols.nodes import NodeEvent, NodeStat, WatchScope
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.coordination.feeds import Feed, Replay, drained
from asyncbackends.testing.coordination.fixtures import Coordination
from asyncbackends.testing.coordination_machine.model import Operation
from asyncbackends.testing.harness import AsyncioHarness

__all__ = ("Clients", "Follower", "answer_of", "note", "perform")

WRONG = 1_000_000
"""No version is so far from the present one."""


class Clients:
    """Clients by number, opened anew when they left."""

    def __init__(self, settings: Mapping[str, Any], count: int, patience: float) -> None:
        self._settings: dict[str, Any] = {**settings}
        self._runner = asyncio.Runner()
        self._opened: list[AsyncExitStack] = []
        self.harness = AsyncioHarness(patience)
        self.clients: list[Coordination] = []
        try:
            for _ in range(count):
                self.run(self._open(len(self.clients)))
        except BaseException:
            self.close()
            raise

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._runner.run(call)

    def __getitem__(self, number: int) -> Coordination:
        return self.clients[number]

    async def _open(self, number: int) -> None:
        async with AsyncExitStack() as stack:
            opener = open_coordination(**self._settings)
            client = await stack.enter_async_context(opener)
            self.clients[number : number + 1] = [client]
            self._opened[number : number + 1] = [stack.pop_all()]

    async def reopen(self, number: int) -> None:
        """Shut a client down, and open another in its place."""
        await self._opened[number].aclose()
        await self._open(number)

    def close(self) -> None:
        """Shut all down, and end the loop."""
        try:
            for stack in self._opened:
                self.run(stack.aclose())
        finally:
            self._runner.close()


class Follower:
    """Somebody who believes a watch."""

    def __init__(self, client: int, scope: WatchScope, path: str, present: Iterable[str]) -> None:
        self.client = client
        self.scope: WatchScope = scope
        self.path = path
        self._replay = Replay(present, top=path if scope == "tree" else None)
        self._told: list[NodeEvent | Gap] = []
        self._watch: AbstractAsyncContextManager[Feed] | None = None
        self._feed: Feed | None = None

    async def begin(self, client: Coordination, **how: Any) -> None:
        """Enter the watch."""
        self._watch = client.watch(self.path, scope=self.scope, **how)
        self._feed = await self._watch.__aenter__()

    async def end(self) -> None:
        """Leave the watch."""
        if self._watch is not None:
            await self._watch.__aexit__(None, None, None)

    async def take(self, harness: AsyncioHarness, count: int) -> None:
        """Believe up to so many events, if they have come."""
        assert self._feed is not None
        for _ in range(count):
            try:
                async with harness.deadline(0.002):
                    self._believe(await anext(self._feed))
            except TimeoutError:
                return

    async def catch_up(self, harness: AsyncioHarness, wanted: Mapping[str, bytes | None]) -> None:
        """Believe all, and hold what is believed against what is there."""
        assert self._feed is not None
        await self._drain(harness, 0.005)
        while not self._agrees(wanted):
            try:
                events = await harness.collect(self._feed, 1)
            except AssertionError as error:
                message = (
                    f"the watch of {self.scope} {self.path} ends with {self._replay.values}, and "
                    f"there is {dict(wanted)}; it told {self._told}"
                )
                raise AssertionError(message) from error
            self._believe(*events)
            await self._drain(harness, 0.005)

    async def _drain(self, harness: AsyncioHarness, seconds: float) -> None:
        assert self._feed is not None
        self._believe(*await drained(harness, self._feed, seconds))

    def _believe(self, *events: NodeEvent | Gap) -> None:
        for event in events:
            self._told.append(event)
            self._replay.take(event)

    def _agrees(self, wanted: Mapping[str, bytes | None]) -> bool:
        believed = self._replay.values
        return believed.keys() == wanted.keys() and all(
            value is None or wanted[path] in {None, value} for path, value in believed.items()
        )


async def answer_of(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Give the answer, or the error."""
    try:
        return await ask()
    except BackendError as error:
        assert not error.maybe_applied
        return error


def _version_of(operation: Operation, stat: NodeStat | None) -> int | None:
    present = 0 if stat is None else stat.version
    return {"any": None, "right": present, "wrong": present + WRONG}[operation.version]


async def perform(client: Coordination, operation: Operation) -> Any:
    """Do what was drawn; a check is a transaction of its own."""
    path, stat = operation.path, None
    if operation.version != "any":
        stat = await client.exists(path)
    version = _version_of(operation, stat)
    match operation.kind:
        case "create":
            return await client.create_node(
                path,
                operation.value,
                ephemeral=operation.ephemeral,
                make_parents=operation.make_parents,
            )
        case "update":
            return await client.update_node(path, operation.value, expected_version=version)
        case "delete":
            return await client.delete_node(path, operation.recursive, expected_version=version)
        case _:
            return await client.exists(path)


def note(transaction: Transaction, operation: Operation, stat: NodeStat | None) -> None:
    """Note what was drawn; ``stat`` is how the node is before the transaction."""
    path, version = operation.path, _version_of(operation, stat)
    match operation.kind:
        case "create":
            transaction.create(
                path,
                operation.value,
                ephemeral=operation.ephemeral,
                make_parents=operation.make_parents,
            )
        case "update":
            transaction.update(path, operation.value, expected_version=version)
        case "delete":
            transaction.delete(path, expected_version=version)
        case "check":
            transaction.check(path, version=0 if version is None else version)
        case "exists":
            transaction.check(path, exists=True)
        case _:
            transaction.check(path, exists=False)
