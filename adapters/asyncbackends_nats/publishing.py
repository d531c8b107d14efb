"""A link for messages out: frames made by hand, one write for many, confirms told by number."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncbackends.broker.wire import OutgoingMessage, PublishingEvents
from asyncbackends.clock import Clock
from asyncbackends.errors import AccessDeniedError, BackendError, ConnectionLostError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.driver_errors import is_denial
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.headers import encoded
from asyncbackends_nats.holding import Held
from asyncbackends_nats.refusals import is_temporary, over_the_limit, rejection, unroutable
from asyncbackends_nats.requests import status_of
from asyncbackends_nats.routes import Reached, Routes

__all__ = ("NatsPublishingLink",)

CAUSED: Final = ("maximum payload", "maximum control line", "unknown protocol", "invalid")
"""What an -ERR begins with that a message brought about."""
MOST_SUBJECTS: Final = 4096


class NatsPublishingLink:
    """Implements :class:`asyncbackends.broker.wire.PublishingLink`."""

    def __init__(
        self,
        connection: Connection,
        events: PublishingEvents,
        exchanges: Exchanges,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._line = connection.line
        self._events = events
        self._exchanges = exchanges
        self._clock = clock
        self._routes = Routes(connection.requests, exchanges.names)
        self._subjects: dict[tuple[str, str], bytes] = {}
        self._number = 0
        self._first = 1
        """Every message before this one has its answer."""
        self._ahead: set[int] = set()
        """Those after ``_first`` that have their answer."""
        self._in_flight: dict[int, OutgoingMessage] = {}
        self._confirmed: list[int] = []
        self._held = Held(
            connection.requests,
            exchanges.names,
            clock,
            writable=lambda: self._line.writable,
            unanswered=self._unanswered,
            resend=self._resend,
            refuse=self._refuse,
            told=self._told_blocked,
        )
        self._backlog: list[OutgoingMessage] = []
        """What waits for the routes of a mandatory message ahead of it."""
        self._routing = False
        self._closed = False
        sid = connection.next_subscription()
        self._inbox = f"{connection.requests.inbox}.p".encode()
        self._line.reader.receivers[sid] = self
        self._line.on_writable = self._tell_writable
        self._line.on_refusal = self._refused_by_server
        self._line.send(b"SUB %s.* %s\r\n" % (self._inbox, sid))

    @property
    def writable(self) -> bool:
        return self._line.writable and not (self._held or self._routing)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self._exchanges.create(name, durable=durable, kind=kind)

    # Out.

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        if self._line.lost is not None:
            return
        if self._routing or any(message.mandatory for message in messages):
            self._backlog.extend(messages)
            self._find_routes()
        else:
            self._write(messages)

    def _find_routes(self) -> None:
        """Ask, ahead of the backlog, which of its mandatory messages some queue takes."""
        if self._routing:
            return
        self._routing = True
        count = len(self._backlog)

        def found(reached: Mapping[tuple[str, str], Reached]) -> None:
            self._routing = False
            if self._closed or self._line.lost is not None:
                return
            ready, self._backlog = self._backlog[:count], self._backlog[count:]
            self._write(ready, reached)
            if self._backlog:
                self._find_routes()
            else:
                self._tell_writable()

        places = [(one.exchange, one.routing_key) for one in self._backlog if one.mandatory]
        self._routes.find(places, found)

    def _write(
        self,
        messages: Sequence[OutgoingMessage],
        reached: Mapping[tuple[str, str], Reached] | None = None,
    ) -> None:
        frames: list[bytes] = []
        refused: list[tuple[int, BackendError]] = []
        number = self._number
        # What waited for its route must not overtake what is held meanwhile.
        is_held = bool(self._held)
        for message in messages:
            number += 1
            if message.mandatory and reached is not None:
                error = unroutable(message, reached[message.exchange, message.routing_key])
                if error is not None:
                    refused.append((number, error))
                    continue
            frame = self._frame(number, message)
            if not isinstance(frame, bytes):
                refused.append((number, frame))
            elif is_held:
                self._held.keep(number, message)
            else:
                self._in_flight[number] = message
                frames.append(frame)
        self._number = number
        if frames:
            self._line.send(b"".join(frames))
        for one, error in refused:
            self._refuse(one, error)

    def _frame(self, number: int, message: OutgoingMessage) -> "bytes | BackendError":
        key = message.exchange, message.routing_key
        subject = self._subjects.get(key)
        if subject is None:
            if len(self._subjects) >= MOST_SUBJECTS:
                self._subjects.clear()
            subject = self._subjects[key] = self._exchanges.names.subject(*key).encode()
        headers = encoded(message, now=self._clock.utc())
        size = len(headers)
        total = size + len(message.body)
        if total > self._connection.max_payload:
            return over_the_limit(total, self._connection.max_payload)
        return b"HPUB %s %s.%d %d %d\r\n%s%s\r\n" % (
            subject,
            self._inbox,
            number,
            size,
            total,
            headers,
            message.body,
        )

    def _unanswered(self) -> dict[int, OutgoingMessage]:
        unanswered, self._in_flight = self._in_flight, {}
        return unanswered

    def _resend(self, messages: Sequence[tuple[int, OutgoingMessage]]) -> None:
        if self._line.lost is not None:
            return
        frames: list[bytes] = []
        refused: list[tuple[int, BackendError]] = []
        for number, message in messages:
            frame = self._frame(number, message)
            if isinstance(frame, bytes):
                self._in_flight[number] = message
                frames.append(frame)
            else:
                refused.append((number, frame))
        self._line.send(b"".join(frames))
        for number, error in refused:
            self._refuse(number, error)

    # In.

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        number = int(subject[len(self._inbox) + 1 :])
        message = self._in_flight.pop(number, None) or self._held.taken(number)
        if message is None:
            return
        if body.startswith(b'{"stream"'):
            self._confirmed.append(number)
        elif headers and status_of(headers) == "503":
            self._held.nobody(number, message)
        else:
            self._not_stored(number, message, body)

    def _not_stored(self, number: int, message: OutgoingMessage, body: bytes) -> None:
        try:
            error: dict[str, Any] = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            # Somebody else answers on the exchange's subjects; the stream's answer comes too.
            self._in_flight[number] = message
            return
        code, text = error.get("err_code"), error.get("description")
        if is_temporary(error):
            self._held.no_room(number, message, f"JetStream: {text}")
        else:
            self._refuse(number, rejection(message, code, text))

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        confirmed, self._confirmed = self._confirmed, []
        first, ahead, events = self._first, self._ahead, self._events
        for number in confirmed:
            if number == first:
                first += 1
                while first in ahead:
                    ahead.remove(first)
                    first += 1
            else:
                ahead.add(number)
                events.confirmed(number)
        if first != self._first:
            self._first = first
            events.confirmed(first - 1, up_to=True)
        if self._held:
            self._held.answered(self._in_flight)
            self._tell_writable()

    def _refuse(self, number: int, error: BackendError) -> None:
        # What was confirmed ahead of it is told ahead of it.
        self.turn_over()
        self._ahead.add(number)
        while self._first in self._ahead:
            self._ahead.remove(self._first)
            self._first += 1
        self._events.refused(number, error)
        if self._held:
            self._held.answered(self._in_flight)
        self._tell_writable()

    def _refused_by_server(self, text: str) -> None:
        if is_denial(text):
            for number, message in self._in_flight.items():
                subject = self._exchanges.names.subject(message.exchange, message.routing_key)
                if f'"{subject}"' in text:
                    del self._in_flight[number]
                    self._refuse(number, AccessDeniedError(f"the account may not publish: {text}"))
                    return
        if text.lower().startswith(CAUSED) and not self._closed and self._line.lost is None:
            error = ConnectionLostError(f"the server ended the connection: {text}")
            self._stop()
            self._line.forget()
            self._line.give_up(error)
            self._events.closed_by_server(error)
        else:
            self._connection.refused(text)

    # Whether messages are taken.

    def _told_blocked(self, reason: str | None) -> None:
        self._events.blocked(reason)
        self._tell_writable()

    def _tell_writable(self) -> None:
        if self.writable and not self._closed:
            self._events.writable()

    def _stop(self) -> None:
        self._closed = True
        self._held.close()

    async def close(self) -> None:
        self._stop()
        await self._connection.close()
