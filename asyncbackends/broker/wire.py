"""The seam between the broker core and an engine: what an engine has to supply, and no more.

A link is one generation of a connection: it is opened by :class:`Wire`, lives until it is closed
or calls ``lost`` once, and is never used again. Publishing and consuming have links of their own,
so that a broker that blocks publishers does not stop acks. All calls happen in one event loop.
Driver errors that leave a coroutine are mapped by :meth:`Wire.error`; a lost link leaves it as
ConnectionLostError, never as a cancellation that nobody asked for. Methods that are no coroutines
never raise, they report a broken link by ``lost``. Any coroutine may be cancelled: what it began
is then finished or undone, and nothing else on the link suffers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from asyncbackends.clock import Clock
from asyncbackends.errors import BackendError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.messages import ExchangeKind, QueueOptions
from asyncbackends.protocols.values import Gap

__all__ = (
    "Answer",
    "Consumer",
    "ConsumerEvents",
    "ConsumingLink",
    "DeclaredQueue",
    "ExchangeMaking",
    "IncomingMessage",
    "LinkEvents",
    "OutgoingMessage",
    "PublishingEvents",
    "PublishingLink",
    "QueueDeclaration",
    "Verdict",
    "Wire",
)

Verdict: TypeAlias = Literal["ack", "again"]


class OutgoingMessage(msgspec.Struct, frozen=True):
    """A message as it is sent, and sent again."""

    exchange: str
    routing_key: str
    body: bytes
    is_json: bool
    headers: Mapping[str, str]
    """The user's and the core's own, which begin with ``ab-``; they come back as they are."""
    message_id: str
    correlation_id: str | None
    reply_to: str | None
    timestamp: float
    """Seconds since 1970 UTC."""
    expires_at: float | None
    """Seconds since 1970 UTC; an engine may let its broker drop the message from then on."""
    mandatory: bool


class IncomingMessage(msgspec.Struct, frozen=True):
    """A message as it came; a foreign one lacks what its publisher did not say."""

    token: Any
    """By this the engine knows the delivery when it is settled."""
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str]
    message_id: str | None
    correlation_id: str | None
    reply_to: str | None
    timestamp: float | None
    expires_at: float | None
    redelivered: bool
    delivery_count: int
    """1 or more, this one included."""


class Answer(msgspec.Struct, frozen=True):
    """What becomes of a delivery: it is done with, or comes again after ``delay`` seconds."""

    token: Any
    verdict: Verdict
    delay: float = 0.0


class LinkEvents(Protocol):
    """What a link tells the core."""

    def lost(self, error: BackendError) -> None:
        """The link is gone; it calls nothing after this, and is closed soon.

        A link is also lost when the broker answers nothing for too long: the core waits for
        answers to messages as long as their publishers do, and sends again on a new link alone.
        """
        ...


class PublishingEvents(LinkEvents, Protocol):
    """What a publishing link tells the core.

    Messages are numbered on each link from 1 in the order in which they were sent.
    """

    def confirmed(self, number: int, up_to: bool = False) -> None:
        """A message is stored, or with ``up_to`` every one to that number that has no answer yet."""
        ...

    def refused(self, number: int, error: BackendError, up_to: bool = False) -> None:
        """A message is not stored, for sure; ``up_to`` as with ``confirmed``.

        An answer that comes after the first one for a number does no harm.
        """
        ...

    def writable(self) -> None:
        """The link takes messages again after ``writable`` was False."""
        ...

    def blocked(self, reason: str | None) -> None:
        """The broker takes no messages for now; None: it takes them again."""
        ...

    def closed_by_server(self, error: BackendError) -> None:
        """As ``lost``, but one of the messages without an answer was the cause."""
        ...


class ConsumerEvents(Protocol):
    """What a consumer tells the core."""

    def received(self, messages: Sequence[IncomingMessage]) -> None:
        """Messages came, in the order of the queue."""
        ...

    def gap(self, gap: Gap) -> None:
        """The queue has lost messages, and goes on."""
        ...

    def cancelled(self, queue_gone: bool = True) -> None:
        """The broker ended the consumer while the link is there; nothing comes any more.

        :param queue_gone: its messages are lost; otherwise what is unsettled comes again.
        """
        ...


class QueueDeclaration(msgspec.Struct, frozen=True):
    """A queue as it should be."""

    name: str
    exchange: str
    options: QueueOptions
    routing_keys: tuple[str, ...] = ()
    private_ttl: float | None = None
    """The queue is private, and goes so many seconds after its last consumer."""
    ack_wait: float = 30.0
    """Where the broker cannot see a consumer die: seconds after which deliveries come again."""


class DeclaredQueue(msgspec.Struct, frozen=True):
    """A queue as it is."""

    options: QueueOptions
    created: bool
    """It was not there before."""


class ExchangeMaking(Protocol):
    """What links of both sorts can do."""

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        """See :meth:`asyncbackends.MessageBroker.create_exchange`."""
        ...


class PublishingLink(ExchangeMaking, Protocol):
    """A connection for messages out."""

    @property
    def writable(self) -> bool:
        """Whether ``send`` may be called: buffers have room and the broker does not block."""
        ...

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Hand messages over, best as one write; answers come as events, also during the call."""
        ...

    async def close(self) -> None:
        """End it; nothing is told any more from the call on.

        A link that was lost is closed too: it lets go of all at once, without its peer.
        """
        ...


class Consumer(Protocol):
    """A consumer of one queue on one link.

    It keeps what has no answer alive for as long as it is open, where the broker needs that.
    """

    def settle(self, answers: Sequence[Answer]) -> None:
        """Hand answers over, best as one write.

        Where the broker itself knows no delay, the consumer holds such an answer back by the
        clock of the wire, and the message stays unsettled meanwhile.
        """
        ...

    async def close(self) -> None:
        """End it: what is unsettled or held back goes back at once.

        Nothing is told any more from the call on. It may be called more than once, and when the
        link or the queue is gone.
        """
        ...


class ConsumingLink(ExchangeMaking, Protocol):
    """A connection for messages in and for declarations."""

    async def server_info(self) -> ServerInfo:
        """Ask the broker who it is."""
        ...

    async def delete_exchange(self, name: str) -> None:
        """See :meth:`asyncbackends.MessageBroker.delete_exchange`."""
        ...

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        """Make a queue if it is missing, and bind its routing keys in any case.

        An engine whose broker does not tell the options of a queue keeps them elsewhere: limits,
        expiry and dead letters are decided by what is given here.

        :param must_match: one that is there must have the same options; otherwise they are taken
            as they are.
        :raises ConnectionLostError: ``maybe_applied`` if it was sent, since the queue may then be
            a new one.
        :raises ExchangeNotFoundError: there is no such exchange.
        :raises DeclarationConflictError: it is on another exchange, or does not match.
        """
        ...

    async def delete_queue(self, name: str) -> None:
        """See :meth:`asyncbackends.MessageBroker.delete_queue`."""
        ...

    async def consume(self, queue: str, prefetch: int, events: ConsumerEvents) -> Consumer:
        """Begin to consume; at most ``prefetch`` deliveries are unsettled at a time.

        The queue was declared on this link before. Events may come before this has returned.

        :raises QueueNotFoundError: it went away since it was declared.
        """
        ...

    async def close(self) -> None:
        """End it with its consumers; nothing is told any more from the call on.

        A link that was lost is closed too: it lets go of all at once, without its peer.
        """
        ...


class Wire(Protocol):
    """An engine's way to its broker."""

    @property
    def clock(self) -> Clock:
        """What the core takes the time from."""
        ...

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds, options and server version considered."""
        ...

    def error(self, exc: Exception) -> BackendError | None:
        """Give our error for a driver's, None for what is not the driver's."""
        ...

    async def open_publishing(self, endpoint: str, events: PublishingEvents) -> PublishingLink:
        """Connect for publishing.

        :raises ConnectionFailedError: or one of its kinds that is never retried.
        """
        ...

    async def open_consuming(self, endpoint: str, events: LinkEvents) -> ConsumingLink:
        """Connect for consuming.

        :raises ConnectionFailedError: or one of its kinds that is never retried.
        """
        ...

    async def close(self) -> None:
        """Let go of what the links shared; called once, after the last of them was closed."""
        ...
