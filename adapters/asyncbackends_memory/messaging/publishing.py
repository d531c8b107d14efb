"""A link for messages out: what was sent on one that is lost and not answered yet never is."""

from collections import deque
from collections.abc import Sequence
from functools import partial

from asyncbackends.broker.wire import OutgoingMessage, PublishingEvents
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_memory.messaging.line import Line
from asyncbackends_memory.messaging.server import Server

__all__ = ("MemoryPublishingLink",)


class MemoryPublishingLink:
    """Implements :class:`asyncbackends.broker.wire.PublishingLink`."""

    def __init__(self, server: Server, events: PublishingEvents) -> None:
        self._server = server
        self._faults = server.faults
        self._events = events
        self._line = Line(server, events)
        self._number = 0
        self._told = 0
        """Every message to this number was answered, or never will be."""
        self._refused: list[tuple[int, BackendError]] = []
        self._unconfirmed: set[int] = set()
        """Numbers after ``_told`` that are not to be confirmed."""
        self._singly = False
        self._backlog: deque[OutgoingMessage] = deque()
        self._due = False
        self._mute = False
        server.publishing[self] = None
        if self._faults.blocked is not None:
            self.block(self._faults.blocked)

    @property
    def writable(self) -> bool:
        return self._line.alive and self._faults.blocked is None

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self._line.before("create_exchange")
        self._server.create_exchange(name, durable=durable, kind=kind)

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        if not self._line.alive or self._mute:
            return
        if self._faults.disturbs_publishing:
            self._send_disturbed(messages)
        else:
            take, now, number = self._server.take, self._server.clock.monotonic(), self._number
            for message in messages:
                number += 1
                error = take(message, now)
                if error is not None:
                    self._refuse(number, error)
            self._number = number
        self.ring()

    def _send_disturbed(self, messages: Sequence[OutgoingMessage]) -> None:
        faults, now = self._faults, self._server.clock.monotonic()
        for message in messages:
            if faults.blocked is not None:
                self._backlog.append(message)
                continue
            if faults.closes_at(message.message_id):
                self._close_by_server(message.message_id)
                return
            self._number += 1
            # One that is stored already is confirmed: a refusal means that it is not.
            is_new = not self._server.has(message, now)
            error = (faults.refusal() if is_new else None) or self._server.take(message, now)
            if error is not None:
                self._refuse(self._number, error)
            elif faults.loses_confirm():
                self._unconfirmed.add(self._number)
                self._singly = True

    def _refuse(self, number: int, error: BackendError) -> None:
        self._refused.append((number, error))
        self._unconfirmed.add(number)

    # What is told.

    def ring(self) -> None:
        """Tell in the next turn what was answered."""
        if not self._due:
            self._due = True
            self._server.turns.soon(self._tell)

    def _tell(self) -> None:
        self._due = False
        last, events, line = self._number, self._events, self._line
        if self._refused and line.alive:
            refused, self._refused = self._refused, []
            for number, error in refused:
                if line.alive:
                    events.refused(number, error)
        if self._faults.holds_confirms or not line.alive or last == self._told:
            return
        first, self._told = self._told + 1, last
        if not self._singly:
            self._unconfirmed.clear()
            events.confirmed(last, up_to=True)
            return
        for number in range(first, last + 1):
            if number in self._unconfirmed:
                self._unconfirmed.discard(number)
            elif line.alive:
                events.confirmed(number)

    def block(self, reason: str | None) -> None:
        """Take no messages for a reason, or take them again, first those sent meanwhile."""
        if reason is None:
            backlog = tuple(self._backlog)
            self._backlog.clear()
            self.send(backlog)
        self._server.turns.soon(partial(self._tell_blocked, reason))

    def _tell_blocked(self, reason: str | None) -> None:
        if self._line.alive:
            self._events.blocked(reason)
        if reason is None and self.writable:
            self._events.writable()

    def mute(self) -> None:
        """Lose what is sent from now on."""
        self._mute = True

    def lose(self, error: BackendError) -> None:
        """Break: what was not told is never told."""
        self._server.publishing.pop(self, None)
        self._line.lose(error)

    def _close_by_server(self, message_id: str) -> None:
        self._server.publishing.pop(self, None)
        self._line.stop()
        message = f"the server closed the link because of message {message_id}"
        self._server.turns.soon(partial(self._tell_closed, ConnectionLostError(message)))

    def _tell_closed(self, error: BackendError) -> None:
        if not self._line.closed:
            self._events.closed_by_server(error)

    async def close(self) -> None:
        self._server.publishing.pop(self, None)
        self._line.close()
