"""Clients of one lock on a real server, among random faults of their links and of the server."""

import asyncio
import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.nodes import Ticket
from asyncbackends.testing.recipes.lock_histories import LockEvent
from tests.faults.coordination_trials import CoordinationTrial
from tests.faults.lock_workers import LockWorkers
from tests.faults.stepped_clock import ClockSteps
from tests.servers.proxy import Proxy
from tests.servers.server import CommandFailedError

__all__ = ("TTL", "RealHistory", "disturb_server")

TTL = 2.0
"""The shortest that there is."""
PACE = 1.0
CLIENTS = 3
WORKERS_EACH = 2
CALM = 30.0
"""Seconds in which everybody must come to an end, once everything works again."""
STEPS = (0.02, 0.1, 0.4, 1.0)


class RealHistory(LockWorkers):
    """One history in real time; what is done is chosen by ``seed``, when it has effect is not."""

    def __init__(self, trial: CoordinationTrial, seed: int) -> None:
        super().__init__(random.Random(seed), PACE)
        self.seed = seed
        self._trial = trial
        self._proxies: list[Proxy] = []
        self._orders: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, call))

    async def run(
        self,
        seconds: float,
        opening: asyncio.Lock,
        ready: asyncio.Barrier,
        calm: asyncio.Event,
    ) -> list[LockEvent]:
        """Let it happen for so long.

        :param opening: is held while a client is opened.
        :param ready: of all that use the server; nothing is disturbed before.
        :param calm: is set when the server is disturbed no more.
        """
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS):
                proxy = await stack.enter_async_context(Proxy(self._trial.server.endpoint))
                opener = self._trial.open(
                    endpoints=proxy.endpoint,
                    namespace=f"history_{self.seed}",
                    session_ttl=TTL,
                    link_timeout=TTL,
                    operation_timeout=TTL,
                    # Every login costs etcd a tenth of a second, whoever waits for it.
                    reconnect_max=1.0,
                )
                self._proxies.append(proxy)
                # Thirty logins at once keep etcd busy for longer than the ttl.
                async with opening:
                    self.clients.append(await stack.enter_async_context(opener))
            await ready.wait()
            for number in range(CLIENTS * WORKERS_EACH):
                self.workers.append(asyncio.create_task(self.work(number)))
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    self._disturb(self.random.choice(self._proxies))
                    await asyncio.sleep(self.random.choice(STEPS))
                self._restore()
                await calm.wait()
                await self._calm_down()
            finally:
                self._restore()
                for timer in self._timers:
                    timer.cancel()
                await self.end()
                if self._orders:
                    await asyncio.wait(self._orders)
        return self.history

    def _restore(self) -> None:
        for proxy in self._proxies:
            proxy.refuse = False
            proxy.pass_replies()
            proxy.thaw()

    async def _calm_down(self) -> None:
        self.over = True
        await asyncio.wait([*self.workers, *self.cancelled], timeout=CALM)
        self.look_for_failures()

    async def contenders(self) -> list[Ticket]:
        """Give who is still in the line, once the service is back for everybody."""
        end = time.monotonic() + CALM
        while True:
            try:
                return await super().contenders()
            except ConnectionLostError:
                if time.monotonic() > end:
                    raise

    def _disturb(self, proxy: Proxy) -> None:
        match self.random.randrange(14):
            case 0 | 1:
                proxy.freeze()
            case 2 | 3:
                proxy.refuse = False
                proxy.thaw()
            case 4:
                proxy.cut()
            case 5:
                proxy.refuse = True
                proxy.cut()
            case 6:
                proxy.drop_replies()
            case 7 | 8:
                # What was asked meanwhile is done, and nobody knows.
                proxy.pass_replies()
                proxy.cut()
            case 9:
                self._expire(self.random.choice(self.clients).session.id)
            case 10 | 11:
                self.cancel(self.random.randrange(len(self.workers)))
            case _:
                pass

    def _expire(self, session_id: str) -> None:
        """Let the server forget a session before its time, as soon as it hears of it."""
        self.doomed.add(session_id)
        self.forgotten(session_id)

        async def order() -> None:
            with contextlib.suppress(OSError, CommandFailedError, subprocess.SubprocessError):
                trial = self._trial
                namespace = f"history_{self.seed}"
                await trial.fleet.do(trial.product.expire, namespace, session_id)

        task = asyncio.create_task(order())
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)


async def disturb_server(
    trial: CoordinationTrial, seconds: float, seed: int, clock: ClockSteps
) -> dict[str, int]:
    """Freeze the server, kill it, set the clock; give how often each was done.

    It begins with what no session outlives.
    """
    chance = random.Random(seed)
    done = {"freezes": 0, "kills": 0, "clock steps": 0}
    end = time.monotonic() + seconds
    freezes = [2 * TTL]
    while time.monotonic() < end:
        await asyncio.sleep(chance.choice([0.5, 1.0, 2.0]))
        match chance.randrange(4) if done["freezes"] else 0:
            case 0:
                done["freezes"] += 1
                await trial.freeze()
                await asyncio.sleep(freezes.pop() if freezes else chance.choice([0.3, 1.0, TTL]))
                await trial.thaw()
            case 1:
                done["kills"] += 1
                await trial.kill()
                await asyncio.sleep(chance.choice([0.0, 0.5]))
                await trial.start()
            case _:
                done["clock steps"] += 1
                clock.step(chance.choice([-3600.0, 3600.0, -0.5, 86_400.0]))
    return done
