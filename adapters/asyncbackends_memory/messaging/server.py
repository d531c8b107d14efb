"""The broker of one name and namespace: its exchanges and queues, and the links to it."""

from typing import Protocol

from asyncbackends.broker.declaring import conflict, missing_exchange
from asyncbackends.broker.wire import DeclaredQueue, OutgoingMessage, QueueDeclaration
from asyncbackends.clock import Clock
from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    QueueNotFoundError,
)
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_memory.messaging.exchanges import Exchange
from asyncbackends_memory.messaging.faults import BrokerFaults
from asyncbackends_memory.messaging.queues import Queue
from asyncbackends_memory.messaging.turns import Turns

__all__ = ("ConsumingSide", "PublishingSide", "Server")


class ConsumingSide(Protocol):
    """A link as the server knows it."""

    def lose(self, error: BackendError) -> None:
        """Break."""
        ...


class PublishingSide(ConsumingSide, Protocol):
    """A publishing link as the server knows it."""

    def block(self, reason: str | None) -> None:
        """Take no messages for a reason, or take them again."""
        ...

    def ring(self) -> None:
        """Tell in the next turn what was answered."""
        ...

    def mute(self) -> None:
        """Lose what is sent from now on."""
        ...


class Server:
    """Implements :class:`asyncbackends_memory.messaging.faults.Broker`."""

    def __init__(self, name: str, faults: BrokerFaults) -> None:
        self.name = name
        self.faults = faults
        self.clock: Clock = faults.clock
        self.turns = Turns()
        self.publishing: dict[PublishingSide, None] = {}
        self.consuming: dict[ConsumingSide, None] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._queues: dict[str, Queue] = {}
        faults.join(self)

    # Messages.

    def take(self, message: OutgoingMessage, now: float) -> BackendError | None:
        """Store a message, or say why not."""
        exchange = self._exchanges.get(message.exchange)
        if exchange is None:
            return missing_exchange(
                message.exchange, f"; message {message.message_id} is not stored"
            )
        return exchange.take(message, now)

    def has(self, message: OutgoingMessage, now: float) -> bool:
        """Say whether a message was stored before, within the dedupe window."""
        exchange = self._exchanges.get(message.exchange)
        return exchange is not None and exchange.has(message.message_id, now)

    # Declarations.

    def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        """Make an exchange, or find it made so.

        :raises DeclarationConflictError: it is there with other properties.
        """
        found = self._exchanges.get(name)
        if found is None:
            self._exchanges[name] = Exchange(name, kind, durable=durable)
            return
        if found.kind != kind:
            raise conflict("exchange", name, "kind", kind, found.kind)
        if found.durable != durable:
            raise conflict("exchange", name, "durable", durable, found.durable)

    def delete_exchange(self, name: str) -> None:
        """Take an exchange away with its queues."""
        exchange = self._exchanges.pop(name, None)
        if exchange is not None:
            for queue in exchange.queues:
                del self._queues[queue.name]
                queue.drop()

    def declare_queue(self, declaration: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        """Make or find a queue, see :class:`asyncbackends.broker.wire.ConsumingLink`."""
        name = declaration.name
        exchange = self._exchanges.get(declaration.exchange)
        if exchange is None:
            raise missing_exchange(declaration.exchange, f"; queue {name!r} cannot be on it")
        dead_letter = declaration.options.dead_letter
        if must_match and dead_letter is not None and dead_letter not in self._exchanges:
            raise missing_exchange(
                dead_letter, f"; queue {name!r} cannot send its dead letters there"
            )
        found = self._queues.get(name)
        created = found is None
        if found is None:
            found = Queue(declaration, self.clock, self.turns, self._remove)
            self._queues[name] = found
            exchange.add(found)
        else:
            found.record.check(declaration, must_match=must_match)
            found.touch()
        exchange.bind(found, declaration.routing_keys)
        return DeclaredQueue(found.options, created)

    def delete_queue(self, name: str) -> None:
        """Take a queue away with its messages."""
        if name in self._queues:
            self._remove(self._queues[name])

    def queue(self, name: str) -> Queue:
        """Give a queue.

        :raises QueueNotFoundError: there is none with that name.
        """
        found = self._queues.get(name)
        if found is None:
            message = f"there is no queue {name!r}; it was deleted, or its time was over"
            raise QueueNotFoundError(message)
        return found

    def _remove(self, queue: Queue) -> None:
        del self._queues[queue.name]
        self._exchanges[queue.exchange].remove(queue)
        queue.drop()

    # What the switchboard calls.

    def lose_links(self, reason: str, *, publishing: bool, consuming: bool) -> None:
        """Break links of these sorts."""
        sides: list[ConsumingSide] = []
        if publishing:
            sides += self.publishing
        if consuming:
            sides += self.consuming
        for side in sides:
            side.lose(ConnectionLostError(reason))

    def block(self, reason: str | None) -> None:
        """Let publishing links take no messages, or again."""
        for side in tuple(self.publishing):
            side.block(reason)

    def answer(self) -> None:
        """Tell the answers that were held back."""
        for side in self.publishing:
            side.ring()

    def mute_publishing(self) -> None:
        """Let nothing arrive that is sent on the present publishing links."""
        for side in self.publishing:
            side.mute()

    def remake_queue(self, name: str) -> None:
        """Empty a queue, and cancel its consumers."""
        if name in self._queues:
            queue = self._queues[name]
            queue.empty()
            queue.touch()

    def lose_messages(self, name: str) -> None:
        """Lose what waits in a queue, and tell its consumers."""
        if name in self._queues:
            self._queues[name].lose()

    def restart(self, reason: str) -> None:
        """Break all links, and keep only what is durable."""
        self.lose_links(reason, publishing=True, consuming=True)
        for queue in tuple(self._queues.values()):
            if not queue.options.durable:
                self._remove(queue)
        for exchange in tuple(self._exchanges.values()):
            if not exchange.durable:
                self.delete_exchange(exchange.name)

    def drop(self) -> None:
        """End for good, telling nobody."""
        self.faults.leave(self)
        self.lose_links("the last one who had it open closed it", publishing=True, consuming=True)
        for queue in self._queues.values():
            queue.drop()
        self._queues.clear()
        self._exchanges.clear()
        self.turns.drop()
