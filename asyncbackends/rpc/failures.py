"""What a call may end with beside its result, and what of a failure leaves the server."""

from typing import Final

import msgspec

from asyncbackends.broker.dead_letters import one_line
from asyncbackends.errors import BackendError

__all__ = (
    "Failure",
    "HandlerError",
    "InvalidParamsError",
    "MethodNotFoundError",
    "RemoteError",
    "RpcError",
    "failure_of",
    "raised_at_caller",
)

MAX_TEXT: Final = 2000
HIDDEN: Final = "the handler failed; the log of its server says why"


class RpcError(BackendError):
    """A call that a server answered without a result."""


class RemoteError(RpcError):
    """The server refused the call or its handler failed: ``type_name`` and ``text`` say how.

    ``maybe_applied`` is True where the handler ran: how far it got, nobody knows.
    """

    def __init__(self, type_name: str, text: str, *, maybe_applied: bool = True) -> None:
        super().__init__(f"{type_name}: {text}", maybe_applied=maybe_applied)
        self.type_name = type_name
        self.text = text


class MethodNotFoundError(RemoteError):
    """The server has no method of that name; nothing ran."""


class InvalidParamsError(RemoteError):
    """The method does not take these parameters, or lacks one; nothing ran."""


class HandlerError(Exception):
    """Raised by a handler: its caller gets RemoteError with exactly this name and text."""

    def __init__(self, type_name: str, text: str = "") -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text


class Failure(msgspec.Struct, frozen=True):
    """A failure as it is sent."""

    kind: str
    """``method``, ``params``, or whatever else the handler or its result failed with."""
    type: str
    text: str


def failure_of(error: BaseException, exposed: tuple[type[Exception], ...]) -> Failure:
    """Give what the caller is told of a handler's failure.

    The name of the error's type, and its text only if it is a HandlerError or one of ``exposed``:
    a text may hold what is nobody's business.
    """
    if isinstance(error, HandlerError):
        return Failure(
            "handler", one_line(error.type_name, MAX_TEXT), one_line(error.text, MAX_TEXT)
        )
    text = str(error) if isinstance(error, exposed) else HIDDEN
    return Failure("handler", type(error).__name__, one_line(text, MAX_TEXT))


def raised_at_caller(failure: Failure) -> RemoteError:
    """Give the error of the caller."""
    match failure.kind:
        case "method":
            return MethodNotFoundError(failure.type, failure.text, maybe_applied=False)
        case "params":
            return InvalidParamsError(failure.type, failure.text, maybe_applied=False)
        case _:
            return RemoteError(failure.type, failure.text)
