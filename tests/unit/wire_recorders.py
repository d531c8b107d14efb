"""A wire opened by hand, with recorders of all that its links tell."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from asyncbackends.broker.wire import (
    Answer,
    Consumer,
    ConsumingLink,
    IncomingMessage,
    OutgoingMessage,
    PublishingLink,
    QueueDeclaration,
    Verdict,
)
from asyncbackends.clock import ManualClock, Timer
from asyncbackends.errors import BackendError
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.protocols.values import Gap
from asyncbackends_memory import BrokerFaults, MemoryBrokerOptions, broker_faults
from asyncbackends_memory.messaging.wire import MemoryWire

__all__ = (
    "Consuming",
    "CountingClock",
    "Link",
    "Publishing",
    "WireUnderTest",
    "message",
    "queue",
    "turns",
)


def message(
    message_id: str,
    exchange: str = "e",
    *,
    routing_key: str = "",
    mandatory: bool = False,
    timestamp: float = 1_600_000_000.0,
    expires_at: float | None = None,
) -> OutgoingMessage:
    return OutgoingMessage(
        exchange=exchange,
        routing_key=routing_key,
        body=message_id.encode(),
        is_json=False,
        headers={"name": "value"},
        message_id=message_id,
        correlation_id="c",
        reply_to="r",
        timestamp=timestamp,
        expires_at=expires_at,
        mandatory=mandatory,
    )


def queue(
    name: str = "q",
    exchange: str = "e",
    *,
    options: QueueOptions | None = None,
    routing_keys: tuple[str, ...] = (),
    private_ttl: float | None = None,
) -> QueueDeclaration:
    return QueueDeclaration(name, exchange, options or QueueOptions(), routing_keys, private_ttl)


async def turns(count: int = 5) -> None:
    """Let what is due in the next turns of the loop happen."""
    for _ in range(count):
        await asyncio.sleep(0)


class CountingClock(ManualClock):
    """A clock that says how many calls are due."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: set[_Counted] = set()

    @property
    def pending(self) -> int:
        return len(self._timers)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        counted = _Counted(self._timers, call)
        counted.timer = super().call_later(seconds, counted.fire)
        return counted


class _Counted:
    timer: Timer

    def __init__(self, timers: set["_Counted"], call: Callable[[], None]) -> None:
        self._timers = timers
        self._call = call
        timers.add(self)

    def fire(self) -> None:
        self._timers.discard(self)
        self._call()

    def cancel(self) -> None:
        self._timers.discard(self)
        self.timer.cancel()


class Publishing:
    """A publishing link and what it told."""

    link: PublishingLink

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []
        self.answers: dict[int, BackendError | None] = {}
        self.told: list[str | None] = []
        self.error: BackendError | None = None
        self.sent = 0

    async def send(self, *messages: OutgoingMessage) -> None:
        self.sent += len(messages)
        self.link.send(messages)
        await turns()

    @property
    def confirms(self) -> list[int]:
        return [number for number in sorted(self.answers) if self.answers[number] is None]

    def confirmed(self, number: int, up_to: bool = False) -> None:
        self.calls.append((number, up_to))
        for one in range(1 if up_to else number, number + 1):
            self.answers.setdefault(one, None)

    def refused(self, number: int, error: BackendError, up_to: bool = False) -> None:
        assert number not in self.answers
        self.answers[number] = error

    def writable(self) -> None:
        assert self.link.writable
        self.told.append("writable")

    def blocked(self, reason: str | None) -> None:
        self.told.append(reason)

    def lost(self, error: BackendError) -> None:
        assert self.error is None
        self.error = error

    def closed_by_server(self, error: BackendError) -> None:
        self.told.append("closed by server")
        self.lost(error)


class Consuming:
    """A consumer and what it told."""

    consumer: Consumer

    def __init__(self) -> None:
        self.messages: list[IncomingMessage] = []
        self.batches: list[int] = []
        self.gaps: list[Gap] = []
        self.ends = 0

    @property
    def ids(self) -> list[str | None]:
        return [one.message_id for one in self.messages]

    @property
    def counts(self) -> list[int]:
        return [one.delivery_count for one in self.messages]

    def take(self) -> list[str | None]:
        """Give the ids of what came since the last time."""
        ids = self.ids
        self.messages.clear()
        return ids

    async def settle(self, *ids: str, verdict: Verdict = "ack", delay: float = 0.0) -> None:
        tokens = {one.message_id: one.token for one in self.messages}
        self.consumer.settle([Answer(tokens[one], verdict, delay) for one in ids])
        await turns()

    def received(self, messages: Sequence[IncomingMessage]) -> None:
        self.messages += messages
        self.batches.append(len(messages))

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def cancelled(self, queue_gone: bool = True) -> None:
        self.ends += 1


class Link:
    """A consuming link and what it told."""

    link: ConsumingLink

    def __init__(self) -> None:
        self.error: BackendError | None = None

    def lost(self, error: BackendError) -> None:
        assert self.error is None
        self.error = error

    async def consume(self, name: str = "q", prefetch: int = 100) -> Consuming:
        consuming = Consuming()
        consuming.consumer = await self.link.consume(name, prefetch, consuming)
        await turns()
        return consuming


class WireUnderTest:
    """One opener of a name on a clock that the test turns, with as many links as it wants."""

    def __init__(self, name: str = "scripted", namespace: str = "n") -> None:
        self._name = name
        self._namespace = namespace
        self.faults: BrokerFaults = broker_faults(name)

    @property
    def clock(self) -> CountingClock:
        assert isinstance(self.wire.clock, CountingClock)
        return self.wire.clock

    async def __aenter__(self) -> Self:
        if not isinstance(self.faults.clock, CountingClock):
            self.faults.clock = CountingClock()
        options = MemoryBrokerOptions(namespace=self._namespace)
        self.wire = MemoryWire([self._name], options)
        return self

    async def publishing(self) -> Publishing:
        publishing = Publishing()
        publishing.link = await self.wire.open_publishing(self._name, publishing)
        return publishing

    async def consuming(self) -> Link:
        link = Link()
        link.link = await self.wire.open_consuming(self._name, link)
        return link

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.faults.clear()
        await self.wire.close()
