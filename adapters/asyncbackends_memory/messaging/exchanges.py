"""An exchange: which queues take a message, and which messages it had before."""

from collections import deque
from math import inf
from typing import Final

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.errors import BackendError, PublishRejectedError, UnroutableError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_memory.messaging.queues import Queue

__all__ = ("DEDUPE_SECONDS", "Exchange")

DEDUPE_SECONDS: Final = 120.0
DEDUPE_MESSAGES: Final = 200_000
"""So many ids at most are remembered, the youngest."""
BATCH: Final = 1000
BATCH_SECONDS: Final = 1.0


class Exchange:
    """Passes each message to all queues, or to those bound with its routing key, or to none."""

    def __init__(self, name: str, kind: ExchangeKind, *, durable: bool) -> None:
        self.name = name
        self.kind: ExchangeKind = kind
        self.durable = durable
        self._queues: dict[str, Queue] = {}
        self._bound: dict[str, list[Queue]] = {}
        self._targets: tuple[Queue, ...] = ()
        self._limited = False
        self._recent = _RecentIds()

    @property
    def queues(self) -> tuple[Queue, ...]:
        """All queues, the oldest first."""
        return self._targets

    def add(self, queue: Queue) -> None:
        """Put a queue on the exchange."""
        self._queues[queue.name] = queue
        self._count()

    def bind(self, queue: Queue, routing_keys: tuple[str, ...]) -> None:
        """Let a queue take messages with these keys too."""
        for key in routing_keys:
            if key not in queue.routing_keys:
                queue.routing_keys.add(key)
                self._bound.setdefault(key, []).append(queue)

    def remove(self, queue: Queue) -> None:
        """Take a queue off the exchange."""
        del self._queues[queue.name]
        for key in queue.routing_keys:
            bound = self._bound[key]
            bound.remove(queue)
            if not bound:
                del self._bound[key]
        self._count()

    def _count(self) -> None:
        self._targets = tuple(self._queues.values())
        self._limited = any(queue.limited for queue in self._targets)

    def has(self, message_id: str, now: float) -> bool:
        """Say whether it stored a message of that id before, within the dedupe window."""
        return self._recent.has(message_id, now)

    def take(self, message: OutgoingMessage, now: float) -> BackendError | None:
        """Store a message in every queue that takes it, or in none and say why.

        One that it had before is stored nowhere again, and that is no error.
        """
        message_id, recent = message.message_id, self._recent
        if message_id in recent.ids and self.has(message_id, now):
            return None
        queues = (
            self._targets
            if self.kind == "fanout"
            else self._bound.get(message.routing_key, _NO_QUEUES)
        )
        if not queues:
            return self._unroutable(message) if message.mandatory else None
        if self._limited:
            for queue in queues:
                if not queue.has_room():
                    return PublishRejectedError(
                        f"queue {queue.name!r} is full, it holds {queue.waiting} messages; "
                        f"message {message_id} is not stored"
                    )
        recent.add(message_id, now)
        for queue in queues:
            queue.put(message)
        return None

    def _unroutable(self, message: OutgoingMessage) -> UnroutableError:
        key = f" with routing key {message.routing_key!r}" if self.kind == "direct" else ""
        return UnroutableError(
            f"no queue on exchange {self.name!r} takes message {message.message_id}{key}; "
            f"it is not stored"
        )


_NO_QUEUES: list[Queue] = []


class _RecentIds:
    """The ids of stored messages, for a while, in batches that end together."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        """Some that are too old are among them."""
        self._batches: deque[tuple[float, list[str]]] = deque()
        self._batch: list[str] = []
        self._full_at = -inf

    def has(self, message_id: str, now: float) -> bool:
        self._forget(now)
        return message_id in self.ids

    def add(self, message_id: str, now: float) -> None:
        self.ids.add(message_id)
        if now >= self._full_at or len(self._batch) >= BATCH:
            self._forget(now)
            self._batch = []
            self._full_at = now + BATCH_SECONDS
            self._batches.append((now, self._batch))
        self._batch.append(message_id)

    def _forget(self, now: float) -> None:
        # A batch goes when the last that may be in it is old enough.
        while self._batches and (
            now - self._batches[0][0] >= DEDUPE_SECONDS + BATCH_SECONDS
            or len(self.ids) > DEDUPE_MESSAGES
        ):
            self.ids.difference_update(self._batches.popleft()[1])
