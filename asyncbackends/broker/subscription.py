"""The iteration over a queue's deliveries, across links and gaps."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Protocol, Self

from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.flow import Flow, FlowContext
from asyncbackends.broker.wire import ConsumingLink, DeclaredQueue, QueueDeclaration
from asyncbackends.clock import checked_timeout
from asyncbackends.errors import BackendError, DeliveryGapError, OperationTimeoutError
from asyncbackends.protocols.message_broker import OnGap
from asyncbackends.protocols.values import Gap

__all__ = ("QueueSubscription", "SubscriptionHost")


class SubscriptionHost(Protocol):
    """What keeps subscriptions attached to the present link."""

    async def open(self, subscription: "QueueSubscription") -> None:
        """Attach it for the first time."""
        ...

    async def close(self, subscription: "QueueSubscription") -> None:
        """Detach it for good."""
        ...

    def reattach(self, subscription: "QueueSubscription") -> None:
        """Attach it again: its queue is gone, and the link is not."""
        ...


class QueueSubscription:
    """Implements :class:`asyncbackends.Subscription`, and the block around it."""

    def __init__(
        self,
        host: SubscriptionHost,
        declaration: QueueDeclaration,
        context: FlowContext,
        on_gap: OnGap | None,
    ) -> None:
        self.declaration = declaration
        self.context = context
        self.flow: Flow | None = None
        self.link: ConsumingLink | None = None
        """The one that the flow is on."""
        self.failure: BackendError | None = None
        """What its iteration raises, for good: it is attached no more."""
        self.is_cancelled = False
        """Its consumer was ended by the broker, and it is to be attached again."""
        self.gaps = 0
        self.attaching = False
        """Somebody attaches it right now."""
        self._host = host
        self._on_gap = on_gap
        self._buffer: deque[Delivery] = deque()
        self._pending_gaps: deque[Gap] = deque()
        self._in_gap = False
        self._is_new = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def queue(self) -> str | None:
        return self.context.queue

    async def __aenter__(self) -> Self:
        await self._host.open(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._host.close(self)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            if self._pending_gaps:
                await self._pass_gap()
                continue
            if (delivery := self._take()) is not None:
                return delivery
            await self._arrival()

    async def get(self, timeout: float) -> Delivery:
        """See :meth:`asyncbackends.Subscription.get`."""
        checked_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self.__anext__()
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            message = f"no message came from {self.queue or 'the private queue'} in {timeout:g} s"
            raise OperationTimeoutError(message) from None

    async def take_now(self) -> Delivery | None:
        """Give a delivery that is here already, or None."""
        if not self._buffer and not self._pending_gaps and self.failure is None:
            # What arrived in the last turn of the loop gets here in this one.
            await asyncio.sleep(0)
        while self._pending_gaps and self.failure is None:
            await self._pass_gap()
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        return self._take()

    def _take(self) -> Delivery | None:
        while self._buffer:
            delivery = self._buffer.popleft()
            if self.flow is None or self.flow.hands_out(delivery):
                return delivery
        return None

    async def _arrival(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            # Whoever was woken and is cancelled passes it on.
            if waiter.done() and not waiter.cancelled():
                self._wake(1)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self, count: int) -> None:
        while self._waiters and count > 0:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    async def _pass_gap(self) -> None:
        """Have the user told of the next gap, before anything that came after it."""
        if self._in_gap:
            # Another task tells; when it has, it wakes this one.
            await self._arrival()
            return
        if self._on_gap is None:
            gap = self._pending_gaps.popleft()
            message = (
                f"messages of {self.queue or 'the private queue'} may have been missed "
                f"({gap.reason}); iterate on, or give subscribe() an on_gap"
            )
            raise DeliveryGapError(message, gap=gap)
        self._in_gap = True
        try:
            await self._on_gap(self._pending_gaps[0])
            self._pending_gaps.popleft()
        finally:
            self._in_gap = False
            self._wake(len(self._waiters))

    # What the host and the flow tell.

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """See :class:`asyncbackends.broker.flow.FlowEvents`."""
        self._buffer.extend(deliveries)
        self._wake(len(deliveries))

    def gap(self, gap: Gap) -> None:
        """See :class:`asyncbackends.broker.flow.FlowEvents`."""
        self.gaps += 1
        # One that is not told yet stands for all like it: so there is never more than one of each.
        if gap not in islice(self._pending_gaps, int(self._in_gap), None):
            self._pending_gaps.append(gap)
        self._wake(len(self._waiters))

    def cancelled(self, queue_gone: bool) -> None:
        """See :class:`asyncbackends.broker.flow.FlowEvents`."""
        self._buffer.clear()
        self.is_cancelled = True
        if queue_gone:
            # It may be there again, made by somebody else.
            self._is_new = True
        self._host.reattach(self)

    def perhaps_made(self) -> None:
        """Note that the queue may be a new one, since the answer to a declaration was lost."""
        self._is_new = self._is_new or self.flow is not None

    def begin(self, declared: DeclaredQueue, link: ConsumingLink) -> Flow:
        """Give the flow for a new link, before anything of it can come."""
        if self._is_new or (declared.created and self.flow is not None):
            self.gap(Gap("recreated"))
        self.is_cancelled = self._is_new = False
        self.detach()
        self.flow = Flow(self.context, declared.options, self)
        self.link = link
        return self.flow

    def detach(self) -> None:
        """Let what came from the link be stale, and drop what was not handed out."""
        if self.flow is not None:
            self.flow.end()
        self.link = None
        self._buffer.clear()

    def stop(self, error: BackendError) -> None:
        """Raise an error from the iteration from now on; what was handed out may be settled."""
        self.failure = error
        if error.engine is None:
            self.context.seam.named(error, "subscribe")
        self._buffer.clear()
        self._wake(len(self._waiters))

    def fail(self, error: BackendError) -> None:
        """Raise an error from the iteration from now on, and let all be stale."""
        self.detach()
        self.stop(error)
