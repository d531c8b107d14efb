"""Our side of the brokers' benchmarks, the same for every engine."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from asyncbackends import MessageBroker, SubscribeOptions, open_message_broker
from asyncbackends.protocols.messages import Message, Receipt
from tests.bench.broker_rounds import (
    BODY,
    PREFETCH,
    WINDOW,
    Client,
    Publish,
    Receive,
    Work,
    body_number,
)

__all__ = ("NAMESPACE", "Ours", "publish_by_callers")

NAMESPACE = "bench"


class Ours:
    """The engine's clients for one of its queues."""

    def __init__(self, settings: Mapping[str, Any], exchange: str, queue: str) -> None:
        self._settings = {**settings, "namespace": NAMESPACE}
        self._exchange = exchange
        self._queue = queue

    def broker(self, **options: Any) -> Any:
        """Open the engine."""
        return open_message_broker(**{**self._settings, **options})

    def callers(self, message: Message = BODY) -> Client:
        """Give what publishes by as many callers as may wait for a confirm."""

        async def work(broker: MessageBroker, operations: int) -> None:
            await publish_by_callers(
                lambda: broker.publish(message, exchange=self._exchange), operations
            )

        return self._client(work)

    def window(self, message: Message = BODY) -> Client:
        """Give what publishes without waiting, until as many wait as may."""

        async def work(broker: MessageBroker, operations: int) -> None:
            receipts: deque[Receipt] = deque()
            for _ in range(operations):
                if len(receipts) == WINDOW:
                    await receipts.popleft()
                receipts.append(broker.publish_nowait(message, exchange=self._exchange))
            for receipt in receipts:
                await receipt

        return self._client(work)

    def consumer(self) -> Client:
        """Give what takes and acks."""

        async def work(broker: MessageBroker, operations: int) -> None:
            options = SubscribeOptions(prefetch=PREFETCH)
            async with broker.subscribe(self._exchange, self._queue, options=options) as deliveries:
                left = operations
                async for delivery in deliveries:
                    await delivery.ack()
                    left -= 1
                    if not left:
                        break

        return self._client(work)

    def _client(self, work: Callable[[MessageBroker, int], Awaitable[None]]) -> Client:
        @asynccontextmanager
        async def client() -> AsyncGenerator[Work]:
            async with self.broker() as broker:
                yield lambda operations: work(broker, operations)

        return client

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        """Publish and consume."""
        async with (
            self.broker() as broker,
            broker.subscribe(self._exchange, self._queue) as deliveries,
            asyncio.TaskGroup() as group,
        ):

            async def consume() -> None:
                async for delivery in deliveries:
                    receive(body_number(delivery.body))
                    await delivery.ack()

            consumer = group.create_task(consume())
            yield lambda body: broker.publish(body, exchange=self._exchange)
            consumer.cancel()


async def publish_by_callers(publish: Callable[[], Awaitable[object]], operations: int) -> None:
    """Publish by as many callers as may wait for a confirm, each of which waits for its own."""

    async def caller(count: int) -> None:
        for _ in range(count):
            await publish()

    share, more = divmod(operations, WINDOW)
    await asyncio.gather(*(caller(share + (number < more)) for number in range(WINDOW)))
