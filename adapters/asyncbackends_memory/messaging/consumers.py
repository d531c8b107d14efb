"""A consumer of one queue on one link."""

from collections.abc import Callable, Sequence

from asyncbackends.broker.wire import Answer, ConsumerEvents, IncomingMessage
from asyncbackends.protocols.values import Gap
from asyncbackends_memory.messaging.queues import Entry, Queue

__all__ = ("Arriving", "MemoryConsumer")

Arriving = Callable[[Sequence[Answer]], tuple[Sequence[Answer], Callable[[], None] | None]]
"""Gives those of a consumer's answers that arrive, and what happens after them."""


class MemoryConsumer:
    """Implements :class:`asyncbackends.broker.wire.Consumer`.

    :param arriving: passes answers through the switchboard.
    :param left: is called when it has ended, however that came.
    """

    def __init__(
        self,
        queue: Queue,
        prefetch: int,
        events: ConsumerEvents,
        arriving: Arriving,
        left: "Callable[[MemoryConsumer], None]",
    ) -> None:
        self.room = prefetch
        """So many more messages it takes; the queue counts them down."""
        self.assigned: list[Entry] = []
        """What the queue gave it, and :meth:`tell` tells."""
        self._queue = queue
        self._events = events
        self._arriving = arriving
        self._left = left
        self._unsettled: dict[int, Entry] = {}
        self._tag = 0
        self._open = True
        self._closed = False

    # What the queue calls.

    def tell(self) -> None:
        """Tell it what it was given."""
        if not self.assigned:
            return
        assigned, self.assigned = self.assigned, []
        unsettled, tag = self._unsettled, self._tag
        messages: list[IncomingMessage] = []
        for entry in assigned:
            tag += 1
            unsettled[tag] = entry
            entry.count += 1
            message = entry.message
            messages.append(
                IncomingMessage(
                    tag,
                    message.exchange,
                    message.routing_key,
                    message.body,
                    message.headers,
                    message.message_id,
                    message.correlation_id,
                    message.reply_to,
                    message.timestamp,
                    message.expires_at,
                    entry.count > 1,
                    entry.count,
                )
            )
        self._tag = tag
        self._events.received(messages)

    def cancel(self, soon: Callable[[Callable[[], None]], None]) -> None:
        """End it because its queue is gone, and tell it."""
        if self._open:
            self._end()
            soon(self._tell_cancelled)

    def tell_gap(self) -> None:
        """Tell it that messages were lost."""
        if self._open:
            self._events.gap(Gap("overflow"))

    def _tell_cancelled(self) -> None:
        if not self._closed:
            self._events.cancelled()

    # What the link and the core call.

    def settle(self, answers: Sequence[Answer]) -> None:
        """Apply answers; those of a consumer that has ended are too late."""
        if not self._open:
            return
        queue, unsettled = self._queue, self._unsettled
        arriving, then = self._arriving(answers)
        for answer in arriving:
            entry = unsettled.pop(answer.token, None)
            if entry is None:
                continue
            self.room += 1
            if answer.verdict == "again":
                queue.take_back(entry, answer.delay)
        queue.ring()
        if then is not None:
            then()

    def silence(self) -> None:
        """Tell it nothing any more, and end it: what is unsettled goes back."""
        self._closed = True
        if self._open:
            entries = [*self._unsettled.values(), *self.assigned]
            self._end()
            self._queue.leave(self, entries)

    async def close(self) -> None:
        """See :meth:`silence`."""
        self.silence()

    def _end(self) -> None:
        self._open = False
        self._unsettled.clear()
        self.assigned.clear()
        self._left(self)
