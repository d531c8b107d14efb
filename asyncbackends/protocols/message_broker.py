"""The contract of the message broker: exchanges, queues, publishing and subscriptions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from asyncbackends.broker.delivery import Delivery
from asyncbackends.protocols.backend import Backend
from asyncbackends.protocols.messages import (
    ExchangeKind,
    Message,
    QueueOptions,
    Receipt,
    SubscribeOptions,
)
from asyncbackends.protocols.values import Gap

__all__ = (
    "Exchanges",
    "MessageBroker",
    "OnGap",
    "PollingConsumer",
    "Publishing",
    "Queues",
    "Subscribing",
    "Subscription",
)

OnGap: TypeAlias = Callable[[Gap], Awaitable[None]]


class Exchanges(Protocol):
    """Where messages are published to.

    A name is 1 to 200 characters out of letters, digits and ``_ . - : / @``.
    """

    async def create_exchange(
        self, exchange_name: str, *, durable: bool = True, kind: ExchangeKind = "fanout"
    ) -> None:
        """Make an exchange; if it is there with the same properties, nothing happens.

        This broker object makes it again when it finds it gone after a loss of the link.

        :param kind: ``fanout`` passes every message to every queue of the exchange, ``direct`` to
            the queues bound with exactly its routing key.
        :raises DeclarationConflictError: it is there with other properties.
        :raises NotSupportedError: ``direct`` without DIRECT_ROUTING, feature ``routing``.
        """
        ...

    async def delete_exchange(self, exchange_name: str) -> None:
        """Take an exchange away with its queues; if it is gone already, nothing happens."""
        ...


class Queues(Protocol):
    """Where messages wait. A queue has a name of its own in the namespace and one exchange."""

    async def create_queue(
        self,
        exchange: str,
        queue: str,
        *,
        options: QueueOptions | None = None,
        routing_keys: Sequence[str] = (),
    ) -> None:
        """Make a queue on an exchange, so that it takes messages before anybody subscribes.

        If it is there with the same options, nothing happens but that routing keys are added.

        :param options: None is the default QueueOptions.
        :param routing_keys: what it takes from an exchange of kind ``direct``.
        :raises ExchangeNotFoundError: there is no such exchange, or no such dead letter exchange.
        :raises DeclarationConflictError: it is on another exchange, or has other options; the
            message names which.
        :raises NotSupportedError: routing keys without DIRECT_ROUTING, feature ``routing``; a
            ``max_length`` without BOUNDED_QUEUES, feature ``max_length``.
        """
        ...

    async def delete_queue(self, queue: str) -> None:
        """Take a queue away with its messages; if it is gone already, nothing happens.

        Subscriptions to it get a Gap("recreated") and go on with a new one.
        """
        ...


class Publishing(Protocol):
    """Messages out, through one bounded and ordered outbox."""

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
        """Publish a message and give its id when the broker has confirmed it.

        The order of calls is the order of messages on each exchange, also across a loss of the
        link: what is not confirmed is sent again in order with the same ids. When the outbox is
        full, calls wait in order. Cancelling takes the message back if it was not sent yet;
        otherwise nobody knows whether it is stored, and it is not sent again.

        :param exchange: None is the option ``exchange``.
        :param headers: text by name; names of 1 to 128 letters, digits, ``-`` and ``_``, not
            beginning with ``ab-``; values without control characters or blanks at either end.
        :param message_id: 1 to 128 printable ASCII characters without a blank; None makes one.
        :param expiration: seconds after which no consumer gets it any more.
        :param routing_key: for an exchange of kind ``direct``.
        :param mandatory: no queue that takes it is an error; see MANDATORY_EXACT.
        :param timeout: seconds, finite and > 0.
        :raises PublishRejectedError: the broker refused it; not stored.
        :raises UnroutableError: ``mandatory``, and no queue takes it; not stored.
        :raises ExchangeNotFoundError: there is no such exchange; not stored.
        :raises MessageTooLargeError: more than ``max_message_bytes``; not stored.
        :raises OutboxFullError: the outbox was full until ``timeout``; not stored.
        :raises OperationTimeoutError: it could not be sent until ``timeout``; not stored.
        :raises PublishUnconfirmedError: it was sent and not answered; it may be stored.
        :raises BackendClosedError: the broker was closed meanwhile; ``maybe_applied`` says.
        :raises InvalidRequestError: an argument breaks a rule; not stored.
        """
        ...

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
        """Put a message into the outbox, where it stays until the broker has answered.

        :raises OutboxFullError: at once, when there is no room or others wait for it.
        """
        ...

    async def flush(self, timeout: float = 30.0) -> None:
        """Wait until all that was published before is confirmed or failed.

        :raises ExceptionGroup: of the errors of those whose receipts nobody awaited, the last
            ``outbox_messages`` of them; they are told once.
        :raises OperationTimeoutError: some are still unanswered; they stay in the outbox.
        """
        ...

    @property
    def pending(self) -> int:
        """The number of messages in the outbox."""
        ...


class Subscription(Protocol):
    """Deliveries of one queue, in the order of the queue.

    An outage never ends the iteration. Where messages may have been lost, a Gap comes first:
    ``on_gap`` is awaited before the next delivery, or without one DeliveryGapError is raised
    once, and the iteration can be resumed.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Iterate over deliveries; several tasks may, each gets others."""
        ...

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery."""
        ...

    async def get(self, timeout: float) -> Delivery:
        """Give the next delivery.

        :param timeout: seconds, finite and > 0.
        :raises OperationTimeoutError: none came.
        """
        ...

    @property
    def queue(self) -> str | None:
        """The name of the queue; None is a private one."""
        ...

    @property
    def gaps(self) -> int:
        """The number of gaps so far."""
        ...


class Subscribing(Protocol):
    """Messages in."""

    def subscribe(
        self,
        exchange: str | None = None,
        queue: str | None = None,
        *,
        options: SubscribeOptions | None = None,
        routing_keys: Sequence[str] = (),
        on_gap: OnGap | None = None,
    ) -> AbstractAsyncContextManager[Subscription]:
        """Consume a queue inside the block.

        Consumers of one named queue compete. Leaving the block returns what is unsettled; a
        private queue is deleted. Dead letters whose copies are on their way are waited for, 2
        seconds at most.

        :param exchange: None is the option ``exchange``.
        :param queue: it is made with the default QueueOptions if it is missing, and taken as it
            is otherwise. None is a queue for this subscription alone, that outlives a short loss
            of the link (``private_ttl``).
        :param routing_keys: what the queue takes from an exchange of kind ``direct``.
        :raises ExchangeNotFoundError: on entering: there is no such exchange.
        :raises DeclarationConflictError: on entering: the queue is on another exchange.
        """
        ...


class PollingConsumer(Protocol):
    """The blueprint's pair, over one default subscription.

    It is the one on the options ``exchange`` and ``queue``, opened by ``connect`` when a queue is
    configured, else by the first ``consume``.
    """

    async def consume(self) -> Delivery | None:
        """Give the next delivery that is here already, None if there is none; never waits for one.

        :raises InvalidRequestError: the option ``exchange`` is not set.
        """
        ...

    async def ack(self, message: Delivery) -> None:
        """Ack a delivery, as its own ``ack`` does."""
        ...


class MessageBroker(Exchanges, Queues, Publishing, Subscribing, PollingConsumer, Backend, Protocol):
    """Messages from publishers to every queue of an exchange, at least once.

    A function that needs less asks for the narrower Protocol.
    """
