"""The ordered, bounded outbox: what was published and is not answered yet.

Messages go out in the order of calls, and again in that order with the same ids when a link was
lost before their answers. There is no task and no timer per message: one call at the end of the
loop's turn sends what was published in it, and one timer serves all deadlines.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from typing import Final

from asyncbackends.broker.outbox_entries import Entry, closed, refusal, refused_again, too_late
from asyncbackends.broker.wire import OutgoingMessage, PublishingLink
from asyncbackends.clock import Clock, Timer
from asyncbackends.errors import BackendError, OperationTimeoutError, OutboxFullError

__all__ = ("Outbox",)

BATCH: Final = 50
"""Messages per write: fewer cost a system call each, more do not get cheaper."""
NEVER: Final = float("inf")


class Outbox:
    """Implements :class:`asyncbackends.broker.wire.PublishingEvents` for the present link."""

    def __init__(
        self,
        clock: Clock,
        max_messages: int,
        max_bytes: int,
        *,
        engine: str,
        dedupes: bool = False,
    ) -> None:
        """Start without a link.

        :param engine: for the errors of messages.
        :param dedupes: the broker knows again what it stored, so it refuses only what it has not.
        """
        self._clock = clock
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._engine = engine
        self._dedupes = dedupes
        self._bytes = 0
        self._sequence = 0
        self._oldest = 1
        """All before it are answered."""
        self._live: dict[int, Entry] = {}
        self._waiting: deque[Entry] = deque()
        self.in_flight: dict[int, Entry] = {}
        """What the link has not answered, by number in the order of sending."""
        self._number = 0
        self._link: PublishingLink | None = None
        self._scheduled: asyncio.Handle | None = None
        self._sending = False
        self._room: deque[tuple[asyncio.Future[None], Entry]] = deque()
        self._flushing: list[tuple[int, asyncio.Future[None]]] = []
        self._alarm: Timer | None = None
        self._alarm_at = NEVER
        self._failed: dict[int, BackendError] = {}
        self._suspects: set[int] = set()
        self._gave_up = False
        """One that was sent on this link was given up: it may be the culprit as well."""
        self._closed: BackendError | None = None

    def __len__(self) -> int:
        return len(self._live)

    def now(self) -> float:
        """Give seconds since 1970 UTC."""
        return self._clock.utc()

    # What publishers call.

    async def publish(self, message: OutgoingMessage, size: int, timeout: float) -> str:
        """Put a message in and wait for its answer; see ``publish`` of the Protocol."""
        entry = Entry(message, size, self._clock.monotonic() + timeout)
        if self._room or not self._fits(size):
            await self._wait_for_room(entry, timeout)
        else:
            self._add(entry)
        if not entry.done:
            entry.waiter = asyncio.get_running_loop().create_future()
            try:
                await entry.waiter
            except asyncio.CancelledError:
                if not entry.done:
                    self._give_up(entry, None)
                raise
        if entry.error is not None:
            raise entry.error
        return message.message_id

    def put(
        self,
        message: OutgoingMessage,
        size: int,
        on_done: Callable[[BackendError | None], None] | None = None,
    ) -> Entry:
        """Put a message in, to stay until it is answered.

        :param on_done: the core's own message, whose number is bounded already: it is told how it
            ended, and is taken also where there is no room.
        :raises OutboxFullError: there is no room.
        """
        if on_done is None and (self._room or not self._fits(size)):
            text = (
                f"the outbox is full: {len(self._live)} messages of {self._bytes} bytes wait for "
                f"the broker's confirm; await publish() or flush()"
            )
            raise OutboxFullError(text)
        entry = Entry(message, size, NEVER)
        entry.on_done = on_done
        self._add(entry)
        return entry

    async def answer(self, entry: Entry) -> str:
        """Wait for the answer of a message that was put in; cancelling does not take it back."""
        if not entry.done:
            if entry.waiter is None:
                entry.waiter = asyncio.get_running_loop().create_future()
            entry.awaited += 1
            try:
                await asyncio.shield(entry.waiter)
            except asyncio.CancelledError:
                entry.awaited -= 1
                if entry.done and not entry.awaited:
                    self._note_failure(entry)
                raise
        if entry.error is not None:
            self._failed.pop(entry.sequence, None)
            raise entry.error
        return entry.message.message_id

    async def flush(self, timeout: float) -> None:
        """Wait until all that is in now is answered.

        :raises OperationTimeoutError: some are not.
        """
        # Those that wait for room were published before too.
        last = self._sequence + len(self._room)
        if not self._unanswered(last):
            return
        flushed = asyncio.get_running_loop().create_future()
        waiting = (last, flushed)
        self._flushing.append(waiting)
        alarm = self._clock.call_later(timeout, lambda: _wake(flushed))
        try:
            await flushed
        finally:
            alarm.cancel()
            self._flushing.remove(waiting)
        if self._unanswered(last):
            text = f"{len(self._live)} messages were not confirmed within {timeout:g} s"
            raise OperationTimeoutError(text)

    def failures(self) -> list[BackendError]:
        """Give the errors of messages whose receipts nobody awaited, once."""
        failed = list(self._failed.values())
        self._failed.clear()
        return failed

    def _unanswered(self, last: int) -> bool:
        """Say whether any of the messages to that sequence number is still in."""
        while self._oldest not in self._live and self._oldest <= self._sequence:
            self._oldest += 1
        return bool(self._live) and self._oldest <= last

    # Room.

    def _fits(self, size: int) -> bool:
        return len(self._live) < self._max_messages and self._bytes + size <= self._max_bytes

    async def _wait_for_room(self, entry: Entry, timeout: float) -> None:
        room = asyncio.get_running_loop().create_future()
        waiting = (room, entry)
        self._room.append(waiting)
        alarm = self._clock.call_later(timeout, lambda: _wake(room))
        try:
            await room
        except asyncio.CancelledError:
            # It was let in at the moment at which it was cancelled, and may be sent already.
            if entry.sequence and not entry.done:
                self._give_up(entry, None)
            raise
        finally:
            alarm.cancel()
            if not entry.sequence and waiting in self._room:
                self._room.remove(waiting)
                self._let_in()
        if entry.sequence:
            return
        if self._closed is not None:
            raise closed(self._closed, maybe_applied=False)
        text = (
            f"the outbox was full for {timeout:g} s: {len(self._live)} messages wait for the "
            f"broker's confirm"
        )
        raise OutboxFullError(text)

    def _let_in(self) -> None:
        """Take in, in order, those who wait and whose messages fit."""
        while self._room:
            room, entry = self._room[0]
            if not self._fits(entry.size):
                return
            self._room.popleft()
            if not room.done():
                self._add(entry)
                room.set_result(None)

    # Sending.

    def _add(self, entry: Entry) -> None:
        self._sequence += 1
        entry.sequence = self._sequence
        self._live[entry.sequence] = entry
        self._bytes += entry.size
        idle = not self._waiting and not self.in_flight
        self._waiting.append(entry)
        if entry.deadline < self._alarm_at:
            self._set_alarm(entry.deadline)
        if self._link is None or self._scheduled is not None:
            return
        if idle and not self._sending:
            # One alone goes at once; those that follow in this turn of the loop go together.
            self._send()
        else:
            self._scheduled = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = None
        self._sending = True
        while self._link is not None and self._waiting and self._link.writable:
            batch = self._next_batch()
            if not batch:
                break
            self._link.send(batch)
        self._sending = False

    def _next_batch(self) -> list[OutgoingMessage]:
        batch: list[OutgoingMessage] = []
        most = BATCH if not self._suspects else 1 - len(self.in_flight)
        while self._waiting and len(batch) < most:
            entry = self._waiting.popleft()
            if not entry.done:
                self._number += 1
                self.in_flight[self._number] = entry
                entry.number = self._number
                entry.sends += 1
                batch.append(entry.message)
        return batch

    # What the supervisor of the link calls.

    def attach(self, link: PublishingLink) -> None:
        """Send on a new link, first what has no answer from an earlier one."""
        self._link = link
        self._number = 0
        self._gave_up = False
        self._send()

    def detach(self) -> None:
        """Forget the link; what has no answer is to be sent again, in order."""
        self._link = None
        self._waiting.extendleft(reversed(self.in_flight.values()))
        self.in_flight.clear()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def search_culprit(self, error: BackendError) -> None:
        """Note, before :meth:`detach`, that the server closed the link because of a message.

        From then on messages go one at a time until all that were in flight are answered; the one
        that is alone when it happens again is the culprit.
        """
        if len(self.in_flight) == 1 and not self._gave_up:
            (entry,) = self.in_flight.values()
            self._finish(entry, refusal(error, entry.message.message_id))
        self._suspects.update(entry.sequence for entry in self.in_flight.values() if not entry.done)

    # What the link tells.

    def confirmed(self, number: int, up_to: bool = False) -> None:
        """See :class:`asyncbackends.broker.wire.PublishingEvents`."""
        if not up_to:
            entry = self.in_flight.pop(number, None)
            if entry is not None:
                self._finish(entry, None)
        else:
            for one in self._numbers(number):
                self._finish(self.in_flight.pop(one), None)
        self._go_on()

    def _numbers(self, last: int) -> list[int]:
        """Give the numbers to that one that have no answer."""
        return list(takewhile(lambda one: one <= last, self.in_flight))

    def refused(self, number: int, error: BackendError, up_to: bool = False) -> None:
        """See :class:`asyncbackends.broker.wire.PublishingEvents`."""
        for one in self._numbers(number) if up_to else (number,):
            entry = self.in_flight.pop(one, None)
            if entry is not None:
                known = entry.sends == 1 or self._dedupes
                self._finish(entry, error if known else refused_again(entry, error))
        self._go_on()

    def writable(self) -> None:
        """See :class:`asyncbackends.broker.wire.PublishingEvents`."""
        self._go_on()

    def _go_on(self) -> None:
        if (
            self._waiting
            and self._scheduled is None
            and self._link is not None
            and not self._sending
        ):
            self._scheduled = asyncio.get_running_loop().call_soon(self._send)

    # Ends.

    def _finish(self, entry: Entry, error: BackendError | None) -> None:
        entry.done = True
        entry.error = error
        if error is not None:
            error.engine, error.operation = self._engine, "publish"
        del self._live[entry.sequence]
        self._bytes -= entry.size
        if self._suspects:
            self._suspects.discard(entry.sequence)
        if entry.waiter is not None:
            _wake(entry.waiter)
        if entry.on_done is not None:
            entry.on_done(error)
        elif entry.deadline == NEVER and not entry.awaited:
            self._note_failure(entry)
        if self._room:
            self._let_in()
        if self._flushing:
            for last, flushed in self._flushing:
                if not self._unanswered(last):
                    _wake(flushed)

    def _note_failure(self, entry: Entry) -> None:
        """Keep the error of a receipt that nobody awaits."""
        if entry.error is not None:
            if len(self._failed) >= self._max_messages:
                del self._failed[next(iter(self._failed))]
            self._failed[entry.sequence] = entry.error

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = at
        if at < NEVER:
            self._alarm = self._clock.call_later(at - self._clock.monotonic(), self._end_late_ones)

    def _end_late_ones(self) -> None:
        self._alarm = None
        now = self._clock.monotonic()
        for entry in [one for one in self._live.values() if one.deadline <= now]:
            if not entry.done:
                self._give_up(entry, too_late(entry))
        self._set_alarm(min((one.deadline for one in self._live.values()), default=NEVER))

    def _give_up(self, entry: Entry, error: BackendError | None) -> None:
        """End a message that has no answer; one that comes later goes by."""
        if self.in_flight.get(entry.number) is entry:
            del self.in_flight[entry.number]
            self._gave_up = True
        self._finish(entry, error)
        if len(self._waiting) > 2 * len(self._live) + BATCH:
            # Without a link nothing else takes out those that were given up.
            self._waiting = deque(one for one in self._waiting if not one.done)
        self._go_on()

    def close(self, error: BackendError) -> None:
        """End everything that is in with BackendClosedError because of ``error``."""
        self.detach()
        self._closed = error
        self._set_alarm(NEVER)
        while self._room:
            _wake(self._room.popleft()[0])
        for entry in list(self._live.values()):
            self._finish(entry, closed(error, maybe_applied=entry.sends > 0))
        self._waiting.clear()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
