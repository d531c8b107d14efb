"""Parts of a message broker that are wrong on purpose, by one small change each."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import msgspec

from asyncbackends.broker.connections import Connections
from asyncbackends.broker.consumption import Consumption
from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.flow import Flow
from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.outbox_entries import Entry
from asyncbackends.broker.subscription import QueueSubscription
from asyncbackends.broker.wire import Answer, IncomingMessage, OutgoingMessage, Verdict
from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
    PublishRejectedError,
)
from asyncbackends.protocols.messages import DeathReason
from asyncbackends.protocols.values import Gap

# Outboxes.


class SendsUnconfirmedLast(Outbox):
    def detach(self) -> None:
        waiting, in_flight = [*self._waiting], [*self.in_flight.values()]
        super().detach()
        self._waiting = deque([*waiting, *in_flight])


class ForgetsInFlight(Outbox):
    def detach(self) -> None:
        for entry in [*self.in_flight.values()]:
            self._finish(entry, None)
        self.in_flight.clear()
        super().detach()


class RenamesInFlight(Outbox):
    def detach(self) -> None:
        for entry in self.in_flight.values():
            message_id = f"{entry.message.message_id}-again"
            entry.message = msgspec.structs.replace(entry.message, message_id=message_id)
        super().detach()


class SendsBackwards(Outbox):
    def _next_batch(self) -> list[OutgoingMessage]:
        self._waiting = deque(sorted(self._waiting, key=lambda entry: -entry.sequence))
        return super()._next_batch()


class AlwaysFits(Outbox):
    def _fits(self, size: int) -> bool:
        return True


class DropsTheOldest(Outbox):
    def _fits(self, size: int) -> bool:
        while self._live and not super()._fits(size):
            entry = next(iter(self._live.values()))
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._finish(entry, None)
        return True


class KeepsLateOnes(Outbox):
    async def publish(self, message: OutgoingMessage, size: int, timeout: float) -> str:
        try:
            return await super().publish(message, size, timeout)
        except OperationTimeoutError:
            self.put(message, size, lambda error: None)
            raise


class HasNoFailures(Outbox):
    def failures(self) -> list[BackendError]:
        super().failures()
        return []


class RefusesAllInFlight(Outbox):
    def search_culprit(self, error: BackendError) -> None:
        for entry in [*self.in_flight.values()]:
            self._finish(entry, PublishRejectedError("one of them was it"))
        self.in_flight.clear()


class StripsDeath(Outbox):
    def put(self, message: OutgoingMessage, *args: Any, **kwargs: Any) -> Entry:
        headers = {name: text for name, text in message.headers.items() if name[:3] != "ab-"}
        return super().put(msgspec.structs.replace(message, headers=headers), *args, **kwargs)


# Deliveries and where they are settled.


class SettledTwice(Delivery):
    __slots__ = ()

    def _unsettled(self, operation: str) -> None:
        return


class AckedOnCancel(Delivery):
    __slots__ = ()

    def process(self) -> AbstractAsyncContextManager[None]:
        return AckingBlock(self, super().process())


class AckingBlock:
    def __init__(self, delivery: Delivery, block: AbstractAsyncContextManager[None]) -> None:
        self._delivery = delivery
        self._block = block

    async def __aenter__(self) -> None:
        await self._block.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if isinstance(exc, asyncio.CancelledError) and not self._delivery.settled:
            await self._delivery.ack()
        return await self._block.__aexit__(exc_type, exc, traceback)


class GivesDeliveriesToSettleTwice(Flow):
    def hands_out(self, delivery: Delivery) -> bool:
        delivery.__class__ = SettledTwice
        return super().hands_out(delivery)


class GivesDeliveriesThatAckOnCancel(Flow):
    def hands_out(self, delivery: Delivery) -> bool:
        delivery.__class__ = AckedOnCancel
        return super().hands_out(delivery)


class AcksWhatIsLeft(Flow):
    def received(self, messages: Sequence[IncomingMessage]) -> None:
        self.tokens: list[Any] = [
            *getattr(self, "tokens", ()),
            *(message.token for message in messages),
        ]
        super().received(messages)

    def end(self) -> None:
        if self._consumer is not None:
            self._consumer.settle([Answer(token, "ack") for token in getattr(self, "tokens", ())])
        super().end()


class ChecksNothing(Flow):
    def _check(self, delivery: Delivery, operation: str) -> None:
        self._handed_out.pop(delivery, None)


class _Changed(Flow):
    @staticmethod
    def change(message: IncomingMessage) -> IncomingMessage:
        raise NotImplementedError

    def received(self, messages: Sequence[IncomingMessage]) -> None:
        super().received([self.change(message) for message in messages])


class SaysFirst(_Changed):
    @staticmethod
    def change(message: IncomingMessage) -> IncomingMessage:
        return msgspec.structs.replace(message, redelivered=False)


class CountsLess(_Changed):
    @staticmethod
    def change(message: IncomingMessage) -> IncomingMessage:
        return msgspec.structs.replace(message, delivery_count=message.delivery_count - 1)


class TakesFailureForSuccess(Flow):
    def failed(self, delivery: Delivery, error: Exception) -> None:
        self.settle(delivery, "ack")


class RetriesAtOnce(Flow):
    def failed(self, delivery: Delivery, error: Exception) -> None:
        most = self._options.max_deliveries
        if most is not None and delivery.delivery_count >= most:
            super().failed(delivery, error)
        else:
            self.settle(delivery, "again")


class ToleratesOneMore(Flow):
    def received(self, messages: Sequence[IncomingMessage]) -> None:
        if self._options.max_deliveries is not None and not hasattr(self, "tolerant"):
            self.tolerant = True
            more = self._options.max_deliveries + 1
            self._options = msgspec.structs.replace(self._options, max_deliveries=more)
        super().received(messages)


class BuriesNowhere(Flow):
    def bury(self, delivery: Delivery, reason: DeathReason, text: str) -> None:
        self.settle(delivery, "ack")


class ReturnsAtOnce(Flow):
    def settle(self, delivery: Delivery, verdict: Verdict, delay: float = 0.0) -> None:
        super().settle(delivery, verdict)


class LooksOnceAtExpiry(Flow):
    def hands_out(self, delivery: Delivery) -> bool:
        super().hands_out(delivery)
        return True


# Subscriptions.


class KeepsItsBuffer(QueueSubscription):
    def detach(self) -> None:
        kept = [*self._buffer]
        super().detach()
        self._buffer.extend(kept)


class HearsNoGap(QueueSubscription):
    def gap(self, gap: Gap) -> None:
        return


class DeliversBeforeTheGap(QueueSubscription):
    async def __anext__(self) -> Delivery:
        is_late = False
        while self.failure is None:
            if (found := self._take()) is not None:
                return found
            if self._pending_gaps and is_late:
                await self._pass_gap()
            else:
                # A message makes known what was lost before it.
                is_late = bool(self._pending_gaps)
                await self._arrival()
        raise self.failure


class FailsWithItsLink(QueueSubscription):
    def detach(self) -> None:
        had_link = self.flow is not None and self.flow.alive
        super().detach()
        if had_link and self.failure is None and not self.attaching:
            self.fail(ConnectionLostError("wrong on purpose"))


class KnowsNoBlocking(Connections):
    def blocked(self, reason: str | None) -> None:
        return


class CleansNothingUp(Consumption):
    async def open(self, subscription: QueueSubscription) -> None:
        self._subscriptions[subscription] = None
        await self._attach_to_some_link(subscription)
