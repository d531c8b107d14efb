"""NATS's other clients, as their pages show them, on a stream and a consumer that are there already.

What is not equal: nats-py alone gives a message no id unless it is told to, so a second sending
would be stored twice; faststream also decodes the JSON of each message, and takes it in batches.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import count
from secrets import token_hex
from typing import Any

from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from tests.bench.broker_ours import publish_by_callers
from tests.bench.broker_rounds import BODY, PREFETCH, WINDOW, Publish, Receive, Work, body_number
from tests.bench.broker_sides import Peer

__all__ = ("JetStreamQueue", "connected", "peers")

# Its types leave gaps.
nats: Any = import_module("nats")

RAW = "nats-py"


def peers(url: str, subject: str, stream: str, consumer: str) -> Mapping[str, Peer]:
    """Give the clients, the bare driver first."""
    bare = NatsPy(url, subject, stream, consumer)
    framework = FastStream(url, subject, stream, consumer)
    return {
        RAW: Peer(bare.publish, bare.consume, bare.pair),
        "nats-py with ids": Peer(bare.publish_with_ids, None, None),
        "nats-py fetch": Peer(None, bare.fetch, None),
        "faststream": Peer(framework.publish, framework.consume, framework.pair),
    }


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """Give a client of the bare driver."""
    client = await nats.connect(url)
    try:
        yield client
    finally:
        await client.close()


class JetStreamQueue:
    """The queue as seen from outside."""

    def __init__(self, streams: JetStreamContext, stream: str, consumer: str) -> None:
        self._streams, self._stream, self._consumer = streams, stream, consumer

    async def empty(self) -> None:
        """See :class:`tests.bench.broker_rounds.Queue`."""
        await self._streams.purge_stream(self._stream)

    async def waiting(self) -> int:
        """See :class:`tests.bench.broker_rounds.Queue`."""
        found = await self._streams.consumer_info(self._stream, self._consumer)
        return (found.num_pending or 0) + (found.num_ack_pending or 0)


class StandingPull:
    """The least that a consumer must do: one request that is renewed when half of it came."""

    def __init__(self, client: Any, stream: str, consumer: str) -> None:
        self._client = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._half = PREFETCH // 2
        self._taken = 0

    async def start(self, take: Callable[[bytes], None]) -> Any:
        """Begin; each message is acked after it was taken."""

        async def received(message: Msg) -> None:
            # What has no address to answer to tells of the request, not of a message.
            if not message.reply:
                return
            take(message.data)
            await self._client.publish(message.reply, b"+ACK")
            self._taken += 1
            if self._taken == self._half:
                self._taken = 0
                await self._ask(self._half)

        subscription = await self._client.subscribe(
            self._inbox, cb=received, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await self._ask(PREFETCH)
        return subscription

    async def _ask(self, batch: int) -> None:
        request = {"batch": batch, "expires": 300_000_000_000}
        await self._client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)


class NatsPy:
    """The bare driver."""

    def __init__(self, url: str, subject: str, stream: str, consumer: str) -> None:
        self._url, self._subject = url, subject
        self._stream, self._consumer = stream, consumer
        self._ids = (f"{token_hex(12)}-{number}" for number in count(1))

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        async with connected(self._url) as client:
            streams = client.jetstream(publish_async_max_pending=WINDOW)

            async def work(operations: int) -> None:
                for _ in range(operations):
                    await streams.publish_async(self._subject, BODY)
                await streams.publish_async_completed()

            yield work

    @asynccontextmanager
    async def publish_with_ids(self) -> AsyncGenerator[Work]:
        async with connected(self._url) as client:
            streams = client.jetstream(publish_async_max_pending=WINDOW)

            async def work(operations: int) -> None:
                for _ in range(operations):
                    headers = {"Nats-Msg-Id": next(self._ids)}
                    await streams.publish_async(self._subject, BODY, headers=headers)
                await streams.publish_async_completed()

            yield work

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        async with connected(self._url) as client:

            async def work(operations: int) -> None:
                left = operations
                done = asyncio.Event()

                def take(_: bytes) -> None:
                    nonlocal left
                    left -= 1
                    if not left:
                        done.set()

                pull = StandingPull(client, self._stream, self._consumer)
                subscription = await pull.start(take)
                await done.wait()
                await subscription.unsubscribe()
                await client.flush()

            yield work

    @asynccontextmanager
    async def fetch(self) -> AsyncGenerator[Work]:
        async with connected(self._url) as client:
            streams = client.jetstream()

            async def work(operations: int) -> None:
                subscription = await streams.pull_subscribe_bind(self._consumer, self._stream)
                left = operations
                while left:
                    messages = await subscription.fetch(min(left, PREFETCH), timeout=5)
                    for message in messages:
                        await message.ack()
                    left -= len(messages)
                await subscription.unsubscribe()
                await client.flush()

            yield work

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        async with connected(self._url) as publishing, connected(self._url) as consuming:
            pull = StandingPull(consuming, self._stream, self._consumer)

            def take(body: bytes) -> None:
                receive(body_number(body))

            subscription = await pull.start(take)
            streams = publishing.jetstream(publish_async_max_pending=WINDOW)

            async def publish(body: bytes) -> None:
                await (await streams.publish_async(self._subject, body))

            yield publish
            await subscription.unsubscribe()
            await consuming.flush()


class FastStream:
    """faststream with its subscriber, which acks after the handler."""

    def __init__(self, url: str, subject: str, stream: str, consumer: str) -> None:
        self._url, self._subject, self._consumer = url, subject, consumer
        self._stream = JStream(stream, declare=False)

    @asynccontextmanager
    async def _broker(self) -> AsyncGenerator[NatsBroker]:
        broker = NatsBroker(self._url, logger=None)
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()

    def _subscriber(self, broker: NatsBroker, handle: Any) -> Any:
        subscriber = broker.subscriber(
            self._subject,
            durable=self._consumer,
            stream=self._stream,
            pull_sub=PullSub(batch_size=PREFETCH, timeout=5.0),
        )
        subscriber(handle)
        return subscriber

    async def _send(self, broker: NatsBroker, body: bytes = BODY) -> None:
        await broker.publish(body, self._subject, stream=self._stream.name)

    @asynccontextmanager
    async def publish(self) -> AsyncGenerator[Work]:
        async with self._broker() as broker:
            yield lambda operations: publish_by_callers(lambda: self._send(broker), operations)

    @asynccontextmanager
    async def consume(self) -> AsyncGenerator[Work]:
        left = 0
        done = asyncio.Event()

        async def handle(body: dict[str, Any]) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        async with self._broker() as broker:
            subscriber = self._subscriber(broker, handle)

            async def work(operations: int) -> None:
                nonlocal left
                left = operations
                await subscriber.start()
                await done.wait()
                await subscriber.stop()

            yield work

    @asynccontextmanager
    async def pair(self, receive: Receive) -> AsyncGenerator[Publish]:
        async def handle(body: dict[str, Any]) -> None:
            receive(int(body["number"]))

        async with self._broker() as consuming, self._broker() as publishing:
            subscriber = self._subscriber(consuming, handle)
            await subscriber.start()
            yield lambda body: self._send(publishing, body)
            await subscriber.stop()
