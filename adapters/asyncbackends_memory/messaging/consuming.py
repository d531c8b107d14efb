"""A link for messages in and for declarations."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from asyncbackends.broker.wire import (
    Answer,
    ConsumerEvents,
    DeclaredQueue,
    LinkEvents,
    QueueDeclaration,
)
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_memory.messaging.consumers import MemoryConsumer
from asyncbackends_memory.messaging.line import Line
from asyncbackends_memory.messaging.server import Server

__all__ = ("MemoryConsumingLink",)

VERSION = version("asyncbackends")


class MemoryConsumingLink:
    """Implements :class:`asyncbackends.broker.wire.ConsumingLink`."""

    def __init__(self, server: Server, events: LinkEvents) -> None:
        self._server = server
        self._line = Line(server, events)
        self._consumers: dict[MemoryConsumer, None] = {}
        server.consuming[self] = None

    async def server_info(self) -> ServerInfo:
        await self._line.before("server_info")
        return ServerInfo("memory", VERSION)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self._line.before("create_exchange")
        self._server.create_exchange(name, durable=durable, kind=kind)

    async def delete_exchange(self, name: str) -> None:
        await self._line.before("delete_exchange")
        self._server.delete_exchange(name)

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        await self._line.before("declare_queue")
        return self._server.declare_queue(queue, must_match=must_match)

    async def delete_queue(self, name: str) -> None:
        await self._line.before("delete_queue")
        self._server.delete_queue(name)

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> MemoryConsumer:
        await self._line.before("consume")
        found = self._server.queue(queue)
        consumer = MemoryConsumer(found, prefetch, events, self._arriving, self._left)
        self._consumers[consumer] = None
        found.join(consumer)
        return consumer

    def _arriving(
        self, answers: Sequence[Answer]
    ) -> tuple[Sequence[Answer], Callable[[], None] | None]:
        faults = self._server.faults
        if not faults.disturbs_settling:
            return answers, None
        arriving, is_lost = faults.settled(answers)
        reason = "the link was lost while answers were sent"
        return arriving, partial(self.lose, ConnectionLostError(reason)) if is_lost else None

    def _left(self, consumer: MemoryConsumer) -> None:
        self._consumers.pop(consumer, None)

    def lose(self, error: BackendError) -> None:
        """Break: what is unsettled goes back."""
        if self._line.alive:
            self._stop()
            self._line.lose(error)

    def _stop(self) -> None:
        self._server.consuming.pop(self, None)
        for consumer in tuple(self._consumers):
            consumer.silence()

    async def close(self) -> None:
        self._stop()
        self._line.close()
