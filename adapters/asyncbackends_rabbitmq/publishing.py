"""A link for messages out."""

from collections.abc import Sequence

from pamqp import commands

from asyncbackends.broker.wire import OutgoingMessage, PublishingEvents
from asyncbackends.clock import Clock
from asyncbackends.errors import (
    BackendError,
    MessageTooLargeError,
    PublishRejectedError,
    UnroutableError,
)
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_rabbitmq.asking import Questions
from asyncbackends_rabbitmq.channels import Channel
from asyncbackends_rabbitmq.contents import returned_mark
from asyncbackends_rabbitmq.declaring import create_exchange
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, lost, publish_refusal
from asyncbackends_rabbitmq.frames import OVERHEAD, MessageFrames
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names

__all__ = ("RabbitMqPublishingLink",)


class RabbitMqPublishingLink:
    """Implements :class:`asyncbackends.broker.wire.PublishingLink` on one confirming channel."""

    def __init__(self, names: Names, clock: Clock, events: PublishingEvents) -> None:
        self._names = names
        self._clock = clock
        self._events: PublishingEvents | None = events
        self._number = 0
        self._unsent: list[int] = []
        """Numbers of messages that were refused here, which the broker therefore does not count."""
        self._line: Line
        self._questions: Questions
        self._channel: Channel
        self._frames: MessageFrames

    async def open(self, line: Line) -> None:
        """Take the connection."""
        self._line = line
        self._questions = Questions(line)
        self._channel = line.new_channel(self)
        await self._channel.ask(commands.Confirm.Select())
        self._frames = MessageFrames(self._channel.number, line.frame_max, self._names)

    @property
    def writable(self) -> bool:
        line = self._line
        return line.has_room and not line.is_blocked and self._channel.is_open

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await create_exchange(self._questions, self._names, name, durable=durable, kind=kind)

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        if not self._channel.is_open:
            return
        out: list[bytes] = []
        append, number, now = self._frames.append, self._number, self._clock.utc()
        for message in messages:
            number += 1
            if size := append(out, message, number, now):
                self._refuse_large(number, message, size)
        self._number = number
        if out:
            self._line.write_packed(b"".join(out))

    def _refuse_large(self, number: int, message: OutgoingMessage, size: int) -> None:
        self._unsent.append(number)
        limit = self._line.frame_max - OVERHEAD
        text = (
            f"the headers and properties of message {message.message_id} have {size} bytes; the "
            f"broker takes at most {limit} in one frame, and headers are never divided"
        )
        if self._events is not None:
            self._events.refused(number, MessageTooLargeError(text, size=size, limit=limit))

    def _number_of(self, tag: int) -> int:
        for unsent in self._unsent:
            if unsent > tag:
                break
            tag += 1
        return tag

    # What the channel tells.

    def confirmed(self, number: int, stored: bool, up_to: bool) -> None:
        if self._unsent:
            number = self._number_of(number)
        if self._events is None:
            return
        if stored:
            self._events.confirmed(number, up_to)
        else:
            text = "a queue on the exchange takes no more, or was lost; others may have the message"
            self._events.refused(number, PublishRejectedError(text), up_to)

    def message(self, method: bytes, header: bytes, body: bytes) -> None:
        """Take a message back; its confirm comes after it, and says nothing new."""
        mark = returned_mark(header)
        if mark is not None and self._events is not None:
            text = "no queue on the exchange takes the message; it is not stored"
            self._events.refused(mark, UnroutableError(text))

    def pause(self) -> None:
        pass

    def cancelled(self) -> None:
        pass

    def closed(self, error: ChannelClosedError) -> None:
        self.refused(error)

    # What the line tells.

    def refused(self, error: ChannelClosedError) -> None:
        events, self._events = self._events, None
        if events is None:
            return
        if error.while_publishing:
            events.closed_by_server(publish_refusal(error, self._names))
        else:
            events.lost(lost(f"the broker ended it: {error}"))

    def broken(self, error: BackendError) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.lost(error)

    def blocked(self, reason: str | None) -> None:
        if self._events is None:
            return
        self._events.blocked(reason)
        if reason is None and self.writable:
            self._events.writable()

    def room(self) -> None:
        if self._events is not None and self.writable:
            self._events.writable()

    async def close(self) -> None:
        self._events = None
        await self._line.close()
