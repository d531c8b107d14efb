"""What was not stored for now, and is sent again: there is no room, or nobody leads the stream."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.clock import Clock, Timer
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends_nats.driver_errors import NO_STREAM
from asyncbackends_nats.names import Names
from asyncbackends_nats.refusals import no_exchange
from asyncbackends_nats.requests import Reply, Requests

__all__ = ("Held",)

AGAIN: Final = 0.3
"""Seconds before it is tried again, and again."""
PATIENCE: Final = 1.0
"""Seconds for the answer whether a stream is there: no answer is no leader either."""
BATCH: Final = 50
"""Messages per write."""

Numbered = tuple[int, OutgoingMessage]


class Held:
    """Keeps messages back, tells that the broker is blocked, and sends them again in order.

    Of each exchange the first goes alone, and the rest after its answer: were all sent at once
    while room or a leader comes back, the last of them might be stored without the first.
    """

    def __init__(
        self,
        requests: Requests,
        names: Names,
        clock: Clock,
        *,
        writable: Callable[[], bool],
        unanswered: Callable[[], dict[int, OutgoingMessage]],
        resend: Callable[[Sequence[Numbered]], None],
        refuse: Callable[[int, BackendError], None],
        told: Callable[[str | None], None],
    ) -> None:
        """Keep nothing yet.

        :param unanswered: gives, once, what was sent and has no answer: it may be lost, ahead of
            what is kept here, and must not come after it.
        :param told: hears why the broker is blocked, None when it is not any more.
        """
        self._requests = requests
        self._names = names
        self._clock = clock
        self._writable = writable
        self._unanswered = unanswered
        self._resend = resend
        self._refuse = refuse
        self._told = told
        self._messages: dict[int, OutgoingMessage] = {}
        self._probes: dict[str, int] = {}
        """By exchange the last one that was sent again: its answer lets the rest go."""
        self._missing: dict[str, None] = {}
        """Exchanges for which nobody answered, and which are to be looked for."""
        self._timer: Timer | None = None
        self._looking = False
        self._answer: Timer | None = None
        self._closed = False
        self.blocked = False

    def __bool__(self) -> bool:
        return bool(self._messages) or self._timer is not None

    def no_room(self, number: int, message: OutgoingMessage, reason: str) -> None:
        """Keep a message that JetStream has no room for."""
        self._messages[number] = message
        self._block(reason)

    def nobody(self, number: int, message: OutgoingMessage) -> None:
        """Keep a message that no stream took: the exchange is gone, or has no leader for now."""
        self._messages[number] = message
        self._missing[message.exchange] = None
        self._look()

    def keep(self, number: int, message: OutgoingMessage) -> None:
        """Keep a message that was not sent yet, behind what is kept already."""
        self._messages[number] = message

    def _block(self, reason: str) -> None:
        if not self.blocked:
            self.blocked = True
            self._told(reason)
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(AGAIN, self._try_again)

    def _of(self, exchange: str) -> list[int]:
        return sorted(n for n, message in self._messages.items() if message.exchange == exchange)

    # Whether the exchange is there.

    def _look(self) -> None:
        """Look for the next exchange for which nobody answered."""
        if self._looking:
            return
        exchange = next(iter(self._missing), None)
        if exchange is None:
            if self._messages and self._timer is None:
                # What was kept only because of those that are refused now.
                self._try_again()
            return
        del self._missing[exchange]
        self._looking = True
        subject = f"$JS.API.STREAM.INFO.{self._names.stream(exchange)}"
        number = self._requests.ask_for(subject, b"", partial(self._looked, exchange))
        if self._looking:
            late = partial(self._unheard, exchange, number)
            self._answer = self._clock.call_later(PATIENCE, late)

    def _unheard(self, exchange: str, number: bytes) -> None:
        self._requests.forget(number)
        self._looking, self._answer = False, None
        if not self._closed:
            self._wait_for_leader(exchange)

    def _looked(self, exchange: str, reply: Reply) -> None:
        self._looking = False
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None
        if self._closed or isinstance(reply.error, ConnectionLostError):
            return
        error = json.loads(reply.body).get("error") if reply.body else None
        if error is None or error.get("err_code") != NO_STREAM:
            self._wait_for_leader(exchange)
            return
        self._probes.pop(exchange, None)
        gone = [(number, self._messages.pop(number)) for number in self._of(exchange)]
        for number, message in gone:
            self._refuse(number, no_exchange(message))
        self._look()

    def _wait_for_leader(self, exchange: str) -> None:
        # Its messages may have been taken meanwhile.
        if self._of(exchange):
            self._block(f"exchange {exchange!r} has no leader for now")
        self._look()

    # Out again.

    def _try_again(self) -> None:
        """Send the first of each exchange that has no answer: the server knows what it has."""
        self._timer = None
        if self._closed:
            return
        self._messages |= self._unanswered()
        self._probes.clear()
        if not self._messages:
            self._relieved()
            return
        self._set_timer()
        for exchange in dict.fromkeys(one.exchange for one in self._messages.values()):
            self._send(self._of(exchange)[:1])

    def answered(self, in_flight: Mapping[int, OutgoingMessage]) -> None:
        """Hear that answers came: the rest of an exchange may follow, or all is well again."""
        if self._timer is not None:
            # More of them may be on their way.
            self._set_timer()
        for exchange, number in [*self._probes.items()]:
            if number not in in_flight and number not in self._messages:
                del self._probes[exchange]
                self._send(self._of(exchange))
        if not in_flight and not self._messages:
            self._relieved()

    def _send(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), BATCH):
            if not self._writable():
                return
            some = [n for n in numbers[start : start + BATCH] if n in self._messages]
            messages = [(number, self._messages.pop(number)) for number in some]
            for number, message in messages[-1:]:
                self._probes[message.exchange] = number
            self._resend(messages)

    def taken(self, number: int) -> OutgoingMessage | None:
        """Give a message whose answer came after all, and keep it no more."""
        return self._messages.pop(number, None)

    def _relieved(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.blocked:
            self.blocked = False
            self._told(None)

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        for timer in (self._timer, self._answer):
            if timer is not None:
                timer.cancel()
        self._timer = self._answer = None
