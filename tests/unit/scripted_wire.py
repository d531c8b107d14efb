"""A wire whose links do what a test tells them, also what a driver should not do."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from asyncbackends.backoff import Backoff
from asyncbackends.broker.wire import (
    Answer,
    ConsumerEvents,
    DeclaredQueue,
    IncomingMessage,
    LinkEvents,
    OutgoingMessage,
    PublishingEvents,
    QueueDeclaration,
    Wire,
)
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.clock import Clock, SystemClock
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.options import BrokerOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.messages import ExchangeKind, QueueOptions

__all__ = (
    "GONE",
    "DriverError",
    "ScriptedConsumer",
    "ScriptedConsuming",
    "ScriptedPublishing",
    "ScriptedWire",
    "incoming",
    "opened",
    "running",
    "turns",
    "until",
)

GONE = ConnectionLostError("the test cut the link")


class DriverError(Exception):
    """What a driver raises; its cause is the error that it is mapped to."""

    def __init__(self, meaning: BackendError) -> None:
        super().__init__(f"driver: {meaning}")
        self.meaning = meaning


def incoming(message_id: str, count: int = 1, token: Any = None) -> IncomingMessage:
    return IncomingMessage(
        token or message_id,
        "e",
        "",
        b"{}",
        {},
        message_id,
        None,
        None,
        None,
        None,
        count > 1,
        count,
    )


class ScriptedConsumer:
    """Notes its answers; it is there until it is closed or its link is gone."""

    def __init__(self, link: "ScriptedConsuming", queue: str, events: ConsumerEvents) -> None:
        self.link = link
        self.queue = queue
        self.events = events
        self.answers: list[Answer] = []

    def settle(self, answers: Sequence[Answer]) -> None:
        self.answers += answers

    async def close(self) -> None:
        await self.link.step("close_consumer")
        self.link.consumers.pop(self, None)


class ScriptedConsuming:
    """A consuming link; ``steps`` says what happens in an operation."""

    def __init__(self, wire: "ScriptedWire", events: LinkEvents) -> None:
        self.wire = wire
        self.events = events
        self.consumers: dict[ScriptedConsumer, None] = {}
        self.closed = False

    async def step(self, operation: str) -> None:
        self.wire.calls.append(operation)
        await self.wire.step(operation)

    def lose(self) -> None:
        self.consumers.clear()
        self.events.lost(GONE)

    async def server_info(self) -> ServerInfo:
        await self.step("server_info")
        return ServerInfo("scripted", "1")

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self.step("create_exchange")

    async def delete_exchange(self, name: str) -> None:
        await self.step("delete_exchange")

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        created = queue.name not in self.wire.queues
        self.wire.queues[queue.name] = None
        await self.step("declare_queue")
        return DeclaredQueue(self.wire.options, created)

    async def delete_queue(self, name: str) -> None:
        await self.step("delete_queue")
        self.wire.queues.pop(name, None)

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> ScriptedConsumer:
        await self.step("consume")
        if self.closed:
            raise GONE
        consumer = ScriptedConsumer(self, queue, events)
        self.consumers[consumer] = None
        await self.step("consumed")
        return consumer

    async def close(self) -> None:
        self.closed = True
        self.consumers.clear()
        await self.step("close_consuming")


class ScriptedPublishing:
    """A publishing link that notes what is sent, and confirms it if the wire ``confirms``."""

    def __init__(self, wire: "ScriptedWire", events: PublishingEvents) -> None:
        self.wire = wire
        self.events = events
        self.sent: list[OutgoingMessage] = []
        self.closed = False

    @property
    def writable(self) -> bool:
        return True

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        self.sent += messages
        if self.wire.confirms:
            self.events.confirmed(len(self.sent), up_to=True)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self.wire.step("create_exchange")

    async def close(self) -> None:
        self.closed = True
        await self.wire.step("close_publishing")


class ScriptedWire:
    """Implements :class:`asyncbackends.broker.wire.Wire`."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.guarantees: frozenset[Guarantee] = frozenset()
        self.options = QueueOptions()
        self.queues: dict[str, None] = {}
        self.calls: list[str] = []
        self.scripts: dict[str, list[BackendError | Exception | asyncio.Event | None]] = {}
        """By operation: errors to raise, events to wait for, None to pass; the last one stays."""
        self.on_step: dict[str, Callable[[], None]] = {}
        self.confirms = True
        self.consuming: list[ScriptedConsuming] = []
        self.publishing: list[ScriptedPublishing] = []
        self.closed = False

    def script(
        self, operation: str, *steps: BackendError | Exception | asyncio.Event | None
    ) -> None:
        self.scripts[operation] = list(steps)

    async def step(self, operation: str) -> None:
        await asyncio.sleep(0)
        call = self.on_step.pop(operation, None)
        if call is not None:
            call()
        steps = self.scripts.get(operation)
        if not steps:
            return
        step = steps[0]
        if not isinstance(step, asyncio.Event):
            steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, asyncio.Event):
            await step.wait()

    def error(self, exc: Exception) -> BackendError | None:
        return exc.meaning if isinstance(exc, DriverError) else None

    async def open_publishing(self, endpoint: str, events: PublishingEvents) -> ScriptedPublishing:
        await self.step("open_publishing")
        self.publishing.append(ScriptedPublishing(self, events))
        return self.publishing[-1]

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> ScriptedConsuming:
        await self.step("open_consuming")
        self.consuming.append(ScriptedConsuming(self, events))
        return self.consuming[-1]

    async def close(self) -> None:
        self.closed = True

    @property
    def consumers(self) -> list[ScriptedConsumer]:
        return [one for link in self.consuming for one in link.consumers]


async def opened(wire: ScriptedWire, **options: Any) -> WireBroker[BrokerOptions]:
    broker = WireBroker(
        "scripted",
        ["a"],
        BrokerOptions(**options),
        lambda _endpoints, _options: wire,
        guarantees=frozenset(),
        reconnect=Backoff(0.001, 0.01),
    )
    await broker.connect()
    return broker


@asynccontextmanager
async def running(wire: ScriptedWire, **options: Any) -> AsyncGenerator[WireBroker[BrokerOptions]]:
    broker = await opened(wire, **options)
    try:
        yield broker
    finally:
        await broker.shutdown(grace=0.1)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # there is no event for what is looked at
            await asyncio.sleep(0.001)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


_: type[Wire] = ScriptedWire
