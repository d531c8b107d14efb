"""A consumer of one queue on one link: a standing pull on an inbox of its own."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncbackends.broker.wire import Answer, ConsumerEvents, IncomingMessage
from asyncbackends.clock import Clock, Timer
from asyncbackends_nats.declaring import Found
from asyncbackends_nats.dialing import API_INFO, Connection
from asyncbackends_nats.driver_errors import NO_CONSUMER, NO_STREAM
from asyncbackends_nats.headers import parsed
from asyncbackends_nats.memory import Delays
from asyncbackends_nats.names import Names
from asyncbackends_nats.pulls import NANO, Pulls
from asyncbackends_nats.requests import Reply, status_of

__all__ = ("NAK", "NatsConsumer", "sequence_of")

PATIENCE: Final = 3.2
"""Seconds without a sign of life from which on the consumer is looked for."""
LOOKS: Final = 2.0
"""Seconds between looks for the consumer while nothing was asked of it."""
FLUSHING: Final = 0.3
SOME_DELAYS: Final = 64
EXPIRED: Final = "408"
NAK: Final = b"PUB %s 4\r\n-NAK\r\n"
ACK: Final = b"PUB %s 4\r\n+ACK\r\n"
ALIVE: Final = b"PUB %s 4\r\n+WPI\r\n"
LONG_ACK: Final = 11
"""Words of an ack subject that names a domain too."""


class NatsConsumer:
    """Implements :class:`asyncbackends.broker.wire.Consumer`.

    :param left: is called when it has ended, with the ack subjects of what was unsettled.
    """

    def __init__(
        self,
        connection: Connection,
        names: Names,
        found: Found,
        prefetch: int,
        events: ConsumerEvents,
        clock: Clock,
        delays: Delays,
        left: "Callable[[NatsConsumer, Sequence[bytes]], None]",
    ) -> None:
        self.found = found
        self._line = connection.line
        self._connection = connection
        self._requests = connection.requests
        self._place = names.place
        self._events = events
        self._clock = clock
        self._delays = delays
        self._most_delays = SOME_DELAYS
        """From so many on it is worth to look which are over."""
        self._left = left
        self._unsettled: dict[bytes, None] = {}
        """By the subject to which the answer goes."""
        self._arrived: list[IncomingMessage] = []
        self._open = True
        self._told = True
        self._sid = connection.next_subscription()
        self._inbox = f"{connection.requests.inbox}.c{self._sid.decode()}"
        self._pulls = Pulls(found.stream, found.name, self._inbox, prefetch)
        self._heard = clock.monotonic()
        self._looking = False
        self._looked_last = self._heard
        config = found.info["config"]
        self._alive_every: float = config["ack_wait"] / NANO / 3
        self._alive_at = self._heard + self._alive_every
        self._beat_every = min(0.5, self._alive_every)
        self._beating: Timer | None = None

    def begin(self) -> None:
        """Pull."""
        self._line.reader.receivers[self._sid] = self
        subscribing = b"SUB %s.* %s\r\n" % (self._inbox.encode(), self._sid)
        self._line.send(subscribing + self._pulling())
        self._beating = self._clock.call_later(self._beat_every, self._beat)

    # What comes.

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        words = reply.split(b".")
        if len(words) < 9:
            self._status(subject, headers)
            return
        if not self._open:
            # It was on its way.
            self._line.send(NAK % reply)
            return
        self._pulls.requested -= 1
        self._unsettled[reply] = None
        count = int(words[6 if len(words) >= LONG_ACK else 4])
        exchange, key = self._place(subject)
        said = parsed(headers)
        self._arrived.append(
            IncomingMessage(
                reply,
                exchange,
                key,
                body,
                said.others,
                said.message_id,
                said.correlation_id,
                said.reply_to,
                said.timestamp,
                said.expires_at,
                count > 1,
                count,
            )
        )

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        self._heard = self._clock.monotonic()
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        if self._told and self._open:
            self._events.received(arrived)

    def _status(self, subject: bytes, headers: bytes) -> None:
        status = status_of(headers)
        if status == "100" or not self._open:
            return
        lines = headers.decode("utf-8", "replace").split("\r\n")
        words = lines[0].lower()
        if status == "503":
            # Nobody serves the pull: the consumer is gone, or has no leader for now.
            self._pulls.ended(subject, [])
            self._look()
        elif "deleted" in words:
            self._cancel(queue_gone=True)
        elif "leadership" in words:
            self._cancel(queue_gone=False)
        elif "shutdown" not in words:
            self._pulls.ended(subject, lines)
            if status == EXPIRED:
                self._line.send(self._pulling())
            # Another reason would be one for the next order too: that has time until the next beat.

    # What goes.

    def _pulling(self) -> bytes:
        requested = self._pulls.requested
        order = self._pulls.order(len(self._unsettled))
        if order and not requested:
            # From now on signs of life are due.
            self._heard = self._clock.monotonic()
        return order

    def settle(self, answers: Sequence[Answer]) -> None:
        if not self._open:
            return
        unsettled = self._unsettled
        frames: list[bytes] = []
        for answer in answers:
            token: bytes = answer.token
            if token not in unsettled:
                continue
            del unsettled[token]
            if answer.verdict == "ack":
                frames.append(ACK % token)
            elif answer.delay <= 0:
                frames.append(NAK % token)
            else:
                frames.append(self._delayed(token, answer.delay))
        frames.append(self._pulling())
        self._line.send(b"".join(frames))

    def _delayed(self, token: bytes, delay: float) -> bytes:
        now = self._clock.monotonic()
        if len(self._delays) >= self._most_delays:
            for number in [one for one, until in self._delays.items() if until <= now]:
                del self._delays[number]
            self._most_delays = max(SOME_DELAYS, 2 * len(self._delays))
        self._delays[sequence_of(token)] = now + delay
        body = b'-NAK {"delay": %d}' % round(delay * NANO)
        return b"PUB %s %d\r\n%s\r\n" % (token, len(body), body)

    def shorten(self, ack_wait: int) -> None:
        """Hear that the server waits so many nanoseconds for acks from now on."""
        every = ack_wait / NANO / 3
        if every < self._alive_every:
            self._alive_every = every
            self._beat_every = min(0.5, every)
            self._keep_alive(self._clock.monotonic())

    def _keep_alive(self, now: float) -> None:
        self._alive_at = now + self._alive_every
        if self._unsettled:
            self._line.send(b"".join([ALIVE % token for token in self._unsettled]))

    def _beat(self) -> None:
        """Keep alive what has no answer, and look for the consumer when it is silent."""
        self._beating = self._clock.call_later(self._beat_every, self._beat)
        now = self._clock.monotonic()
        if now >= self._alive_at:
            self._keep_alive(now)
        last, patience = (
            (self._heard, PATIENCE) if self._pulls.requested > 0 else (self._looked_last, LOOKS)
        )
        if now - last > patience:
            self._look()
        elif self._pulls.requested <= 0:
            self._line.send(self._pulling())

    # Whether it is still there.

    def _look(self) -> None:
        if self._looking or not self._open:
            return
        self._looking = True
        self._looked_last = self._clock.monotonic()
        found = self.found
        subject = f"$JS.API.CONSUMER.INFO.{found.stream}.{found.name}"
        self._requests.ask_for(subject, b"", self._looked)

    def _looked(self, reply: Reply) -> None:
        self._looking = False
        if not self._open or reply.error is not None:
            return
        answer, found_at = _answer(reply), self.found.info.get("created")
        code = answer.get("error", {}).get("err_code")
        if code in {NO_CONSUMER, NO_STREAM}:
            self._cancel(queue_gone=True)
        elif answer.get("created", found_at) != found_at:
            # It was deleted while nothing was asked of it, and made anew.
            self._cancel(queue_gone=True)
        elif "delivered" in answer:
            if self._pulls.requested > 0 and self._clock.monotonic() - self._heard > PATIENCE:
                # It is there, and what it was asked for is forgotten.
                self._cancel(queue_gone=False)
            else:
                self._line.send(self._pulling())

    def _cancel(self, *, queue_gone: bool) -> None:
        if self._open:
            returned = b"" if queue_gone else b"".join([NAK % one for one in self._unsettled])
            self._end(returned)
            # With its answer nothing is on its way any more.
            self._requests.ask_for(API_INFO, b"", lambda _: self._forget())
            if self._told:
                self._events.cancelled(queue_gone)

    # Its end.

    def _forget(self) -> None:
        self._line.reader.receivers.pop(self._sid, None)

    def _end(self, last: bytes) -> None:
        self._open = False
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        unsettled = [*self._unsettled]
        self._unsettled.clear()
        # What is given back first would be sent here again, which counts as a delivery.
        self._line.send(b"UNSUB %s\r\n%s" % (self._sid, last))
        self._left(self, unsettled)

    def silence(self) -> None:
        """Tell nothing any more; what is unsettled goes back with the rest of the link."""
        self._told = False
        if self._open:
            self._end(b"".join([NAK % one for one in self._unsettled]))
        self._forget()

    async def close(self) -> None:
        self._told = False
        if not self._open:
            self._forget()
            return
        self._end(b"".join([NAK % one for one in self._unsettled]))
        try:
            # What is on its way comes until the server has heard of the end.
            await self._connection.flushed(FLUSHING)
        finally:
            self._forget()


def sequence_of(token: bytes) -> int:
    """Give a message's number in its stream, by the subject for its answer."""
    words = token.split(b".")
    return int(words[7 if len(words) >= LONG_ACK else 5])


def _answer(reply: Reply) -> dict[str, Any]:
    return json.loads(reply.body) if reply.body else {}
