"""A message in the outbox, and the errors in which it may end."""

import asyncio
from collections.abc import Callable

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.errors import (
    AccessDeniedError,
    BackendClosedError,
    BackendError,
    NotFoundError,
    OperationTimeoutError,
    PublishError,
    PublishRejectedError,
    PublishUnconfirmedError,
)

__all__ = ("Entry", "closed", "refusal", "refused_again", "too_late")


class Entry:
    """A message in the outbox."""

    __slots__ = (
        "awaited",
        "deadline",
        "done",
        "error",
        "message",
        "number",
        "on_done",
        "sends",
        "sequence",
        "size",
        "waiter",
    )

    def __init__(self, message: OutgoingMessage, size: int, deadline: float) -> None:
        self.message = message
        self.size = size
        self.deadline = deadline
        self.sequence = 0
        self.sends = 0
        """To so many links it was handed; from the first on the broker may have it."""
        self.number = 0
        """Its number on the last of them."""
        self.awaited = 0
        """So many wait for its receipt."""
        self.done = False
        self.error: BackendError | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.on_done: Callable[[BackendError | None], None] | None = None


def refused_again(entry: Entry, error: BackendError) -> PublishUnconfirmedError:
    """Give the end of a message that was refused when it was sent again."""
    message_id = entry.message.message_id
    unknown = PublishUnconfirmedError(
        f"message {message_id} was refused when it was sent again after a lost link; the first "
        f"sending may be stored: {error}",
        message_id=message_id,
    )
    unknown.__cause__ = error
    return unknown


def too_late(entry: Entry) -> BackendError:
    message_id = entry.message.message_id
    if entry.sends:
        text = (
            f"message {message_id} was sent and not confirmed in time: it may be stored; publish "
            f"it again with the same message_id"
        )
        return PublishUnconfirmedError(text, message_id=message_id)
    return OperationTimeoutError(
        f"message {message_id} could not be sent in time: there was no link to the broker, or it "
        f"took no messages"
    )


def refusal(error: BackendError, message_id: str) -> BackendError:
    if isinstance(error, (AccessDeniedError, PublishError, NotFoundError)):
        return error
    refused = PublishRejectedError(f"the broker closed the link because of {message_id}: {error}")
    refused.__cause__ = error
    return refused


def closed(error: BackendError, *, maybe_applied: bool) -> BackendClosedError:
    closed = BackendClosedError(
        f"the message broker was closed before it confirmed the message: {error}",
        maybe_applied=maybe_applied,
    )
    closed.__cause__ = error
    return closed
