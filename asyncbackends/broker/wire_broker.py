"""A message broker made of an engine's wire: see :class:`asyncbackends.MessageBroker`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from secrets import token_hex
from typing import Any, Generic, TypeVar

from asyncbackends.backoff import Backoff, between_links
from asyncbackends.broker.composing import (
    Composer,
    checked_kind,
    checked_name,
    checked_options,
    sorted_routing_keys,
)
from asyncbackends.broker.connections import Connections
from asyncbackends.broker.consumption import Consumption
from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.draining import drain
from asyncbackends.broker.flow import FlowContext, SeenIds
from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.receipt import OutboxReceipt
from asyncbackends.broker.subscription import QueueSubscription
from asyncbackends.broker.wire import ConsumingLink, QueueDeclaration, Wire
from asyncbackends.clock import checked_timeout
from asyncbackends.coercion import changed_options
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConfigurationError,
    NotSupportedError,
)
from asyncbackends.linking import CLOSING
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.options import BrokerOptions, ServerBrokerOptions
from asyncbackends.owner import CLEAN_UP, Owner
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, Kind, ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.message_broker import OnGap, Subscription
from asyncbackends.protocols.messages import (
    ExchangeKind,
    Message,
    QueueOptions,
    Receipt,
    SubscribeOptions,
)

__all__ = ("WireBroker",)

OptionsT = TypeVar("OptionsT", bound=BrokerOptions | ServerBrokerOptions)
ResultT = TypeVar("ResultT")


class WireBroker(Generic[OptionsT]):
    """Implements :class:`asyncbackends.MessageBroker` over whatever wire."""

    def __init__(
        self,
        engine: str,
        endpoints: Sequence[str],
        options: OptionsT,
        make_wire: Callable[[Sequence[str], OptionsT], Wire],
        *,
        guarantees: frozenset[Guarantee],
        reconnect: Backoff | None = None,
    ) -> None:
        self._engine = engine
        self._endpoints = tuple(endpoints)
        self._options = options
        self._make_wire = make_wire
        self._guarantees = guarantees
        self._reconnect = reconnect
        self._seam = Seam(Kind.MESSAGE_BROKER, engine, self._error)
        self._links = LinkStates(self._seam)
        self._owner = Owner(f"message broker ({engine}, {', '.join(endpoints)})")
        self._closing = False
        self._end: float | None = None
        """When all has to be over, by the loop's time."""
        self._wire: Wire | None = None
        self._default: QueueSubscription | None = None
        self._opening_default = asyncio.Lock()

    def _error(self, exc: Exception) -> BackendError | None:
        return None if self._wire is None else self._wire.error(exc)

    @property
    def engine(self) -> str:
        return self._engine

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return self._guarantees if self._wire is None else self._wire.guarantees

    @property
    def limits(self) -> Limits:
        return Limits(message_bytes=self._options.max_message_bytes)

    @property
    def state(self) -> ConnectionState:
        return self._links.status.state

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        return self._links.watch()

    # The two ends.

    async def connect(self, **params: Any) -> None:
        if self._owner.started:
            message = "the message broker was connected already; make another one"
            raise ConfigurationError(message)
        self._options = changed_options(self._options, params)
        await self._owner.start(self._open, self._close)

    async def _open(self) -> None:
        options = self._options
        self._wire = wire = self._make_wire(self._endpoints, options)
        self._composer = Composer(options.max_message_bytes, options.exchange)
        self._outbox = Outbox(
            wire.clock,
            options.outbox_messages,
            options.outbox_bytes,
            engine=self._engine,
            dedupes=Guarantee.SERVER_DEDUPE in wire.guarantees,
        )
        self._connections = Connections(
            self._endpoints,
            wire,
            options,
            self._outbox,
            self._links,
            self._reconnect or between_links(options),
            self._seam.logger,
        )
        self._consumption = Consumption(
            self._connections.consuming,
            operation_timeout=options.operation_timeout,
            start=self._start,
            seam=self._seam,
        )
        with self._seam("connect"):
            await self._connections.open(self._consumption)
        self._start(self._connections.publishing.run)
        self._start(self._connections.consuming.run)
        if options.queue is not None:
            await self._default_subscription()

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run something in the owner's task group, as long as there is one."""
        if self._owner.group is None:
            return False
        self._owner.group.start_soon(work)
        return True

    async def shutdown(self, *, grace: float = 5.0) -> None:
        now = asyncio.get_running_loop().time
        end = now() + grace
        if self._owner.started and self._wire is not None:
            self._closing = True
            await drain(self._outbox, grace, self._seam.logger)
        grace = max(0.0, end - now())
        if self._end is None:
            self._end = now() + grace + CLEAN_UP
        await self._owner.stop(grace)

    async def _close(self, grace: float) -> None:
        async with AsyncExitStack() as stack:
            # Whatever fails or is cut short, the rest happens.
            stack.callback(self._links.set, ConnectionState.CLOSED)
            if self._wire is None:
                return
            failure = self._owner.failure
            error = BackendClosedError(
                "it was shut down" if failure is None else f"it failed: {failure}"
            )
            error.__cause__ = failure
            stack.push_async_callback(self._wire.close)
            stack.push_async_callback(self._connections.close)
            stack.callback(self._outbox.close, error)
            now = asyncio.get_running_loop().time()
            left = CLEAN_UP if self._end is None else self._end - now
            await self._consumption.shut_down(error, max(0.0, left - CLOSING - 0.25))

    def _check(self) -> None:
        self._owner.check()
        if self._closing:
            message = f"the message broker ({self._engine}) is being shut down"
            raise BackendClosedError(message)

    # Exchanges and queues.

    async def server_info(self) -> ServerInfo:
        return await self._ask("server_info", lambda link: link.server_info())

    async def create_exchange(
        self, exchange_name: str, *, durable: bool = True, kind: ExchangeKind = "fanout"
    ) -> None:
        name = checked_name(exchange_name, "an exchange")
        if checked_kind(kind) == "direct":
            self._require(Guarantee.DIRECT_ROUTING, "routing")
        await self._ask(
            "create_exchange", lambda link: link.create_exchange(name, durable=durable, kind=kind)
        )
        self._connections.remember_exchange(name, durable=durable, kind=kind)

    async def delete_exchange(self, exchange_name: str) -> None:
        name = checked_name(exchange_name, "an exchange")
        self._check()
        self._connections.forget_exchange(name)
        await self._ask("delete_exchange", lambda link: link.delete_exchange(name))

    async def create_queue(
        self,
        exchange: str,
        queue: str,
        *,
        options: QueueOptions | None = None,
        routing_keys: Sequence[str] = (),
    ) -> None:
        options = QueueOptions() if options is None else checked_options(options)
        declaration = QueueDeclaration(
            checked_name(queue, "a queue"),
            checked_name(exchange, "an exchange"),
            options,
            self._routing_keys(routing_keys),
        )
        if options.max_length is not None:
            self._require(Guarantee.BOUNDED_QUEUES, "max_length")
        await self._ask(
            "create_queue", lambda link: link.declare_queue(declaration, must_match=True)
        )

    async def delete_queue(self, queue: str) -> None:
        name = checked_name(queue, "a queue")
        await self._ask("delete_queue", lambda link: link.delete_queue(name))

    def _routing_keys(self, keys: Sequence[str]) -> tuple[str, ...]:
        if found := sorted_routing_keys(keys):
            self._require(Guarantee.DIRECT_ROUTING, "routing")
        return found

    def _require(self, guarantee: Guarantee, feature: str) -> None:
        if guarantee not in self.guarantees:
            message = f"the message broker engine {self._engine!r} has no {feature}: {guarantee}"
            raise NotSupportedError(message, feature=feature)

    async def _ask(
        self, operation: str, ask: Callable[[ConsumingLink], Awaitable[ResultT]]
    ) -> ResultT:
        with self._seam(operation):
            self._check()
            return await self._connections.ask(operation, ask)

    # Publishing.

    async def publish(
        self,
        message: Message,
        *,
        exchange: str | None = None,
        headers: Mapping[str, str] | None = None,
        message_id: str | None = None,
        expiration: float | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        routing_key: str = "",
        mandatory: bool = False,
        timeout: float = 30.0,
    ) -> str:
        with self._seam("publish"):
            self._check()
            outgoing, size = self._composer.message(
                message,
                self._outbox.now(),
                exchange=exchange,
                headers=headers,
                message_id=message_id,
                expiration=expiration,
                correlation_id=correlation_id,
                reply_to=reply_to,
                routing_key=routing_key,
                mandatory=mandatory,
            )
            return await self._outbox.publish(outgoing, size, checked_timeout(timeout))

    def publish_nowait(
        self,
        message: Message,
        *,
        exchange: str | None = None,
        headers: Mapping[str, str] | None = None,
        message_id: str | None = None,
        expiration: float | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        routing_key: str = "",
        mandatory: bool = False,
    ) -> Receipt:
        with self._seam("publish_nowait"):
            self._check()
            outgoing, size = self._composer.message(
                message,
                self._outbox.now(),
                exchange=exchange,
                headers=headers,
                message_id=message_id,
                expiration=expiration,
                correlation_id=correlation_id,
                reply_to=reply_to,
                routing_key=routing_key,
                mandatory=mandatory,
            )
            return OutboxReceipt(self._outbox, self._outbox.put(outgoing, size))

    async def flush(self, timeout: float = 30.0) -> None:
        with self._seam("flush"):
            self._check()
            await self._outbox.flush(checked_timeout(timeout))
            failures = self._outbox.failures()
        if failures:
            message = f"{len(failures)} messages were not stored, or nobody knows"
            raise ExceptionGroup(message, failures)

    @property
    def pending(self) -> int:
        self._owner.check()
        return len(self._outbox)

    # Consuming.

    def subscribe(
        self,
        exchange: str | None = None,
        queue: str | None = None,
        *,
        options: SubscribeOptions | None = None,
        routing_keys: Sequence[str] = (),
        on_gap: OnGap | None = None,
    ) -> AbstractAsyncContextManager[Subscription]:
        self._check()
        return self._subscription(exchange, queue, options, routing_keys, on_gap)

    def _subscription(
        self,
        exchange: str | None,
        queue: str | None,
        options: SubscribeOptions | None,
        routing_keys: Sequence[str],
        on_gap: OnGap | None,
    ) -> QueueSubscription:
        assert self._wire is not None  # noqa: S101  # an owner that is open has made it
        options = SubscribeOptions() if options is None else checked_options(options)
        clock = self._wire.clock
        name = f"private.{token_hex(12)}" if queue is None else checked_name(queue, "a queue")
        source = self._composer.exchange(exchange)
        declaration = QueueDeclaration(
            name,
            source,
            QueueOptions(),
            self._routing_keys(routing_keys),
            options.private_ttl if queue is None else None,
            options.ack_wait,
        )
        context = FlowContext(
            queue_name=name,
            queue=queue,
            exchange=source,
            options=options,
            seen=SeenIds(options.dedupe_window, clock),
            outbox=self._outbox,
            clock=clock,
            clock_skew=self._options.clock_skew,
            seam=self._seam,
        )
        return QueueSubscription(self._consumption, declaration, context, on_gap)

    async def consume(self) -> Delivery | None:
        with self._seam("consume"):
            self._check()
            if self._default is None:
                await self._default_subscription()
            assert self._default is not None  # noqa: S101  # it was opened just now
            default = self._default
            if default.failure is not None:
                # It is told once, and the next call opens another one.
                self._default = None
            return await default.take_now()

    async def _default_subscription(self) -> None:
        async with self._opening_default:
            if self._default is None:
                options = self._options
                default = self._subscription(options.exchange, options.queue, None, (), None)
                await self._consumption.open(default)
                self._default = default

    async def ack(self, message: Delivery) -> None:
        with self._seam("ack"):
            self._owner.check()
            await message.ack()
