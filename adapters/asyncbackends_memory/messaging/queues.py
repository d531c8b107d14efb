"""A queue: what waits in it, who consumes it, and in which order they get it."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from asyncbackends.broker.declaring import QueueRecord
from asyncbackends.broker.wire import OutgoingMessage, QueueDeclaration
from asyncbackends.clock import Clock, Timer
from asyncbackends_memory.messaging.turns import Turns

if TYPE_CHECKING:
    from asyncbackends_memory.messaging.consumers import MemoryConsumer

__all__ = ("Entry", "Queue")

MOST_PER_TURN: Final = 500
"""So many messages of a queue are handed out before other calls of the loop have their turn."""


class Entry:
    """A message that was handed out at least once, or was about to be."""

    __slots__ = ("count", "message", "position")

    def __init__(self, message: OutgoingMessage, position: int) -> None:
        self.message = message
        self.position = position
        """Its place in the queue, which it keeps when it comes back."""
        self.count = 0
        """How often it was delivered."""


class Queue:
    """Messages in order, and consumers that take turns.

    What was never handed out is in ``_fresh``. What came back is in ``_returned``, by its place:
    it was all ahead of what is in ``_fresh``.
    """

    def __init__(
        self,
        declaration: QueueDeclaration,
        clock: Clock,
        turns: Turns,
        expire: "Callable[[Queue], None]",
    ) -> None:
        self.name = declaration.name
        self.record = QueueRecord.of(declaration)
        self.exchange = declaration.exchange
        self.options = declaration.options
        self.limited = declaration.options.max_length is not None
        self._ttl = declaration.options.message_ttl
        self.routing_keys: set[str] = set()
        self._private_ttl = declaration.private_ttl
        self._clock = clock
        self._turns = turns
        self._expire = expire
        self._fresh: deque[OutgoingMessage] = deque()
        self._returned: list[tuple[int, Entry]] = []
        self._delayed: dict[int, tuple[float, Entry, Timer]] = {}
        self._position = 0
        self._consumers: deque[MemoryConsumer] = deque()
        self._due = False
        self._expiry: Timer | None = None
        self.touch()

    @property
    def waiting(self) -> int:
        """How many messages wait; those in progress or delayed are not counted."""
        return len(self._fresh) + len(self._returned)

    # In.

    def has_room(self) -> bool:
        """Say whether one more message may be stored."""
        most = self.options.max_length
        if most is None or self.options.overflow == "drop_oldest" or self.waiting < most:
            return True
        self._hand_out_early()
        self._drop_expired()
        return self.waiting < most

    def put(self, message: OutgoingMessage) -> None:
        """Store a message, after ``has_room`` said yes."""
        most = self.options.max_length
        if most is not None and self.waiting >= most:
            self._hand_out_early()
            while self.waiting >= most:
                self._oldest()
        self._fresh.append(message)
        if not self._due and self._consumers:
            self._due = True
            self._turns.soon(self._deliver)

    def take_back(self, entry: Entry, delay: float = 0.0) -> None:
        """Put a message back to its place, after so many seconds."""
        if delay > 0:
            due = self._clock.monotonic() + delay
            timer = self._clock.call_later(delay, partial(self._end_delays, due))
            self._delayed[entry.position] = (due, entry, timer)
        else:
            heapq.heappush(self._returned, (entry.position, entry))

    def _end_delays(self, now: float) -> None:
        """Put back all that are due, so that the oldest of them is the first."""
        for due, entry, timer in tuple(self._delayed.values()):
            if due <= now:
                timer.cancel()
                del self._delayed[entry.position]
                self.take_back(entry)
        self.ring()

    # Out.

    def ring(self) -> None:
        """Hand messages out in the next turn."""
        if not self._due and self._consumers and (self._returned or self._fresh):
            self._due = True
            self._turns.soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        handed_out = self._hand_out(MOST_PER_TURN)
        if handed_out == MOST_PER_TURN:
            self.ring()
        for consumer in tuple(self._consumers):
            consumer.tell()

    def _hand_out(self, most: int) -> int:
        """Assign at most so many messages to consumers, one to each in turn; say how many."""
        consumers, returned, fresh = self._consumers, self._returned, self._fresh
        now, count, busy = self._clock.utc(), 0, 0
        while count < most and busy < len(consumers) and (returned or fresh):
            consumer = consumers[0]
            if consumer.room > 0:
                entry = self._oldest()
                if self._is_expired(entry.message, now):
                    continue
                consumer.room -= 1
                consumer.assigned.append(entry)
                count += 1
                busy = 0
            else:
                busy += 1
            consumers.rotate(-1)
        return count

    def _hand_out_early(self) -> None:
        """Assign what consumers are ready for, since that does not wait."""
        if self._hand_out(self.waiting) and not self._due:
            self._due = True
            self._turns.soon(self._deliver)

    def _oldest(self) -> Entry:
        if self._returned:
            return heapq.heappop(self._returned)[1]
        self._position += 1
        return Entry(self._fresh.popleft(), self._position)

    def _is_expired(self, message: OutgoingMessage, now: float) -> bool:
        if message.expires_at is None and self._ttl is None:
            return False
        return (message.expires_at is not None and now >= message.expires_at) or (
            self._ttl is not None and now >= message.timestamp + self._ttl
        )

    def _drop_expired(self) -> None:
        now = self._clock.utc()
        while self._returned or self._fresh:
            head = self._returned[0][1].message if self._returned else self._fresh[0]
            if not self._is_expired(head, now):
                return
            self._oldest()

    # Consumers, and its end.

    def join(self, consumer: "MemoryConsumer") -> None:
        """Let a consumer take its turns."""
        self._consumers.append(consumer)
        self._stop_expiry()
        self.ring()

    def leave(self, consumer: "MemoryConsumer", entries: Iterable[Entry]) -> None:
        """Let a consumer go, and take back what it has not settled."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            for entry in entries:
                self.take_back(entry)
            self.ring()
            self.touch()

    def touch(self) -> None:
        """Let a private queue without a consumer live for its time from now on."""
        self._stop_expiry()
        if self._private_ttl is not None and not self._consumers:
            self._expiry = self._clock.call_later(self._private_ttl, lambda: self._expire(self))

    def _stop_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def lose(self) -> None:
        """Lose all messages that are not in progress; consumers hear of it."""
        self._forget_messages()
        for consumer in self._consumers:
            self._turns.soon(consumer.tell_gap)

    def _forget_messages(self) -> None:
        self._fresh.clear()
        self._returned.clear()
        for _, _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()

    def empty(self) -> None:
        """Lose all messages and consumers, who hear of it."""
        self._forget_messages()
        consumers = tuple(self._consumers)
        self._consumers.clear()
        for consumer in consumers:
            consumer.cancel(self._turns.soon)

    def drop(self) -> None:
        """End for good."""
        self.empty()
        self._stop_expiry()
