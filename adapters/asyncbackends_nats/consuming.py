"""A link for messages in and for declarations."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from asyncbackends.broker.wire import ConsumerEvents, DeclaredQueue, QueueDeclaration
from asyncbackends.clock import Clock
from asyncbackends.errors import ConnectionLostError, OperationTimeoutError, QueueNotFoundError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_nats.consumers import NAK, NatsConsumer, sequence_of
from asyncbackends_nats.declaring import Declaring, Found
from asyncbackends_nats.deleting import Deleting
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.memory import Memory
from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.queues import Queues

__all__ = ("NatsConsumingLink",)

FRESH: Final = 2 / 3
"""Of ack_wait: then the server delivers what was kept alive a third of it before the link went."""
LONGEST: Final = 16
"""Digits of the nanoseconds of an ack_wait."""
PRESENCE: Final = 0.1
"""Seconds that another consumer of a queue has to say that it is there."""
TRIES: Final = 5
SHARE: Final = 0.8
"""Of operation_timeout, for a declaration."""
PATIENCE: Final = 2.0
"""Seconds for the server to take back what a consumer that is gone has left."""
PAUSE: Final = 0.01
MOST_RETURNED: Final = 20_000


class _Presence:
    """Answers those who ask whether a queue has a consumer.

    :param shorter: hears for how many nanoseconds the server waits for acks from now on.
    """

    def __init__(
        self, connection: Connection, subject: str, shorter: Callable[[int], None]
    ) -> None:
        self._line = connection.line
        self._shorter = shorter
        self._sid = connection.next_subscription()
        self._line.reader.receivers[self._sid] = self
        self.count = 0
        self._line.send(b"SUB %s %s\r\n" % (subject.encode(), self._sid))

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        if reply:
            self._line.send(b"PUB %s 0\r\n\r\n" % reply)
        if body.isdigit() and len(body) <= LONGEST:
            # Anybody may say so, and nobody asks for less than a second.
            self._shorter(max(NANO, int(body)))

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""

    def end(self) -> None:
        """Answer no more."""
        self._line.reader.receivers.pop(self._sid, None)
        self._line.send(b"UNSUB %s\r\n" % self._sid)


class NatsConsumingLink:
    """Implements :class:`asyncbackends.broker.wire.ConsumingLink`."""

    def __init__(
        self,
        connection: Connection,
        exchanges: Exchanges,
        declaring: Declaring,
        deleting: Deleting,
        memory: Memory,
        clock: Clock,
        operation_timeout: float,
    ) -> None:
        self._seconds = operation_timeout * SHARE
        self._connection = connection
        self._exchanges = exchanges
        self._declaring = declaring
        self._deleting = deleting
        self._memory = memory
        self._clock = clock
        self._declared: dict[str, Found] = {}
        self._consumers: dict[NatsConsumer, str] = {}
        self._present: dict[str, _Presence] = {}

    async def server_info(self) -> ServerInfo:
        await self._connection.requests.api("INFO")
        return ServerInfo("NATS", self._connection.version)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        await self._exchanges.create(name, durable=durable, kind=kind)

    async def delete_exchange(self, name: str) -> None:
        await self._deleting.delete_exchange(name)

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        if queue.private_ttl is not None:
            self._memory.private[queue.name] = queue.exchange
        # Whether what has no answer made the queue is known when it is found: so it is said of no
        # error that it may have, and the core is not left to end the call.
        try:
            async with asyncio.timeout(self._seconds):
                declared, found = await self._declaring.declare(queue, must_match=must_match)
        except ConnectionLostError as error:
            raise ConnectionLostError(str(error)) from error
        except TimeoutError as error:
            message = f"queue {queue.name!r} could not be declared in {self._seconds:.3g} s"
            raise OperationTimeoutError(message) from error
        self._declared[queue.name] = found
        return declared

    async def delete_queue(self, name: str) -> None:
        exchange = self._memory.private.get(name)
        await self._deleting.delete_queue(name, exchange)
        self._memory.private.pop(name, None)
        found = self._declared.pop(name, None)
        if found is not None:
            self._memory.delays.pop((found.stream, found.name), None)
            self._memory.orphans.pop((found.stream, found.name), None)

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> NatsConsumer:
        found = self._declared.get(queue)
        if found is None:
            message = f"queue {queue!r} was deleted on this link"
            raise QueueNotFoundError(message)
        place = found.stream, found.name
        orphans = self._orphans(found)
        try:
            await self._give_back(await self._left_over(queue, found, [*orphans]))
        except BaseException:
            self._memory.orphans.setdefault(place, {}).update(orphans)
            raise
        delays = self._memory.delays.setdefault(place, {})
        consumer = NatsConsumer(
            self._connection,
            self._exchanges.names,
            found,
            prefetch,
            events,
            self._clock,
            delays,
            self._left,
        )
        self._consumers[consumer] = queue
        if not found.is_private:
            presence = self._present.get(queue)
            if presence is None:
                subject = self._exchanges.names.presence(queue)
                shorter = partial(self._shorten, queue)
                presence = self._present[queue] = _Presence(self._connection, subject, shorter)
            presence.count += 1
        consumer.begin()
        return consumer

    def _orphans(self, found: Found) -> dict[bytes, float]:
        """Take what a lost link has left, but for what others may have by now."""
        orphans = self._memory.orphans.pop((found.stream, found.name), {})
        ack_wait: float = found.info["config"]["ack_wait"] / NANO
        since = self._clock.monotonic() - ack_wait * FRESH
        return {token: lost_at for token, lost_at in orphans.items() if lost_at >= since}

    def _shorten(self, queue: str, ack_wait: int) -> None:
        for consumer, consumed in self._consumers.items():
            if consumed == queue:
                consumer.shorten(ack_wait)

    async def _give_back(self, tokens: Sequence[bytes]) -> None:
        """Return deliveries of a consumer that is gone, before anything is pulled.

        What is pulled meanwhile would come twice.
        """
        if tokens:
            self._connection.line.send(b"".join([NAK % token for token in tokens[:-1]]))
            with suppress(OperationTimeoutError):
                await self._connection.requests.ask(tokens[-1].decode(), b"-NAK", seconds=PATIENCE)

    async def _left_over(
        self, queue: str, found: Found, orphans: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Give the ack subjects of what a consumer that is gone has left without an answer.

        The server waits ack_wait for it. What was on its way to a lost link nobody has seen: it
        can be told of only if nobody else consumes the queue, and once the server has missed the
        link: until then it sends there what is published.
        """
        if not found.info.get("num_ack_pending") and not found.info.get("num_waiting"):
            return []
        if not found.is_private and not await self._is_alone(queue):
            return orphans
        info = await self._unserved(found)
        if info is None:
            return orphans
        floor, last = info["ack_floor"]["stream_seq"], info["delivered"]["stream_seq"]
        if last - floor > MOST_RETURNED:
            return orphans
        delays = self._memory.delays.get((found.stream, found.name), {})
        now = self._clock.monotonic()
        newest = info["delivered"]["consumer_seq"]
        held = {sequence_of(token): token for token in orphans}
        forged = f"$JS.ACK.{found.stream}.{found.name}.1.%d.{newest}.0.0"
        return [
            held.get(number) or (forged % number).encode()
            for number in range(floor + 1, last + 1)
            if delays.get(number, 0.0) <= now
        ]

    async def _unserved(self, found: Found) -> Mapping[str, Any] | None:
        """Give what the server says of a queue when no pull waits, None if one goes on to."""
        info: Mapping[str, Any] | None = found.info
        queues, end = Queues(self._connection.requests), self._clock.monotonic() + PATIENCE
        while info is not None and info.get("num_waiting"):
            if self._clock.monotonic() > end:
                return None
            await asyncio.sleep(PAUSE)
            info = await queues.find(found.stream, found.name)
        return info

    async def _is_alone(self, queue: str) -> bool:
        """Say whether nobody else consumes a queue; one that does not answer may be on its way out."""
        subject = self._exchanges.names.presence(queue)
        for _ in range(TRIES):
            try:
                reply = await self._connection.requests.ask(subject, seconds=PRESENCE)
            except OperationTimeoutError:
                continue
            return reply.status == "503"
        return False

    def _left(self, consumer: NatsConsumer, unsettled: Sequence[bytes]) -> None:
        queue = self._consumers.pop(consumer, None)
        presence = self._present.get(queue) if queue is not None else None
        if presence is not None and queue is not None:
            presence.count -= 1
            if presence.count == 0:
                del self._present[queue]
                presence.end()
        if unsettled and self._connection.line.lost is not None:
            place = consumer.found.stream, consumer.found.name
            lost = dict.fromkeys(unsettled, self._clock.monotonic())
            self._memory.orphans.setdefault(place, {}).update(lost)

    def stop(self) -> None:
        """Let its consumers end; what is unsettled goes back."""
        for consumer in tuple(self._consumers):
            consumer.silence()

    async def close(self) -> None:
        self.stop()
        await self._connection.close()
