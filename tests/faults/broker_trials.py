"""What a trial of a broker is: a scenario on a server that it may break, by one engine."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from asyncbackends import MessageBroker, Subscription, open_message_broker
from asyncbackends.opening import Opener
from tests.faults.broker_products import BrokerProduct, SeenConnection
from tests.faults.server_trials import Ending, ServerTrial
from tests.servers.server import Server

__all__ = (
    "ENGINES",
    "BrokerScenario",
    "BrokerTrial",
    "Ending",
    "RunBrokerTrial",
    "each_broker",
    "numbers",
)

ENGINES = ("rabbitmq", "nats")
QUEUE_AGE = 3.0

each_broker = pytest.mark.parametrize("engine", ENGINES)


@dataclass
class BrokerTrial(ServerTrial[Server]):
    """One scenario on one server, by one engine."""

    product: BrokerProduct

    def settings(self, server: Server | None = None, /, **others: Any) -> dict[str, Any]:
        """Give what opens a broker on the trial's server, or another one."""
        server = server or self.server
        self.secrets.add(server.password)
        # While a server is away, how long it takes to notice that it is back is up to us.
        own: dict[str, Any] = {"namespace": self.namespace, "reconnect_max": 0.2}
        return server.settings(**{**own, **others})

    def open(self, server: Server | None = None, /, **others: Any) -> Opener[MessageBroker]:
        """Open a broker of the trial's namespace."""
        return self.open_with(self.settings(server, **others))

    def open_with(self, settings: dict[str, Any]) -> Opener[MessageBroker]:
        """Open a broker with these settings."""
        return open_message_broker(**settings)

    async def refusal(self, server: Server | None = None, /, **others: Any) -> Ending:
        """Open a broker that cannot be opened."""

        async def opened() -> None:
            async with self.open(server, **others):
                pass

        ending = await self.ending(opened())
        assert ending.error is not None, "it was opened"
        return ending

    # What is done to the server; all of it blocks, so a thread does it.

    async def let_queues_age(self) -> None:
        """Wait before a kill: nothing that a client could do mends what it does to new queues.

        RabbitMQ 3.10 with one node never elects the leader of a quorum queue that was made in the
        seconds before (rabbitmq-server, issue 10070).
        """
        await asyncio.sleep(QUEUE_AGE if self.engine == "rabbitmq" else 0)

    async def driver_confirmed(self, exchange: str) -> float:
        """Wait until the driver alone has a message confirmed by the server; give the seconds."""
        began = time.monotonic()
        async with asyncio.timeout(60):
            while True:
                with suppress(Exception):  # each driver has its own
                    await self.product.publish(self.namespace, exchange)
                    return time.monotonic() - began
                await asyncio.sleep(0.01)

    async def connections(self) -> list[SeenConnection]:
        """Give the connections that the server sees of us."""
        return await self.fleet.do(self.product.connections)

    async def delete_queue(self, exchange: str, queue: str) -> None:
        """Delete a queue or consumer behind our back."""
        await self.fleet.do(self.product.delete_queue, self.namespace, exchange, queue)

    async def delete_exchange(self, exchange: str) -> None:
        """Delete an exchange or stream behind our back."""
        await self.fleet.do(self.product.delete_exchange, self.namespace, exchange)

    async def waiting(self, exchange: str, queue: str) -> int:
        """Count what the server has in a queue, handed out or not."""
        return await self.fleet.do(self.product.waiting, self.namespace, exchange, queue)

    async def is_drained(self, exchange: str, queue: str) -> None:
        """See that a queue has nothing left, once the last acks have come."""

        async def drained() -> bool:
            return await self.waiting(exchange, queue) == 0

        await self.settled(drained, f"{queue} is not empty")

    async def finish(self) -> None:
        """See that nothing is left on the server."""

        async def gone() -> bool:
            return not await self.connections()

        await self.revive()
        await self.settled(gone, "connections are left on the server")


async def numbers(deliveries: Subscription, count: int, *, patience: float = 20) -> list[int]:
    """Take so many deliveries, ack them, and give their ``n``."""
    found: list[int] = []
    async with asyncio.timeout(patience):
        while len(found) < count:
            delivery = await anext(aiter(deliveries))
            found.append(delivery["n"])
            await delivery.ack()
    return found


BrokerScenario: TypeAlias = Callable[[BrokerTrial], Coroutine[Any, Any, str]]
"""What is tried; it gives the figure for the promise."""

RunBrokerTrial: TypeAlias = Callable[[BrokerScenario], str]
"""Runs the scenario of a test, or gives what came of it, for the test's engine."""
