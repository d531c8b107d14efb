"""What the broker core costs per message: the wire confirms and delivers at once.

Publishing is measured over a link that confirms every write during the write, so that only the
core's own work is counted, beside the least that any client with confirms must do: a future per
message that the next turn of the loop resolves. Consuming is measured over the memory engine, its
queues included.
"""

import asyncio
import cProfile
import io
import pstats
from collections.abc import Mapping, Sequence
from functools import partial
from time import process_time
from typing import Any, Never
from unittest.mock import patch

from asyncbackends import SubscribeOptions, open_message_broker
from asyncbackends.broker.wire import (
    ConsumerEvents,
    ConsumingLink,
    LinkEvents,
    OutgoingMessage,
    PublishingEvents,
    PublishingLink,
    QueueDeclaration,
)
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.clock import SystemClock
from asyncbackends.errors import BackendError
from asyncbackends.options import BrokerOptions
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.messages import ExchangeKind
from tests.bench.rounds import interleaved, print_table

BODY = b"x" * 1024
DOCUMENT: Mapping[str, Any] = {f"key_{number}": "x" * 40 for number in range(20)}
OUTSTANDING = (1, 16, 1000)


class ConfirmingLink:
    """A link that costs nothing: what is written is confirmed."""

    writable = True

    def __init__(self, events: PublishingEvents) -> None:
        self._events = events
        self._sent = 0

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        self._sent += len(messages)
        self._events.confirmed(self._sent, up_to=True)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        return None

    async def close(self) -> None:
        return None


class IdleLink:
    """A link that nobody asks for anything."""

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        return None

    async def server_info(self) -> Never:
        raise NotImplementedError

    async def delete_exchange(self, name: str) -> None:
        raise NotImplementedError

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> Never:
        raise NotImplementedError

    async def delete_queue(self, name: str) -> None:
        raise NotImplementedError

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> Never:
        raise NotImplementedError

    async def close(self) -> None:
        return None


class ConfirmingWire:
    """A wire for publishing alone."""

    def __init__(self, endpoints: Sequence[str], options: BrokerOptions) -> None:
        self.clock = SystemClock()
        self.guarantees: frozenset[Guarantee] = frozenset()

    def error(self, exc: Exception) -> BackendError | None:
        return None

    async def open_publishing(self, endpoint: str, events: PublishingEvents) -> PublishingLink:
        return ConfirmingLink(events)

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> ConsumingLink:
        return IdleLink()

    async def close(self) -> None:
        return None


def confirming() -> WireBroker[BrokerOptions]:
    return WireBroker("bench", ["bench"], BrokerOptions(), ConfirmingWire, guarantees=frozenset())


async def _publishes(operations: int, message: bytes | Mapping[str, Any], outstanding: int) -> None:
    broker = confirming()
    await broker.connect()

    async def publisher() -> None:
        for _ in range(operations // outstanding):
            await broker.publish(message, exchange="events")

    await asyncio.gather(*(publisher() for _ in range(outstanding)))
    await broker.shutdown()


async def _publishes_nowait(operations: int) -> None:
    broker = confirming()
    await broker.connect()
    for _ in range(operations // 1000):
        for _ in range(1000):
            _ = broker.publish_nowait(BODY, exchange="events")
        await broker.flush()
    await broker.shutdown()


async def _futures(operations: int, outstanding: int) -> None:
    loop = asyncio.get_running_loop()

    async def waiter() -> None:
        for _ in range(operations // outstanding):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    await asyncio.gather(*(waiter() for _ in range(outstanding)))


async def consumed(operations: int, outstanding: int) -> float:
    """Give the CPU us per message to consume and ack what is in a queue already."""
    async with open_message_broker(
        engine="memory", endpoints="bench", outbox_messages=operations, outbox_bytes=2**30
    ) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "work")
        for _ in range(operations):
            _ = broker.publish_nowait(BODY, exchange="events")
        await broker.flush()
        began = process_time()
        options = SubscribeOptions(prefetch=outstanding)
        async with broker.subscribe("events", "work", options=options) as deliveries:
            left = operations
            async for delivery in deliveries:
                await delivery.ack()
                left -= 1
                if not left:
                    break
        return (process_time() - began) / operations * 1e6


def run() -> None:
    """Measure publishing and consuming with 1, 16 and 1 000 outstanding, and where the time goes."""
    # As an installation without the extra does.
    with patch("asyncbackends.observability.telemetry", None):
        for outstanding in OUTSTANDING:
            figures = interleaved(
                {
                    "a future each": partial(_futures, outstanding=outstanding),
                    "publish 1 KiB of bytes": partial(
                        _publishes, message=BODY, outstanding=outstanding
                    ),
                    "publish 1 KiB of JSON": partial(
                        _publishes, message=DOCUMENT, outstanding=outstanding
                    ),
                },
                operations=10_000,
            )
            print_table(f"broker core: {outstanding} outstanding", figures, "a future each")
        figures = interleaved(
            {
                "a future each": partial(_futures, outstanding=1000),
                "publish_nowait + flush": _publishes_nowait,
            },
            operations=10_000,
        )
        print_table("broker core: publish_nowait", figures, "a future each")
        print("\nbroker: consume + ack, memory engine included, 1 KiB")
        for outstanding in OUTSTANDING:
            rounds = sorted(asyncio.run(consumed(10_000, outstanding)) for _ in range(5))
            print(f"  prefetch {outstanding:5}: {rounds[2]:5.1f} us CPU per message (median of 5)")
        print_profile()
    figures = interleaved(
        {
            "a future each": partial(_futures, outstanding=16),
            "publish, opentelemetry-api there": partial(_publishes, message=BODY, outstanding=16),
        },
        operations=10_000,
    )
    print_table("broker core: with the extra telemetry, no SDK", figures, "a future each")


def print_profile() -> None:
    """Print where the time of publishing goes."""
    profile = cProfile.Profile()
    profile.enable()
    asyncio.run(_publishes(20_000, BODY, 16))
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(14)
    print("\nbroker: where the time of publish goes")
    print("\n".join(line for line in text.getvalue().splitlines() if line.strip())[:3000])
