"""RabbitMQ's other clients, as their pages show them, on a queue that is there already.

Messages are persistent and confirmed everywhere. What is not equal: kombu waits for each confirm
before the next message, for it has no other way, and works in threads where it both publishes and
consumes; faststream also decodes the JSON of each message.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import aio_pika
import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

from tests.bench.broker_ours import publish_by_callers
from tests.bench.broker_rounds import BODY, PREFETCH, Publish, Receive, Work, body_number
from tests.bench.broker_sides import Peer

__all__ = ("AiormqQueue", "peers")

# It has no types.
kombu: Any = import_module("kombu")


def peers(url: str, exchange: str, queue: str) -> Mapping[str, Peer]:
    """Give the clients, the bare driver first."""
    raw, by_20 = Aiormq(url, exchange, queue), Aiormq(url, exchange, queue, acks_at_once=20)
    pika, stream = AioPika(url, exchange, queue), FastStream(url, exchange, queue)
    sync = Kombu(url, exchange, queue)
    return {
        "aiormq": Peer(raw.publish, raw.consume, raw.pair),
        "aiormq, acks by 20": Peer(None, by_20.consume, None),
        "aio-pika": Peer(pika.publish, pika.consume, pika.pair),
        "faststream": Peer(stream.publish, stream.consume, stream.pair),
        "kombu": Peer(sync.publish, sync.consume, sync.pair),
    }


class AiormqQueue:
    """The queue as seen from outside."""

    def __init__(self, channel: AbstractChannel, name: str) -> None:
        self._channel = channel
        self._name = name

    async def empty(self) -> None:
        """See :class:`tests.bench.broker_rounds.Queue`."""
        await self._channel.queue_purge(self._name)

    async def waiting(self) -> int:
        """See :class:`tests.bench.broker_rounds.Queue`."""
        return (await self._channel.queue_declare(self._name, passive=True)).message_count or 0


class Aiormq:
    """The bare driver: a callback that acks, and does not wait for the ack to be written."""

    def __init__(self, url: str, exchange: str, queue: str, acks_at_once: int = 1) -> None:
        self._url, self._exchange, self._queue = url, exchange, queue
        self._acks_at_once = acks_at_once

    @asynccontextmanager
    async def _channel(self) -> AsyncGenerator[AbstractChannel]:
        connection = await aiormq.connect(self._url)
        try:
            yield await connection.channel(publisher_confirms=True)
        finally:
            await connection.close()

    async def _send(self, channel: AbstractChannel, body: bytes = BODY) -> None:
        await channel.basic_publish(
            body,
            exchange=self._exchange,
            properties=aiormq.spec.Basic.Properties(delivery_mode=2),
        )

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        async with self._channel() as channel:
            yield lambda operations: publish_by_callers(lambda: self._send(channel), operations)

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        async with self._channel() as channel:

            async def work(operations: int) -> None:
                left = operations
                done = asyncio.Event()

                async def take(message: DeliveredMessage) -> None:
                    nonlocal left
                    left -= 1
                    if not left % self._acks_at_once:
                        await channel.basic_ack(
                            message.delivery_tag or 0, multiple=self._acks_at_once > 1, wait=False
                        )
                    if not left:
                        done.set()

                await channel.basic_qos(prefetch_count=PREFETCH)
                await channel.basic_consume(self._queue, take, consumer_tag="bench")
                await done.wait()
                await channel.basic_cancel("bench")

            yield work

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        async with self._channel() as publishing, self._channel() as consuming:

            async def take(message: DeliveredMessage) -> None:
                receive(body_number(message.body))
                await consuming.basic_ack(message.delivery_tag or 0, wait=False)

            await consuming.basic_qos(prefetch_count=PREFETCH)
            await consuming.basic_consume(self._queue, take, consumer_tag="bench")
            yield lambda body: self._send(publishing, body)
            await consuming.basic_cancel("bench")


class AioPika:
    """aio-pika with connections that come back by themselves, and its iterator."""

    def __init__(self, url: str, exchange: str, queue: str) -> None:
        self._url, self._exchange, self._queue = url, exchange, queue

    @asynccontextmanager
    async def _channel(self) -> AsyncGenerator[aio_pika.abc.AbstractChannel]:
        async with await aio_pika.connect_robust(self._url) as connection:
            yield await connection.channel(publisher_confirms=True)

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        async with self._channel() as channel:
            exchange = await channel.get_exchange(self._exchange)
            yield lambda operations: publish_by_callers(
                lambda: exchange.publish(_persistent(BODY), ""), operations
            )

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        async with self._channel() as channel:

            async def work(operations: int) -> None:
                await channel.set_qos(prefetch_count=PREFETCH)
                queue = await channel.get_queue(self._queue)
                left = operations
                async with queue.iterator() as messages:
                    async for message in messages:
                        await message.ack()
                        left -= 1
                        if not left:
                            break

            yield work

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        async with self._channel() as publishing, self._channel() as consuming:

            async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                receive(body_number(message.body))
                await message.ack()

            await consuming.set_qos(prefetch_count=PREFETCH)
            queue = await consuming.get_queue(self._queue)
            tag = await queue.consume(take)
            exchange = await publishing.get_exchange(self._exchange)
            yield lambda body: exchange.publish(_persistent(body), "")
            await queue.cancel(tag)


def _persistent(body: bytes) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        content_type="application/json",
    )


class FastStream:
    """faststream with its subscriber, which acks after the handler."""

    def __init__(self, url: str, exchange: str, queue: str) -> None:
        self._url = url
        self._exchange = RabbitExchange(exchange, type=ExchangeType.FANOUT, declare=False)
        self._queue = RabbitQueue(queue, declare=False)

    def _broker(self) -> RabbitBroker:
        return RabbitBroker(
            self._url, default_channel=Channel(prefetch_count=PREFETCH), logger=None
        )

    async def _send(self, broker: RabbitBroker, body: bytes = BODY) -> None:
        await broker.publish(
            body,
            exchange=self._exchange,
            persist=True,
            mandatory=False,
            content_type="application/json",
        )

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        broker = self._broker()
        await broker.start()
        try:
            yield lambda operations: publish_by_callers(lambda: self._send(broker), operations)
        finally:
            await broker.stop()

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        left = 0
        done = asyncio.Event()

        async def handle(body: dict[str, Any]) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        broker = self._broker()
        await broker.start()
        subscriber = self._subscriber(broker, handle)

        async def work(operations: int) -> None:
            nonlocal left
            left = operations
            await subscriber.start()
            await done.wait()
            await subscriber.stop()

        try:
            yield work
        finally:
            await broker.stop()

    def _subscriber(self, broker: RabbitBroker, handle: Any) -> Any:
        subscriber = broker.subscriber(self._queue, self._exchange)
        subscriber(handle)
        return subscriber

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        async def handle(body: dict[str, Any]) -> None:
            receive(int(body["number"]))

        consuming, publishing = self._broker(), self._broker()
        self._subscriber(consuming, handle)
        await consuming.start()
        await publishing.start()
        try:
            yield lambda body: self._send(publishing, body)
        finally:
            await consuming.stop()
            await publishing.stop()


class Kombu:
    """kombu, which knows no event loop."""

    def __init__(self, url: str, exchange: str, queue: str) -> None:
        self._url, self._exchange = url, exchange
        self._queue = kombu.Queue(queue, no_declare=True)

    def _connection(self) -> Any:
        return kombu.Connection(self._url, transport_options={"confirm_publish": True})

    def _send(self, producer: Any, body: bytes = BODY) -> None:
        producer.publish(
            body,
            exchange=self._exchange,
            routing_key="",
            delivery_mode=2,
            content_type="application/json",
            content_encoding="utf-8",
        )

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        with self._connection() as connection:
            producer = connection.Producer(auto_declare=False)

            async def work(operations: int) -> None:
                for _ in range(operations):
                    self._send(producer)

            yield work

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        with self._connection() as connection:

            async def work(operations: int) -> None:
                left = operations

                def take(message: Any) -> None:
                    nonlocal left
                    message.ack()
                    left -= 1

                with self._consumer(connection, take):
                    while left:
                        connection.drain_events(timeout=10)

            yield work

    def _consumer(self, connection: Any, take: Any) -> Any:
        return connection.Consumer(
            [self._queue], on_message=take, prefetch_count=PREFETCH, accept=["json"]
        )

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        stopped = False

        def take(message: Any) -> None:
            text = message.body
            receive(body_number(text.encode() if isinstance(text, str) else text))
            message.ack()

        def consume(consuming: Any) -> None:
            with self._consumer(consuming, take):
                while not stopped:
                    try:
                        consuming.drain_events(timeout=0.1)
                    except TimeoutError:
                        continue

        # A connection is for one thread at a time.
        one_at_a_time = asyncio.Lock()
        with self._connection() as publishing, self._connection() as consuming:
            producer = publishing.Producer(auto_declare=False)

            async def publish(body: bytes) -> None:
                async with one_at_a_time:
                    await asyncio.to_thread(self._send, producer, body)

            consumer = asyncio.create_task(asyncio.to_thread(consume, consuming))
            try:
                yield publish
            finally:
                stopped = True
                await consumer
