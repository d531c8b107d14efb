"""What RabbitMQ's refusals and the driver's errors are to a caller: one table."""

import re
from collections.abc import Callable
from ssl import SSLError
from typing import Final, Self

from aiormq.exceptions import AMQPError
from pamqp import commands
from pamqp.exceptions import PAMQPException

from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    ExchangeNotFoundError,
    NotFoundError,
    NotSupportedError,
    PublishRejectedError,
    QueueNotFoundError,
    ResourceExhaustedError,
    TlsFailedError,
)
from asyncbackends_rabbitmq.names import Names

__all__ = (
    "ChannelClosedError",
    "dial_failure",
    "inequivalent",
    "login_refusal",
    "lost",
    "missing",
    "ours",
    "publish_refusal",
)

ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404
LOCKED: Final = 405
PRECONDITION_FAILED: Final = 406
PUBLISHED: Final = (60, 40)

NOT_READY = re.compile(
    r"does not have a (?:running )?replica|is down or inaccessible|process is stopped by supervisor"
    r"|failed consuming from stream|is being recovered|leader.* not (?:known|available)"
)
"""What a broker says of a queue that is there, while it starts."""

MISSING = re.compile(r"no (exchange|queue) '(.*?)' in vhost", re.DOTALL)
INEQUIVALENT = re.compile(
    r"inequivalent arg '([^']*)' for .*received (.*) but current is (.*)", re.DOTALL
)
GIVEN = re.compile(r"(?:none|the value )?'?(.*?)'?(?: of type .*)?", re.DOTALL)

REFUSALS: Final[dict[int, tuple[Callable[[str], BackendError], str]]] = {
    ACCESS_REFUSED: (AccessDeniedError, "the account lacks a right"),
    LOCKED: (AccessDeniedError, "it belongs to one connection alone"),
    506: (ResourceExhaustedError, "the broker has used up a resource"),
    540: (lambda text: NotSupportedError(text, feature="broker"), "the broker cannot do this"),
}


class ChannelClosedError(Exception):
    """The broker closed a channel; it never leaves the adapter."""

    def __init__(self, code: int, text: str, *, while_publishing: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.while_publishing = while_publishing

    @classmethod
    def told_by(cls, frame: commands.Channel.Close | commands.Connection.Close) -> Self:
        """Give what the broker said as it closed."""
        published = (frame.class_id, frame.method_id) == PUBLISHED
        return cls(frame.reply_code or 0, frame.reply_text or "", while_publishing=published)

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there, for sure."""
        return self.code == NOT_FOUND and not self.is_early

    @property
    def is_early(self) -> bool:
        """Whether it is there, and the broker only begins to serve it."""
        return NOT_READY.search(self.text) is not None


def ours(error: Exception, names: Names) -> BackendError | None:
    """Give our error for the driver's; None for what is not the driver's."""
    if isinstance(error, ChannelClosedError):
        return _refusal(error, names)
    if isinstance(error, (AMQPError, PAMQPException, OSError)) and not isinstance(
        error, TimeoutError
    ):
        return lost(f"{type(error).__name__}: {error}")
    return None


def lost(reason: str) -> ConnectionLostError:
    """Give the error of a link that is gone."""
    return ConnectionLostError(f"the link to the message broker was lost: {reason}")


def _refusal(error: ChannelClosedError, names: Names) -> BackendError:
    words = f"(RabbitMQ: {error.text})"
    if error.is_early:
        return lost(f"the broker is not ready yet {words}")
    if error.is_missing:
        missed, name = missing(error, names)
        what = "exchange" if missed is ExchangeNotFoundError else "queue"
        return missed(f"there is no {what} {name!r} {words}")
    kind, text = REFUSALS.get(error.code, (BackendError, "the broker refuses this"))
    return kind(f"{text} {words}")


def missing(error: ChannelClosedError, names: Names) -> tuple[type[NotFoundError], str]:
    """Give the kind of what a refusal says is not there, and our name of it."""
    found = MISSING.search(error.text)
    if found is None:
        return NotFoundError, error.text
    kind = ExchangeNotFoundError if found[1] == "exchange" else QueueNotFoundError
    return kind, names.own(found[2].encode())


def publish_refusal(error: ChannelClosedError, names: Names) -> BackendError:
    """Give the error of the message because of which the broker closed a channel."""
    if error.code == PRECONDITION_FAILED:
        return PublishRejectedError(f"the broker takes no such message (RabbitMQ: {error.text})")
    return _refusal(error, names)


def inequivalent(text: str) -> tuple[str, str] | None:
    """Give the argument that differs from what is there, and what is there."""
    found = INEQUIVALENT.search(text)
    if found is None:
        return None
    given = GIVEN.fullmatch(found[3].strip())
    return found[1], given[1] if given is not None else found[3]


def login_refusal(code: int, text: str, virtual_host: str) -> BackendError:
    """Give the error of a connection that the broker ended before it was open."""
    if code == ACCESS_REFUSED:
        return AuthenticationFailedError(f"the broker refused the login (RabbitMQ: {text})")
    return ConnectionFailedError(f"virtual host {virtual_host!r} cannot be used (RabbitMQ: {text})")


def dial_failure(error: Exception) -> BackendError:
    """Give the error of a connection that did not come to be."""
    if isinstance(error, SSLError):
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
        return TlsFailedError(f"TLS failed: {reason}")
    return ConnectionFailedError(f"no connection: {type(error).__name__}: {error}")
