"""Why a message was not stored. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from asyncbackends.broker.declaring import missing_exchange
from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.errors import (
    BackendError,
    MessageTooLargeError,
    PublishRejectedError,
    UnroutableError,
)

__all__ = ("is_temporary", "no_exchange", "over_the_limit", "rejection", "unroutable")

NO_ROOM: Final = frozenset({10002, 10008, 10009, 10023, 10028, 10047, 10158, 10167})
"""JetStream cannot store it for now, or has not decided yet."""
STORE_FAILED: Final = 10077
TOO_LARGE: Final = 10054
UNAVAILABLE: Final = 503


def is_temporary(error: Mapping[str, Any]) -> bool:
    """Say whether what a stream refused may be stored yet, so that it is to be sent again."""
    code = error.get("err_code")
    if code is None:
        # What a replica says that does not lead, as `raft: not leader`.
        return error.get("code") == UNAVAILABLE
    # A store that is closed may have committed it before.
    closed = code == STORE_FAILED and "closed" in str(error.get("description"))
    return closed or code in NO_ROOM


def no_exchange(message: OutgoingMessage) -> BackendError:
    """Give the error of a message whose exchange is not there."""
    then = f"; message {message.message_id} is not stored"
    return missing_exchange(message.exchange, then)


def unroutable(
    message: OutgoingMessage, reached: "bool | BackendError | None"
) -> BackendError | None:
    """Give the error of a mandatory message, None if a queue takes it.

    :param reached: see :data:`asyncbackends_nats.routes.Reached`.
    """
    if isinstance(reached, BackendError):
        return type(reached)(str(reached))
    if reached is None:
        return no_exchange(message)
    if reached:
        return None
    key = f" with routing key {message.routing_key!r}" if message.routing_key else ""
    return UnroutableError(
        f"no queue on exchange {message.exchange!r} takes message {message.message_id}{key}; "
        f"it is not stored"
    )


def rejection(message: OutgoingMessage, code: Any, text: Any) -> BackendError:
    """Give the error of a message that its stream has refused."""
    if code == TOO_LARGE:
        size = len(message.body)
        words = f"the stream takes no message of {size} bytes and its headers: {text}"
        return MessageTooLargeError(words, size=size, limit=size)
    words = f"the stream refused message {message.message_id}: {text} (NATS: error {code})"
    return PublishRejectedError(words)


def over_the_limit(size: int, limit: int) -> BackendError:
    """Give the error of a message that the server would end the link for."""
    text = f"the server takes at most {limit} bytes (its max_payload), not {size}"
    return MessageTooLargeError(text, size=size, limit=limit)
