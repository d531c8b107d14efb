"""What a trial of a coordination service is: a scenario on a server that it may break."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from asyncbackends import DistributedCoordinationService, open_coordination
from asyncbackends.opening import Opener
from asyncbackends.protocols.coordination import Session, SessionState
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from tests.faults.coordination_products import CoordinationProduct, seen_connections
from tests.faults.server_trials import Ending, ServerTrial
from tests.servers.server import Server

__all__ = (
    "ENGINES",
    "CoordinationScenario",
    "CoordinationTrial",
    "RunCoordinationTrial",
    "Seen",
    "beside",
    "each_coordination",
)

ENGINES = ("zookeeper", "etcd", "nats")

each_coordination = pytest.mark.parametrize("engine", ENGINES)


@dataclass
class CoordinationTrial(ServerTrial[Server]):
    """One scenario on one server, by one engine."""

    product: CoordinationProduct
    known_before: set[str]
    """Sessions that a trial before this one left behind."""

    def settings(self, server: Server | None = None, /, **others: Any) -> dict[str, Any]:
        """Give what opens a service on the trial's server, or another one."""
        server = server or self.server
        self.secrets.add(server.password)
        own: dict[str, Any] = {
            "namespace": self.namespace,
            # While a server is away, how long it takes to notice that it is back is up to us.
            "reconnect_max": 0.2,
            # ZooKeeper has no accounts: whoever brings a name and a password has them.
            "username": server.username,
            "password": server.password,
        }
        if self.engine == "zookeeper":
            own["acl"] = "creator"
        return server.settings(**{**own, **others})

    def open(
        self, server: Server | None = None, /, **others: Any
    ) -> Opener[DistributedCoordinationService]:
        """Open a service of the trial's namespace."""
        return open_coordination(**self.settings(server, **others))

    async def refusal(self, server: Server | None = None, /, **others: Any) -> Ending:
        """Open a service that cannot be opened."""

        async def opened() -> None:
            async with self.open(server, **others):
                pass

        ending = await self.ending(opened())
        assert ending.error is not None, "it was opened"
        return ending

    async def expire(self, session_id: str) -> None:
        """Let the server forget a session behind our back."""
        await self.fleet.do(self.product.expire, self.namespace, session_id)

    async def sessions(self) -> set[str]:
        """Give the sessions that the server knows."""
        return await self.fleet.do(self.product.sessions, self.namespace)

    async def stored(self) -> int:
        """Count what the server keeps for us."""
        return await self.fleet.do(self.product.stored, self.namespace)

    async def watches(self) -> int:
        """Count who is told of changes."""
        return await self.fleet.do(self.product.watches, self.namespace)

    async def connections(self) -> int:
        """Count the connections to the server."""
        return await self.fleet.do(seen_connections, self.server)

    async def session_is(
        self, session: Session, state: SessionState, *, patience: float = 10
    ) -> float:
        """Wait for a state of a session; give the seconds it took."""

        async def is_so() -> bool:
            return session.state is state

        return await self.settled(is_so, f"not {state}", patience=patience)

    async def new_session(self, client: DistributedCoordinationService, old: Session) -> None:
        """Wait for a session that is another one than the lost one, and live."""

        async def is_there() -> bool:
            now = client.session
            return now.id != old.id and now.state is SessionState.CONNECTED

        await self.settled(is_there, "no new session", patience=10)
        assert old.state is SessionState.LOST

    async def finish(self) -> None:
        """See that nothing is left on the server."""

        async def gone() -> bool:
            return not await self.connections()

        await self.revive()
        await self.settled(gone, "connections are left on the server")
        sessions = await self.sessions() - self.known_before
        assert not sessions, f"sessions are left: {sessions}"


@dataclass
class Seen:
    """What a watch tells, replayed: the values that are there by it, and its Gaps."""

    values: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    gaps: list[Gap] = field(default_factory=list[Gap])
    events: list[NodeEvent] = field(default_factory=list[NodeEvent])
    mistakes: list[str] = field(default_factory=list[str])
    _revision: int = 0

    async def follow(
        self, watch: AbstractAsyncContextManager[AsyncIterator[NodeEvent | Gap]]
    ) -> None:
        """Take in what it tells until this is cancelled."""
        async with watch as events:
            await self.take_from(events)

    async def take_from(self, events: AsyncIterator[NodeEvent | Gap]) -> None:
        """Take in what an open watch tells."""
        async for event in events:
            self.take(event)

    def take(self, event: NodeEvent | Gap) -> None:
        """Take in one event."""
        if isinstance(event, Gap):
            self.gaps.append(event)
            # What is there comes again, and what is not told then is gone.
            self.values.clear()
            self._revision = 0
            return
        self.events.append(event)
        if event.revision is not None:
            if event.revision < self._revision:
                self.mistakes.append(f"{event} after revision {self._revision}")
            self._revision = event.revision
        if event.kind == "deleted":
            if self.values.pop(event.path, self) is self:
                self.mistakes.append(f"{event.path} was deleted and never there")
        else:
            if (event.kind == "created") is (event.path in self.values):
                self.mistakes.append(f"{event.path} was {event.kind} out of turn")
            self.values[event.path] = event.value

    async def shows(self, paths: set[str], *, patience: float = 10) -> None:
        """Wait until exactly these nodes are there."""
        end = time.monotonic() + patience
        while (there := self.values.keys()) != paths:
            if time.monotonic() > end:
                few, many = sorted(paths - there)[:9], sorted(there - paths)[:9]
                pytest.fail(f"the watch shows too few: {few}, too many: {many}")
            await asyncio.sleep(0.01)
        assert not self.mistakes, self.mistakes[:5]


@asynccontextmanager
async def beside(*work: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
    """Do something meanwhile that has no end of its own; what it fails with is raised at the end.

    Where the body fails, too, both are: the one is often why the other happened.
    """
    tasks = [asyncio.create_task(one) for one in work]
    failures: list[Exception] = []
    try:
        yield
    except Exception as error:  # noqa: BLE001  # it is raised again, with what failed beside it
        failures.append(error)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    ends = [task.exception() for task in tasks if not task.cancelled()]
    failures += [end for end in ends if isinstance(end, Exception)]
    if len(failures) > 1:
        raise ExceptionGroup("the scenario failed, or what ran beside it", failures)
    if failures:
        raise failures[0]


CoordinationScenario: TypeAlias = Callable[[CoordinationTrial], Coroutine[Any, Any, str]]
"""What is tried; it gives the figure for the promise."""

RunCoordinationTrial: TypeAlias = Callable[[CoordinationScenario], str]
"""Runs the scenario of a test, or gives what came of it, for the test's engine."""
