"""A consumer of one queue, on a channel of its own."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from pamqp import commands

from asyncbackends.broker.wire import Answer, ConsumerEvents, IncomingMessage
from asyncbackends.clock import Clock, Timer
from asyncbackends.errors import ConnectionLostError
from asyncbackends_rabbitmq.channels import Channel
from asyncbackends_rabbitmq.contents import delivery_tag, incoming
from asyncbackends_rabbitmq.counts import Counts
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError
from asyncbackends_rabbitmq.frames import ack, again
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names

__all__ = ("RabbitMqConsumer",)

TAG: Final = "asyncbackends"


class RabbitMqConsumer:
    """Implements :class:`asyncbackends.broker.wire.Consumer`.

    The tags of deliveries count up from 1 on the channel, so those that are unsettled lie between
    the lowest of them and the last.

    :param counts: where the queue does not count deliveries itself.
    """

    def __init__(
        self,
        line: Line,
        names: Names,
        clock: Clock,
        queue: str,
        events: ConsumerEvents,
        counts: Counts | None,
    ) -> None:
        self.queue = queue
        self._names = names
        self._clock = clock
        self._events: ConsumerEvents | None = events
        self._counts = counts
        self._seen: dict[int, tuple[str | None, int]] = {}
        """Ids and counts of what is unsettled, where the queue does not count."""
        self._unsettled: set[int] = set()
        self._lowest = 1
        """All before it are settled."""
        self._held: dict[int, Timer] = {}
        self._arrived: list[IncomingMessage] = []
        self._consuming = False
        self._channel: Channel = line.new_channel(self)

    @property
    def is_open(self) -> bool:
        """Whether something may still come."""
        return self._events is not None

    async def begin(self, prefetch: int) -> None:
        """Begin to consume.

        :raises ChannelClosedError: the broker refuses; the queue is not there, for instance.
        """
        try:
            await self._channel.ask(
                commands.Basic.Qos(0, prefetch, False),
                commands.Basic.Consume(queue=self._names.queue(self.queue), consumer_tag=TAG),
            )
        except BaseException:
            self.end()
            raise
        if self._events is not None and not self._channel.is_open:
            self.end()
            message = "the channel of a consumer was closed as it began"
            raise ConnectionLostError(message)
        self._consuming = True

    # What the channel tells.

    def message(self, method: bytes, header: bytes, body: bytes) -> None:
        tag, redelivered = delivery_tag(method)
        self._unsettled.add(tag)
        message = incoming(tag, redelivered, method, header, body, self._names, self._known)
        if self._counts is not None:
            self._seen[tag] = (message.message_id, message.delivery_count)
        self._arrived.append(message)

    def _known(self, message_id: str | None) -> int:
        return 0 if self._counts is None else self._counts.known(self.queue, message_id)

    def pause(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived and self._events is not None:
            self._events.received(arrived)

    def confirmed(self, number: int, stored: bool, up_to: bool) -> None:
        pass

    def cancelled(self) -> None:
        self.tell_cancelled(queue_gone=True)

    def closed(self, error: ChannelClosedError) -> None:
        # An end in the middle of its beginning is raised there.
        if self._consuming:
            self.tell_cancelled(queue_gone=False)

    def tell_cancelled(self, *, queue_gone: bool) -> None:
        """Let the core hear that nothing comes any more."""
        events = self._events
        self.end()
        if events is not None:
            events.cancelled(queue_gone)

    # What the core calls.

    def settle(self, answers: Sequence[Answer]) -> None:
        if self._events is None or not self._channel.is_open:
            return
        acked: set[int] = set()
        out: list[bytes] = []
        for answer in answers:
            tag: int = answer.token
            if tag not in self._unsettled or tag in self._held:
                continue
            if answer.verdict == "ack":
                acked.add(tag)
            elif answer.delay > 0:
                self._held[tag] = self._clock.call_later(
                    answer.delay, partial(self._return_held, tag)
                )
            else:
                out.append(self._returned(tag))
        if acked:
            self._ack(acked, out)
        if out:
            self._channel.write_packed(b"".join(out))

    def _ack(self, acked: set[int], out: list[bytes]) -> None:
        """Ack with one frame all before the lowest that stays unsettled."""
        number, unsettled, at, up_to = self._channel.number, self._unsettled, self._lowest, 0
        if self._counts is not None:
            for tag in acked:
                message_id, count = self._seen.pop(tag)
                if count > 1:
                    self._counts.forget(self.queue, message_id)
        unsettled -= acked
        while at not in unsettled and acked:
            if at in acked:
                acked.discard(at)
                up_to = at
            at += 1
        self._lowest = at
        if up_to:
            out.append(ack(number, up_to, up_to=True))
        out.extend(ack(number, tag, up_to=False) for tag in sorted(acked))

    def _returned(self, tag: int) -> bytes:
        self._unsettled.discard(tag)
        if self._counts is not None:
            self._counts.note(self.queue, *self._seen.pop(tag))
        return again(self._channel.number, tag)

    def _return_held(self, tag: int) -> None:
        """Return what is due, with all else that came due in the same turn."""
        if self._held.pop(tag, None) is not None:
            self._channel.write_packed(self._returned(tag))

    def end(self) -> None:
        """Tell nothing any more, and let go of all that is unsettled."""
        self._events = None
        for timer in self._held.values():
            timer.cancel()
        self._held.clear()
        if self._counts is not None:
            for seen in self._seen.values():
                self._counts.note(self.queue, *seen)
            self._seen.clear()
        self._unsettled.clear()
        self._arrived.clear()
        self._channel.close()

    async def close(self) -> None:
        self.end()
        # Whoever consumes next finds all of it in the queue again.
        await asyncio.wait((self._channel.ended,))
