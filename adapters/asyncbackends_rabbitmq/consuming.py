"""A link for messages in and for declarations."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from pamqp import commands

from asyncbackends.broker.wire import (
    ConsumerEvents,
    DeclaredQueue,
    LinkEvents,
    QueueDeclaration,
)
from asyncbackends.clock import Clock
from asyncbackends.errors import BackendError, NotSupportedError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_rabbitmq.asking import Questions
from asyncbackends_rabbitmq.consumers import RabbitMqConsumer
from asyncbackends_rabbitmq.counts import Counts
from asyncbackends_rabbitmq.declaring import Declaring
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, lost
from asyncbackends_rabbitmq.left_behind import LeftBehind
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names
from asyncbackends_rabbitmq.queue_arguments import Transience, is_quorum
from asyncbackends_rabbitmq.watching import BindingWatch

__all__ = ("RabbitMqConsumingLink",)


class RabbitMqConsumingLink:
    """Implements :class:`asyncbackends.broker.wire.ConsumingLink`."""

    def __init__(
        self,
        names: Names,
        clock: Clock,
        counts: Counts,
        left_behind: LeftBehind,
        transience: Transience,
        events: LinkEvents,
        *,
        to_disk: bool,
    ) -> None:
        """Begin without a connection.

        :param to_disk: refuse queues that may confirm what is not on disk.
        """
        self._to_disk = to_disk
        self._names = names
        self._clock = clock
        self._counts = counts
        self._left_behind = left_behind
        self._transience = transience
        self._events: LinkEvents | None = events
        self._declared: dict[str, QueueDeclaration] = {}
        self._consumers: dict[RabbitMqConsumer, QueueDeclaration] = {}
        self._others: dict[str, int] = {}
        """How many consumers others had on a queue."""
        self._line: Line
        self._questions: Questions
        self._declaring: Declaring
        self._watch: BindingWatch
        self._server: ServerInfo

    def open(
        self, line: Line, server: dict[str, Any], connect: Callable[[], Awaitable[Line]]
    ) -> None:
        """Take the connection.

        :param connect: opens another one, to which nobody listens.
        """
        product, version = str(server.get("product", "")), str(server.get("version", ""))
        self._server = ServerInfo(product, version)
        self._line = line
        self._questions = Questions(line)
        self._declaring = Declaring(
            self._questions, self._names, _numbers(version), self._transience, connect
        )
        self._watch = BindingWatch(line, self._names, self._consumed)

    def _consumed(self) -> Iterator[tuple[QueueDeclaration, RabbitMqConsumer]]:
        for consumer, queue in self._consumers.items():
            if consumer.is_open:
                yield queue, consumer

    async def server_info(self) -> ServerInfo:
        await self._questions.ask(commands.Channel.Flow(True))
        return self._server

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self._declaring.create_exchange(name, durable=durable, kind=kind)

    async def delete_exchange(self, name: str) -> None:
        await self._declaring.delete_exchange(name)

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        if self._to_disk and must_match and queue.options.queue_type == "classic":
            text = f"queue {queue.name!r} is classic, and durability = disk demands quorum queues"
            raise NotSupportedError(text, feature="classic queues on disk")
        declared = await self._declaring.declare_queue(queue, must_match=must_match)
        if not must_match:
            self._declared[queue.name] = QueueDeclaration(
                queue.name, queue.exchange, declared.options, queue.routing_keys, queue.private_ttl
            )
        return declared

    async def delete_queue(self, name: str) -> None:
        self._declared.pop(name, None)
        await self._declaring.delete_queue(name)

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> RabbitMqConsumer:
        declared = self._declared[queue]
        others = partial(self._others_of, queue)
        self._others[queue] = await self._left_behind.missed(queue, others)
        counts = None if is_quorum(declared) else self._counts
        consumer = RabbitMqConsumer(self._line, self._names, self._clock, queue, events, counts)
        for gone in [one for one in self._consumers if not one.is_open]:
            del self._consumers[gone]
        self._consumers[consumer] = declared
        await consumer.begin(prefetch)
        return consumer

    async def _others_of(self, queue: str) -> int:
        ours = sum(one.queue == queue and one.is_open for one in self._consumers)
        return await self._questions.consumers_of(self._names.queue(queue)) - ours

    # What the line tells.

    def refused(self, error: ChannelClosedError) -> None:
        self._transience.heard(error.text)
        self.broken(lost(f"the broker ended it: {error}"))

    def broken(self, error: BackendError) -> None:
        events = self._stop()
        if events is not None:
            events.lost(error)

    def blocked(self, reason: str | None) -> None:
        """Nothing is published here, so nothing waits for it."""

    def room(self) -> None:
        pass

    def _stop(self) -> LinkEvents | None:
        events, self._events = self._events, None
        self._watch.stop()
        queues = {consumer.queue for consumer in self._consumers if consumer.is_open}
        self._left_behind.note({queue: self._others[queue] for queue in queues})
        for consumer in tuple(self._consumers):
            consumer.end()
        self._consumers.clear()
        return events

    async def close(self) -> None:
        self._stop()
        await self._line.close()


def _numbers(version: str) -> tuple[int, ...]:
    """Give the numbers of a version, up to the first part that has others."""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)
