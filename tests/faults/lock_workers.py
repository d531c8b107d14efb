"""Workers that count up a register under one lock, and what they record of it."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from random import Random

from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.nodes import Ticket
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.testing.recipes.lock_histories import FencedRegister, LockEvent

__all__ = ("LockWorkers", "MakeLock", "Spent")

PATH = "/devices/7"

MakeLock = Callable[[DistributedCoordinationService, str], Lock]


class Spent(Exception):  # noqa: N818  # no error: somebody has done what it wanted
    """A body that ends early on purpose."""


class LockWorkers(ABC):
    """One history, as its workers make it; what disturbs them, and what time is, others say.

    :param chance: decides what they do.
    """

    def __init__(
        self, chance: Random, ttl: float, make_lock: MakeLock = Lock, *, fenced: bool = True
    ) -> None:
        self.random = chance
        self.history: list[LockEvent] = []
        self.left: list[str] = []
        """What was still there at the end: contenders, and workers that did not end."""
        self.clients: list[DistributedCoordinationService] = []
        self.workers: list[asyncio.Task[None]] = []
        self.cancelled: list[asyncio.Task[None]] = []
        self.counting: list[asyncio.Task[None]] = []
        self.over = False
        self.doomed: set[str] = set()
        """Sessions that the service was asked to forget, and may have forgotten or not."""
        self._held: dict[int, Held] = {}
        self._ttl = ttl
        self._register = FencedRegister(self.history, fenced=fenced)
        self._make_lock = make_lock

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something when that time has passed."""

    async def work(self, number: int) -> None:
        """Hold the lock again and again."""
        lock = self._make_lock(self.clients[number % len(self.clients)], PATH)
        while not self.over:
            with contextlib.suppress(BackendError, Spent):
                async with lock as held:
                    await self._body(number, held)
            await asyncio.sleep(0)
            await self.sleep(self.random.choice([0.0, 0.1, 1.0]))

    async def _body(self, number: int, held: Held) -> None:
        self.history.append(LockEvent("acquired", held.fence))
        self._held[number] = held
        if held.session.id in self.doomed:
            self.forgotten(held.session.id)
        held.session.on_lost(lambda: self._lost(number, held))
        self._register.raise_to(held.fence)
        counting = asyncio.create_task(self._count(held.fence, self.random.randint(1, 4)))
        self.counting.append(counting)
        # What counts does not hear of a cancellation at once: it is in a process that is paused,
        # or in a thread; and it goes on with the fence that it was given.
        deaf = self.random.random() < 0.3
        await (asyncio.shield(counting) if deaf else counting)
        self._done(number, held)
        if self.random.random() < 0.1:
            raise Spent

    async def _count(self, fence: Fence, times: int) -> None:
        for _ in range(times):
            if self.over:
                return
            saw = self._register.value
            await self.sleep(self.random.choice([0.0, 0.1, 0.5, self._ttl / 2, self._ttl]))
            # Once it is sent it arrives, whatever becomes of its sender.
            arrived = asyncio.Event()
            late = self.random.choice([0.0, 0.0, 0.0, 0.2, 1.0, self._ttl, 3 * self._ttl])
            self.call_later(late, partial(self._arrive, fence, saw, arrived))
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

    def forgotten(self, session_id: str) -> None:
        """Note that the service forgets a session before its time."""
        for held in self._held.values():
            if held.session.id == session_id:
                self.history.append(LockEvent("forgotten", held.fence))

    def cancel(self, number: int) -> None:
        """Cancel somebody, wherever it is; another takes its place."""
        self.workers[number].cancel()
        held = self._held.pop(number, None)
        if held is not None:
            self.history.append(LockEvent("released", held.fence))
        self.cancelled.append(self.workers[number])
        self.workers[number] = asyncio.create_task(self.work(number))

    def everybody_is_done(self) -> bool:
        """Say whether all workers have ended."""
        return all(worker.done() for worker in (*self.workers, *self.cancelled))

    def look_for_failures(self) -> None:
        """Raise what a worker failed with; note who has not ended."""
        for worker in (*self.workers, *self.cancelled):
            if not worker.done():
                self.left.append(f"{worker.get_name()} is not over")
            elif not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    async def end(self) -> None:
        """End all tasks; note who is still contending."""
        tasks = [*self.workers, *self.cancelled, *self.counting]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self.left += map(str, await self.contenders())

    async def contenders(self) -> list[Ticket]:
        """Give who is still in the line."""
        return await self.clients[0].contenders(PATH)
