"""A message as a consumer has it, and how it is settled."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Protocol

import msgspec

from asyncbackends.broker.composing import OWN_HEADERS
from asyncbackends.broker.dead_letters import death_of
from asyncbackends.broker.wire import IncomingMessage, Verdict
from asyncbackends.errors import AlreadySettledError, InvalidRequestError, StaleDeliveryError
from asyncbackends.narrowing import is_dict
from asyncbackends.observability import Seam
from asyncbackends.protocols.messages import Death, DeathReason

__all__ = ("Delivery", "Processing", "Settling")

MAX_DELAY: Final = 900.0

_decode = msgspec.json.Decoder().decode


class Settling(Protocol):
    """Where a delivery came from and is answered to."""

    @property
    def queue(self) -> str | None:
        """The name of the queue; None is a private one."""
        ...

    @property
    def seam(self) -> Seam:
        """Where failures of handlers are told, and errors get their names."""
        ...

    def settle(self, delivery: "Delivery", verdict: Verdict, delay: float = 0.0) -> None:
        """Hand an answer to the link.

        :raises StaleDeliveryError: the link is gone.
        """
        ...

    def bury(self, delivery: "Delivery", reason: DeathReason, text: str) -> None:
        """Make it a dead letter, which then acks it.

        :raises StaleDeliveryError: the link is gone.
        """
        ...

    def failed(self, delivery: "Delivery", error: Exception) -> None:
        """Return it with a back-off, or make it a dead letter at the limit.

        :raises StaleDeliveryError: the link is gone.
        """
        ...


class Delivery(Mapping[str, Any]):
    """A message that came out of a queue, to be settled once.

    It is a read-only mapping over its JSON object body; on another body, item access raises
    InvalidRequestError. It is always true, equal to itself alone, and hashable. ``ack``, ``nack``
    and ``reject`` return when the answer is handed to the link; when an answer is lost with the
    link, the message is delivered again.
    """

    __slots__ = ("_body", "_from", "incoming", "settled")

    def __init__(self, incoming: IncomingMessage, source: Settling) -> None:
        self.incoming = incoming
        """The message as the engine gave it."""
        self.settled = False
        """Whether it was acked, nacked or rejected."""
        self._from = source
        self._body: Mapping[str, Any] | None = None

    @property
    def body(self) -> bytes:
        """The body as it was sent."""
        return self.incoming.body

    def json(self) -> Any:
        """Give the body read as JSON.

        :raises InvalidRequestError: it is not JSON.
        """
        try:
            return _decode(self.incoming.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"the body of message {self.message_id} is not JSON: {error}"
            raise InvalidRequestError(message) from error

    @property
    def headers(self) -> Mapping[str, str]:
        """The publisher's headers."""
        headers = self.incoming.headers
        if not headers:
            return headers
        return {name: text for name, text in headers.items() if not name.startswith(OWN_HEADERS)}

    @property
    def message_id(self) -> str | None:
        """The id that ``publish`` gave; None on a foreign message without one."""
        return self.incoming.message_id

    @property
    def exchange(self) -> str:
        """The exchange that it was published to."""
        return self.incoming.exchange

    @property
    def queue(self) -> str | None:
        """The queue that it came from; None is a private one."""
        return self._from.queue

    @property
    def routing_key(self) -> str:
        """The routing key that it was published with."""
        return self.incoming.routing_key

    @property
    def correlation_id(self) -> str | None:
        """What a request and its reply have in common."""
        return self.incoming.correlation_id

    @property
    def reply_to(self) -> str | None:
        """Where a reply goes."""
        return self.incoming.reply_to

    @property
    def timestamp(self) -> datetime | None:
        """When it was published, UTC by its publisher's clock; None on some foreign messages."""
        seconds = self.incoming.timestamp
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @property
    def expires_at(self) -> datetime | None:
        """When it expires, UTC by its publisher's clock; None is never."""
        seconds = self.incoming.expires_at
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @property
    def redelivered(self) -> bool:
        """Whether it was surely delivered before."""
        return self.incoming.redelivered

    @property
    def delivery_count(self) -> int:
        """How often it was delivered, this time included; without EXACT_DELIVERY_COUNT at least."""
        return self.incoming.delivery_count

    @property
    def death(self) -> Death | None:
        """Why it became a dead letter; None if it is none."""
        return death_of(self.incoming.headers)

    async def ack(self) -> None:
        """Say that the message is done with.

        :raises AlreadySettledError: it was settled before.
        :raises StaleDeliveryError: its link is gone, and it will be delivered again.
        """
        self._unsettled("ack")
        self._from.settle(self, "ack")
        self.settled = True

    async def nack(self, delay: float = 0.0) -> None:
        """Have the message delivered again, to this consumer or another.

        :param delay: seconds, at most 900.
        :raises AlreadySettledError: it was settled before.
        :raises StaleDeliveryError: its link is gone, and it will be delivered again.
        """
        # Arguments are checked at run time too.
        if not (isinstance(delay, (int, float)) and 0 <= delay <= MAX_DELAY):
            message = f"delay is 0 to {MAX_DELAY:g} seconds, not {delay!r}"
            raise InvalidRequestError(message)
        self._unsettled("nack")
        self._from.settle(self, "again", delay)
        self.settled = True

    async def reject(self, text: str = "") -> None:
        """Make the message a dead letter; without a dead letter exchange it is dropped.

        A copy with a :class:`~asyncbackends.protocols.messages.Death` is published, and when that
        is confirmed the message is acked: it is never lost, and possibly there twice.

        :param text: for ``Death.text``.
        :raises AlreadySettledError: it was settled before.
        :raises StaleDeliveryError: its link is gone, and it will be delivered again.
        """
        self._unsettled("reject")
        self._from.bury(self, DeathReason.REJECTED, text)
        self.settled = True

    def process(self) -> AbstractAsyncContextManager[None]:
        """Give a block that settles the message by how it ends.

        A block that ends well acks it. An exception is logged and ends at the block: the message
        is delivered again after a back-off (0.1 s doubling to 30 s), or at ``max_deliveries``
        becomes a dead letter. A cancellation returns the message at once and goes on. Inside, the
        message may be settled by hand. Where the link is gone at the end, the message will be
        delivered again.
        """
        return Processing(self, self._from)

    def _unsettled(self, operation: str) -> None:
        if self.settled:
            message = f"message {self.message_id} was acked, nacked or rejected before"
            raise self._from.seam.named(AlreadySettledError(message), operation)

    def _object(self) -> Mapping[str, Any]:
        if self._body is None:
            body = self.json()
            if not is_dict(body):
                message = f"the body of message {self.message_id} is no JSON object; use json()"
                raise InvalidRequestError(message)
            self._body = body
        return self._body

    def __getitem__(self, key: str) -> Any:
        return self._object()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._object())

    def __len__(self) -> int:
        return len(self._object())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.message_id} of {self.exchange} from {self.queue or 'a private queue'}"
            f", number {self.delivery_count}>"
        )


class Processing:
    """See :meth:`Delivery.process`."""

    __slots__ = ("_delivery", "_from")

    def __init__(self, delivery: Delivery, source: Settling) -> None:
        self._delivery = delivery
        self._from = source

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        delivery = self._delivery
        failure = exc if isinstance(exc, Exception) else None
        try:
            if delivery.settled:
                pass
            elif exc is None:
                self._from.settle(delivery, "ack")
            elif failure is None:
                self._from.settle(delivery, "again")
            else:
                self._from.failed(delivery, failure)
            delivery.settled = True
        except StaleDeliveryError:
            self._from.seam.logger.debug("message %s will be delivered again", delivery.message_id)
        if failure is not None:
            self._from.seam.logger.warning(
                "the handler of message %s failed, delivery %d from %s",
                delivery.message_id,
                delivery.delivery_count,
                delivery.queue or "a private queue",
                exc_info=failure,
            )
        return failure is not None
