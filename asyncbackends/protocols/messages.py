"""The values that the message broker takes and gives, all frozen."""

import enum
from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec

__all__ = (
    "Death",
    "DeathReason",
    "ExchangeKind",
    "Message",
    "QueueOptions",
    "Receipt",
    "SubscribeOptions",
)

ExchangeKind: TypeAlias = Literal["fanout", "direct"]

Message: TypeAlias = Mapping[str, Any] | bytes
"""What is published: a mapping is sent as JSON, bytes as they are."""

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue is made; a queue that is there keeps its own."""

    durable: bool = True
    """It and its messages survive the broker's restart, where the engine's messages do at all."""
    queue_type: Literal["quorum", "classic"] = "quorum"
    """What kind of queue the broker makes, where it has several."""
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """So many messages wait at most, deliveries in progress not counted."""
    overflow: Literal["reject", "drop_oldest"] = "reject"
    """What happens to one more: its publisher gets PublishRejectedError, or the oldest goes."""
    message_ttl: Seconds | None = None
    """Seconds after publishing from which a message is expired in this queue."""
    max_deliveries: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """So often a message is delivered; then it ends as a dead letter. None is no limit."""
    dead_letter: str | None = None
    """The exchange for dead letters; None drops what is rejected or over the limit."""


class SubscribeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one subscription consumes."""

    prefetch: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 100
    """So many unsettled deliveries at most; the rest waits at the broker."""
    private_ttl: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0
    """So many seconds a private queue outlives the loss of its consumer's link."""
    ack_wait: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 30.0
    """On an engine that cannot see a consumer die: its deliveries come again after these seconds."""
    max_processing: Seconds | None = None
    """After these seconds an unsettled delivery is returned and stale; None is no limit."""
    dedupe_window: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    """A message id that was acked within these seconds is acked and dropped; 0 is no window."""


class DeathReason(enum.StrEnum):
    """Why a message became a dead letter."""

    REJECTED = "rejected"
    DELIVERY_LIMIT = "delivery_limit"


class Death(msgspec.Struct, frozen=True):
    """What a dead letter tells of its end."""

    reason: DeathReason
    text: str
    """The text given to ``reject``, or what the last failure was."""
    exchange: str
    queue: str | None
    """Where it died; None is a private queue."""
    delivery_count: int
    at: datetime
    """UTC, by the clock of the consumer that gave it up."""


class Receipt(Protocol):
    """What ``publish_nowait`` gives: awaiting it ends as ``publish`` would."""

    @property
    def message_id(self) -> str:
        """The id of the message."""
        ...

    def done(self) -> bool:
        """Say whether the message is confirmed or has failed."""
        ...

    def __await__(self) -> Generator[Any, None, str]:
        """Wait for the confirm and give the id; cancelling the wait does not take it back."""
        ...
