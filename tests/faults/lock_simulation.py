"""Clients of one lock on the memory engine, on a clock turned by hand, among random faults."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from uuid import uuid4

from asyncbackends import open_coordination
from asyncbackends.clock import ManualClock
from asyncbackends.errors import BackendError, InvalidRequestError
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.testing.recipes.lock_histories import FencedRegister, LockEvent
from asyncbackends_memory import coordination_faults

__all__ = ("MakeLock", "Simulation", "Spent")

PATH = "/devices/7"
TTL = 4.0
CLIENTS = 3
WORKERS_EACH = 2

LOSABLE = ("contend", "contend", "withdraw", "contenders", "renew_session", "open_session", "watch")

MakeLock = Callable[[DistributedCoordinationService, str], Lock]


class Spent(Exception):  # noqa: N818  # no error: somebody has done what it wanted
    """A body that ends early on purpose."""


class Simulation:
    """One history: workers that count up a register under a lock, and somebody who disturbs them.

    Everything is chosen by ``seed``; nothing waits in real time but for other tasks.
    """

    def __init__(self, seed: int, lock: MakeLock = Lock, *, fenced: bool = True) -> None:
        self.random = Random(seed)
        self.history: list[LockEvent] = []
        self.left: list[str] = []
        """What was still there at the end: contenders, and workers that did not end."""
        self._name = f"lock-history-{uuid4()}"
        self._clock = ManualClock()
        self._faults = coordination_faults(self._name)
        self._faults.clock = self._clock
        self._register = FencedRegister(self.history, fenced=fenced)
        self._make_lock = lock
        self._clients: list[DistributedCoordinationService] = []
        self._workers: list[asyncio.Task[None]] = []
        self._cancelled: list[asyncio.Task[None]] = []
        self._counting: list[asyncio.Task[None]] = []
        self._held: dict[int, Held] = {}
        self._over = False

    async def run(self, steps: int = 32) -> list[LockEvent]:
        """Let it happen."""
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS):
                opener = open_coordination(
                    engine="memory", endpoints=self._name, session_ttl=TTL, operation_timeout=2
                )
                self._clients.append(await stack.enter_async_context(opener))
            for number in range(CLIENTS * WORKERS_EACH):
                self._workers.append(asyncio.create_task(self._work(number)))
            try:
                for _ in range(steps):
                    self._disturb()
                    await self._clock.advance(self.random.choice([0.05, 0.3, 1.0, TTL / 2]))
                await self._calm_down()
            finally:
                self._faults.clear()
                tasks = [*self._workers, *self._cancelled, *self._counting]
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                self.left += map(str, await self._clients[0].contenders(PATH))
        return self.history

    async def _calm_down(self) -> None:
        """Everything works again: all must come to an end."""
        self._faults.clear()
        self._over = True
        for _ in range(200):
            workers = [*self._workers, *self._cancelled]
            if all(worker.done() for worker in workers):
                break
            await self._clock.advance(0.5)
        for worker in (*self._workers, *self._cancelled):
            if not worker.done():
                self.left.append(f"{worker.get_name()} is not over")
            elif not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    # The clients

    async def _work(self, number: int) -> None:
        lock = self._make_lock(self._clients[number % CLIENTS], PATH)
        while not self._over:
            with contextlib.suppress(BackendError, Spent):
                async with lock as held:
                    await self._body(number, held)
            await asyncio.sleep(0)
            await self._clock.sleep(self.random.choice([0.0, 0.1, 1.0]))

    async def _body(self, number: int, held: Held) -> None:
        self.history.append(LockEvent("acquired", held.fence))
        self._held[number] = held
        held.session.on_lost(lambda: self._lost(number, held))
        self._register.raise_to(held.fence)
        counting = asyncio.create_task(self._count(held.fence, self.random.randint(1, 4)))
        self._counting.append(counting)
        # What counts does not hear of a cancellation at once: it is in a process that is paused,
        # or in a thread; and it goes on with the fence that it was given.
        deaf = self.random.random() < 0.3
        await (asyncio.shield(counting) if deaf else counting)
        self._done(number, held)
        if self.random.random() < 0.1:
            raise Spent

    async def _count(self, fence: Fence, times: int) -> None:
        for _ in range(times):
            if self._over:
                return
            saw = self._register.value
            await self._clock.sleep(self.random.choice([0.0, 0.1, 0.5, TTL / 2, TTL]))
            # Once it is sent it arrives, whatever becomes of its sender.
            arrived = asyncio.Event()
            late = self.random.choice([0.0, 0.0, 0.0, 0.2, 1.0, TTL, 3 * TTL])
            self._clock.call_later(late, partial(self._arrive, fence, saw, arrived))
            await arrived.wait()

    def _arrive(self, fence: Fence, saw: int, arrived: asyncio.Event) -> None:
        self._register.write(fence, saw, saw + 1)
        arrived.set()

    def _lost(self, number: int, held: Held) -> None:
        if self._held.get(number) is held:
            self.history.append(LockEvent("lost", held.fence))
            del self._held[number]

    def _done(self, number: int, held: Held) -> None:
        if self._held.get(number) is held:
            self.history.append(LockEvent("released", held.fence))
            del self._held[number]

    # The disturbances

    def _disturb(self) -> None:
        faults, random = self._faults, self.random
        match random.randrange(14):
            case 0:
                faults.freeze_renewals()
            case 1 | 2:
                faults.thaw_renewals()
            case 3:
                faults.drop_connection()
            case 4 | 5 | 6:
                faults.restore_connection()
            case 7:
                faults.lose_reply(random.choice(LOSABLE), times=random.randint(1, 3))
            case 8:
                self._expire(random.choice(self._clients).session.id)
            case 9:
                faults.drop_events(random.randint(1, 4))
            case 10:
                self._clock.step_utc(random.choice([-3600.0, 3600.0, -0.5, 86_400.0]))
            case 11:
                self._cancel(random.randrange(len(self._workers)))
            case 12:
                faults.delay(random.choice([0.0, 0.0, 0.3]))
            case _:
                pass

    def _expire(self, session_id: str) -> None:
        """The service forgets a session before its time."""
        with contextlib.suppress(InvalidRequestError):
            self._faults.expire_session(session_id)
        for held in self._held.values():
            if held.session.id == session_id:
                self.history.append(LockEvent("forgotten", held.fence))

    def _cancel(self, number: int) -> None:
        """Somebody is cancelled, wherever it is, and another takes its place."""
        self._workers[number].cancel()
        held = self._held.pop(number, None)
        if held is not None:
            self.history.append(LockEvent("released", held.fence))
        self._cancelled.append(self._workers[number])
        self._workers[number] = asyncio.create_task(self._work(number))
