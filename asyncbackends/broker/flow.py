"""What one consumer on one link gives, and the answers to it.

A flow is one generation of a subscription. When its link goes, the flow is dead: what it gave is
stale, what it had not handed out yet is dropped, and the broker gives all of it again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from asyncbackends.backoff import Backoff
from asyncbackends.broker.dead_letters import dead_letter, failure_text, fate
from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.wire import Answer, Consumer, IncomingMessage, Verdict
from asyncbackends.clock import Clock, Timer
from asyncbackends.errors import BackendClosedError, BackendError, StaleDeliveryError
from asyncbackends.observability import Seam
from asyncbackends.protocols.messages import Death, DeathReason, QueueOptions, SubscribeOptions
from asyncbackends.protocols.values import Gap

__all__ = ("Flow", "FlowContext", "FlowEvents", "SeenIds")

AGAIN: Final = Backoff(0.1, 30.0)
"""After a handler failed."""
MAX_SEEN: Final = 100_000


class SeenIds:
    """The ids of messages that were acked within a window of time."""

    def __init__(self, window: float, clock: Clock) -> None:
        self._window = window
        self._clock = clock
        # A plain dict is slow to give its first where many before it were deleted.
        self._seen: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, message_id: object) -> bool:
        at = self._seen.get(message_id) if isinstance(message_id, str) else None
        return at is not None and self._clock.monotonic() - at <= self._window

    def add(self, message_id: str | None) -> None:
        """Note an id, and forget what is too old or too much."""
        if self._window == 0 or message_id is None:
            return
        now = self._clock.monotonic()
        self._seen[message_id] = now
        self._seen.move_to_end(message_id)
        while len(self._seen) > MAX_SEEN or now - next(iter(self._seen.values())) > self._window:
            self._seen.popitem(last=False)


class FlowEvents(Protocol):
    """What a flow tells its subscription, as long as it is alive."""

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Deliveries came, in the order of the queue."""
        ...

    def gap(self, gap: Gap) -> None:
        """The queue lost messages, and goes on."""
        ...

    def cancelled(self, queue_gone: bool) -> None:
        """The broker ended the consumer; the flow is dead."""
        ...


class FlowContext(msgspec.Struct, frozen=True):
    """What the flows of one subscription have in common."""

    queue_name: str
    queue: str | None
    """None is a private queue."""
    exchange: str
    options: SubscribeOptions
    seen: SeenIds
    outbox: Outbox
    clock: Clock
    clock_skew: float
    seam: Seam


class Flow:
    """Implements the events of a consumer, and where its deliveries are settled."""

    def __init__(
        self,
        context: FlowContext,
        options: QueueOptions,
        events: FlowEvents,
    ) -> None:
        self._context = context
        self._options = options
        self._events = events
        self._consumer: Consumer | None = None
        self._answers: list[Answer] = []
        self._scheduled: asyncio.Handle | None = None
        self._overdue: Timer | None = None
        self._burying = 0
        self._all_buried = asyncio.Event()
        self._handed_out: OrderedDict[Delivery, float] = OrderedDict()
        self.alive = True
        """Whether the link is there and the queue too."""
        self.queue = context.queue
        self.seam = context.seam
        self.logger = context.seam.logger

    # What the link tells.

    def begin(self, consumer: Consumer) -> None:
        """Take the consumer, to which answers go from now on."""
        self._consumer = consumer
        if self._answers:
            self._schedule()

    def received(self, messages: Sequence[IncomingMessage]) -> None:
        """See :class:`asyncbackends.broker.wire.ConsumerEvents`."""
        if not self.alive:
            return
        context, options = self._context, self._options
        now = context.clock.utc()
        deliveries: list[Delivery] = []
        for message in messages:
            decided = fate(message, options, now, context.clock_skew)
            if decided == "deliver":
                if context.options.dedupe_window and message.message_id in context.seen:
                    self._answer(Answer(message.token, "ack"))
                else:
                    deliveries.append(Delivery(message, self))
            elif decided == "expired":
                self._drop(message)
            else:
                text = f"delivered {message.delivery_count - 1} times without an ack"
                # This delivery is not handed out, so it does not count.
                self._bury(message, DeathReason.DELIVERY_LIMIT, text, message.delivery_count - 1)
        if deliveries:
            self._events.delivered(deliveries)

    def gap(self, gap: Gap) -> None:
        """See :class:`asyncbackends.broker.wire.ConsumerEvents`."""
        if self.alive:
            self._events.gap(gap)

    def cancelled(self, queue_gone: bool = True) -> None:
        """See :class:`asyncbackends.broker.wire.ConsumerEvents`."""
        if self.alive:
            self.end()
            self._events.cancelled(queue_gone)

    # How deliveries are settled.

    def settle(self, delivery: Delivery, verdict: Verdict, delay: float = 0.0) -> None:
        """See :class:`asyncbackends.broker.delivery.Settling`."""
        self._check(delivery, "ack" if verdict == "ack" else "nack")
        if verdict == "ack":
            self._context.seen.add(delivery.incoming.message_id)
        self._answer(Answer(delivery.incoming.token, verdict, delay))

    def bury(self, delivery: Delivery, reason: DeathReason, text: str) -> None:
        """See :class:`asyncbackends.broker.delivery.Settling`."""
        self._check(delivery, "reject")
        self._bury(delivery.incoming, reason, text, delivery.delivery_count)

    def failed(self, delivery: Delivery, error: Exception) -> None:
        """See :class:`asyncbackends.broker.delivery.Settling`."""
        most = self._options.max_deliveries
        if most is not None and delivery.delivery_count >= most:
            self.bury(delivery, DeathReason.DELIVERY_LIMIT, failure_text(error))
        else:
            self.settle(delivery, "again", AGAIN.half_jitter(delivery.delivery_count))

    def _check(self, delivery: Delivery, operation: str) -> None:
        if not self.alive or (
            self._context.options.max_processing is not None and delivery not in self._handed_out
        ):
            message = (
                f"message {delivery.message_id} is stale: its link is gone, its subscription has "
                f"ended or max_processing is over, and it will be delivered again"
            )
            raise self.seam.named(StaleDeliveryError(message), operation)
        self._handed_out.pop(delivery, None)

    def _bury(
        self, message: IncomingMessage, reason: DeathReason, text: str, delivery_count: int
    ) -> None:
        context = self._context
        exchange = self._options.dead_letter
        if exchange is None:
            self.logger.warning(
                "message %s is dropped (%s): queue %s has no dead letter exchange",
                message.message_id,
                reason.value,
                context.queue or "of a subscription",
            )
            self._answer(Answer(message.token, "ack"))
            return
        now = datetime.fromtimestamp(context.clock.utc(), UTC)
        death = Death(reason, text, message.exchange, context.queue, delivery_count, now)
        copy = dead_letter(message, exchange, context.queue_name, death)

        def published(error: BackendError | None) -> None:
            self._burying -= 1
            if self._burying == 0:
                self._all_buried.set()
            if error is None:
                self._answer(Answer(message.token, "ack"))
            elif not isinstance(error, BackendClosedError):
                self.logger.warning(
                    "message %s could not become a dead letter of %s and is delivered again: %s",
                    message.message_id,
                    exchange,
                    type(error).__name__,
                )
                delay = AGAIN.half_jitter(message.delivery_count)
                self._answer(Answer(message.token, "again", delay))

        self._burying += 1
        context.outbox.put(copy, len(copy.body), published)

    async def buried(self) -> None:
        """Wait until no copy for a dead letter exchange is unanswered, or all is stale."""
        while self._burying and self.alive:
            self._all_buried.clear()
            await self._all_buried.wait()

    def _drop(self, message: IncomingMessage) -> None:
        self.logger.debug("message %s has expired and is dropped", message.message_id)
        self._answer(Answer(message.token, "ack"))

    def _answer(self, answer: Answer) -> None:
        if self.alive:
            self._answers.append(answer)
            if self._scheduled is None:
                self._schedule()

    def _schedule(self) -> None:
        self._scheduled = asyncio.get_running_loop().call_soon(self.hand_over)

    def hand_over(self) -> None:
        """Hand the answers that are due to the link."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._answers and self._consumer is not None:
            answers, self._answers = self._answers, []
            self._consumer.settle(answers)

    # What the user gets, and for how long.

    def hands_out(self, delivery: Delivery) -> bool:
        """Note that a delivery is with the user from now on; False: it expired while it waited."""
        message, options, context = delivery.incoming, self._options, self._context
        if (message.expires_at is not None or options.message_ttl is not None) and fate(
            message, options, context.clock.utc(), context.clock_skew
        ) == "expired":
            self._drop(message)
            return False
        most = context.options.max_processing
        if most is not None:
            self._handed_out[delivery] = context.clock.monotonic() + most
            if self._overdue is None:
                self._overdue = context.clock.call_later(most, self._return_overdue)
        return True

    def _return_overdue(self) -> None:
        self._overdue = None
        now = self._context.clock.monotonic()
        while self._handed_out:
            delivery, until = next(iter(self._handed_out.items()))
            if until > now:
                self._overdue = self._context.clock.call_later(until - now, self._return_overdue)
                return
            del self._handed_out[delivery]
            if not delivery.settled:
                self._answer(Answer(delivery.incoming.token, "again"))

    def end(self) -> None:
        """Let everything that this flow gave be stale."""
        self.alive = False
        self._answers.clear()
        self._handed_out.clear()
        self._all_buried.set()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    async def close(self) -> None:
        """Hand over the last answers and end the consumer, which returns what has none."""
        self.hand_over()
        self.end()
        if self._consumer is not None:
            await self._consumer.close()
