"""Clients of one lock on the memory engine, on a clock turned by hand, among random faults."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random
from uuid import uuid4

from asyncbackends import open_coordination
from asyncbackends.clock import ManualClock
from asyncbackends.errors import InvalidRequestError
from asyncbackends.recipes.lock import Lock
from asyncbackends.testing.recipes.lock_histories import LockEvent
from asyncbackends_memory import coordination_faults
from tests.faults.lock_workers import LockWorkers, MakeLock

__all__ = ("Simulation",)

TTL = 4.0
CLIENTS = 3
WORKERS_EACH = 2

LOSABLE = ("contend", "contend", "withdraw", "contenders", "renew_session", "open_session", "watch")


class Simulation(LockWorkers):
    """One history: workers that count up a register under a lock, and somebody who disturbs them.

    Everything is chosen by ``seed``; nothing waits in real time but for other tasks.
    """

    def __init__(self, seed: int, lock: MakeLock = Lock, *, fenced: bool = True) -> None:
        super().__init__(Random(seed), TTL, lock, fenced=fenced)
        self._name = f"lock-history-{uuid4()}"
        self._clock = ManualClock()
        self._faults = coordination_faults(self._name)
        self._faults.clock = self._clock

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._clock.call_later(seconds, call)

    async def run(self, steps: int = 32) -> list[LockEvent]:
        """Let it happen."""
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS):
                opener = open_coordination(
                    engine="memory", endpoints=self._name, session_ttl=TTL, operation_timeout=2
                )
                self.clients.append(await stack.enter_async_context(opener))
            for number in range(CLIENTS * WORKERS_EACH):
                self.workers.append(asyncio.create_task(self.work(number)))
            try:
                for _ in range(steps):
                    self._disturb()
                    await self._clock.advance(self.random.choice([0.05, 0.3, 1.0, TTL / 2]))
                await self._calm_down()
            finally:
                self._faults.clear()
                await self.end()
        return self.history

    async def _calm_down(self) -> None:
        """Everything works again: all must come to an end."""
        self._faults.clear()
        self.over = True
        for _ in range(200):
            if self.everybody_is_done():
                break
            await self._clock.advance(0.5)
        self.look_for_failures()

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
                self._expire(random.choice(self.clients).session.id)
            case 9:
                faults.drop_events(random.randint(1, 4))
            case 10:
                self._clock.step_utc(random.choice([-3600.0, 3600.0, -0.5, 86_400.0]))
            case 11:
                self.cancel(random.randrange(len(self.workers)))
            case 12:
                faults.delay(random.choice([0.0, 0.0, 0.3]))
            case _:
                pass

    def _expire(self, session_id: str) -> None:
        """The service forgets a session before its time."""
        with contextlib.suppress(InvalidRequestError):
            self._faults.expire_session(session_id)
        self.forgotten(session_id)
