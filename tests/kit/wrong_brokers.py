"""Message brokers that are wrong on purpose: the memory engine with one small change each."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import msgspec

from asyncbackends.broker import wire_broker
from asyncbackends.broker.connections import Connections
from asyncbackends.broker.consumption import Consumption
from asyncbackends.broker.flow import Flow
from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.subscription import QueueSubscription
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.errors import (
    BackendClosedError,
    PublishUnconfirmedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.messages import ExchangeKind, SubscribeOptions
from asyncbackends.registry import Engine
from asyncbackends_memory import message_broker
from asyncbackends_memory.messaging.wire import MemoryWire
from asyncbackends_memory.options import BROKER_GUARANTEES, MemoryBrokerOptions
from tests.kit import wrong_broker_parts as parts

__all__ = ("WRONG", "right")


class Right(WireBroker[MemoryBrokerOptions]):
    """The memory engine itself, made of parts that can be exchanged."""

    outbox: type[Outbox] = Outbox
    connections: type[Connections] = Connections
    consumption: type[Consumption] = Consumption
    subscription: type[QueueSubscription] = QueueSubscription
    flow: type[Flow] = Flow

    def __init__(self, endpoints: Sequence[str], options: MemoryBrokerOptions) -> None:
        super().__init__("memory", endpoints, options, MemoryWire, guarantees=BROKER_GUARANTEES)

    async def _open(self) -> None:
        made_of: dict[str, Any] = {
            "Outbox": self.outbox,
            "Connections": self.connections,
            "Consumption": self.consumption,
        }
        with patch.multiple(wire_broker, **made_of):
            await super()._open()

    def _subscription(self, *args: Any, **kwargs: Any) -> QueueSubscription:
        flow = self.flow

        class Subscription(self.subscription):  # type: ignore[name-defined,misc]  # its part
            def begin(self, *args: Any, **kwargs: Any) -> Flow:
                made: Flow = super().begin(*args, **kwargs)
                made.__class__ = flow
                return made

        found = super()._subscription(*args, **kwargs)
        found.__class__ = Subscription
        return found


# The outbox.


class ReordersAfterReconnect(Right):
    outbox = parts.SendsUnconfirmedLast


class ForgetsUnconfirmed(Right):
    outbox = parts.ForgetsInFlight


class ResendsWithOtherIds(Right):
    outbox = parts.RenamesInFlight


class ReordersBursts(Right):
    outbox = parts.SendsBackwards


class HasNoBound(Right):
    outbox = parts.AlwaysFits


class DropsWhenFull(Right):
    outbox = parts.DropsTheOldest


class SendsAfterTheDeadline(Right):
    outbox = parts.KeepsLateOnes


class TellsNoFailures(Right):
    outbox = parts.HasNoFailures


class BlamesEverybody(Right):
    outbox = parts.RefusesAllInFlight


class LosesDeath(Right):
    outbox = parts.StripsDeath


class TakesUnansweredForConfirmed(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        try:
            return await super().publish(*args, **kwargs)
        except PublishUnconfirmedError as error:
            return error.message_id


class ConfirmsBeforeStoring(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        kwargs.pop("timeout", None)
        return super().publish_nowait(*args, **kwargs).message_id


class SwallowsCancellation(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        try:
            return await super().publish(*args, **kwargs)
        except asyncio.CancelledError:
            # And sends it once more, to be sure.
            again = {**kwargs, "timeout": 0.2}
            await super().publish(*args, **again)
            return await super().publish(*args, **again)


class ForgetsExpiry(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        return await super().publish(*args, **{**kwargs, "expiration": None})


class DropsHeaders(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        return await super().publish(*args, **{**kwargs, "headers": None})


class IgnoresMandatory(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        return await super().publish(*args, **{**kwargs, "mandatory": False})


class StoresRepeats(Right):
    async def publish(self, *args: Any, **kwargs: Any) -> str:
        server: Any = self._wire
        for exchange in server._server._exchanges.values():
            exchange._recent = type(exchange._recent)()
        return await super().publish(*args, **kwargs)


# Settling.


class LosesUnacked(Right):
    flow = parts.AcksWhatIsLeft


class SettlesTwice(Right):
    flow = parts.GivesDeliveriesToSettleTwice


class SettlesStale(Right):
    flow = parts.ChecksNothing


class NeverFlagsRedelivered(Right):
    flow = parts.SaysFirst


class CountsFromZero(Right):
    flow = parts.CountsLess


class AcksOnException(Right):
    flow = parts.TakesFailureForSuccess


class AcksOnCancel(Right):
    flow = parts.GivesDeliveriesThatAckOnCancel


class NeverBacksOff(Right):
    flow = parts.RetriesAtOnce


class AllowsOneMore(Right):
    flow = parts.ToleratesOneMore


class RejectsSilently(Right):
    flow = parts.BuriesNowhere


class IgnoresDelay(Right):
    flow = parts.ReturnsAtOnce


class HandsOutExpired(Right):
    flow = parts.LooksOnceAtExpiry


# Subscriptions.


class HandsOutStale(Right):
    subscription = parts.KeepsItsBuffer


class SwallowsGap(Right):
    subscription = parts.HearsNoGap


class TellsGapTooLate(Right):
    subscription = parts.DeliversBeforeTheGap


class EndsIterationInAnOutage(Right):
    subscription = parts.FailsWithItsLink


class LeavesConsumers(Right):
    consumption = parts.CleansNothingUp


class IgnoresPrefetch(Right):
    def _subscription(self, *args: Any, **kwargs: Any) -> QueueSubscription:
        exchange, queue, options, *rest = args
        many = msgspec.structs.replace(options or SubscribeOptions(), prefetch=65_535)
        return super()._subscription(exchange, queue, many, *rest, **kwargs)


class KeepsPrivateQueues(Right):
    def _subscription(self, *args: Any, **kwargs: Any) -> QueueSubscription:
        found = super()._subscription(*args, **kwargs)
        found.declaration = msgspec.structs.replace(found.declaration, private_ttl=None)
        return found


class SharesPrivateQueues(Right):
    def _subscription(self, *args: Any, **kwargs: Any) -> QueueSubscription:
        found = super()._subscription(*args, **kwargs)
        if found.declaration.private_ttl is not None:
            name = f"private.{found.declaration.exchange}"
            found.declaration = msgspec.structs.replace(found.declaration, name=name)
        return found


# The broker as a whole.


class LeaksTask(Right):
    async def connect(self, **params: Any) -> None:
        await super().connect(**params)
        self._leaked = asyncio.create_task(asyncio.sleep(3600), name="leaked on purpose")


class ShutsDownUnflushed(Right):
    async def shutdown(self, *, grace: float = 5.0) -> None:
        if self._wire is not None:
            self._outbox.close(BackendClosedError("wrong on purpose"))
        await super().shutdown(grace=grace)


class AnswersAfterShutdown(Right):
    async def flush(self, timeout: float = 30.0) -> None:
        try:
            await super().flush(timeout)
        except BackendClosedError:
            return


class RoutesEverywhere(Right):
    async def create_exchange(
        self, exchange_name: str, *, durable: bool = True, kind: ExchangeKind = "fanout"
    ) -> None:
        await super().create_exchange(exchange_name, durable=durable)


class ForgetsExchanges(Right):
    async def create_exchange(self, exchange_name: str, **properties: Any) -> None:
        await super().create_exchange(exchange_name, **properties)
        self._connections.forget_exchange(exchange_name)


class HidesThatItIsBlocked(Right):
    connections = parts.KnowsNoBlocking


class PromisesSharing(Right):
    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SHARED_BETWEEN_PROCESSES}


WRONG: dict[str, type[Right]] = {kind.__name__: kind for kind in Right.__subclasses__()}
"""By name; each is an engine ``tests.kit.wrong_brokers:<name>_engine``."""


def engine_of_class(broker: type[Right]) -> Engine[MemoryBrokerOptions, Right]:
    """Describe a class as an adapter would."""

    def load() -> Callable[[Sequence[str], MemoryBrokerOptions], Right]:
        return broker

    return Engine(
        kind=message_broker.kind,
        name="memory",
        options=MemoryBrokerOptions,
        load=load,
        guarantees=message_broker.guarantees,
        limits=message_broker.limits,
    )


right = engine_of_class(Right)


def __getattr__(name: str) -> Engine[MemoryBrokerOptions, Right]:
    """Give ``<name>_engine`` for every wrong class."""
    wrong = WRONG.get(name.removesuffix("_engine"))
    if wrong is None or not name.endswith("_engine"):
        raise AttributeError(name)
    return engine_of_class(wrong)
