"""What requests and replies look like as messages. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.values import checked_text
from asyncbackends.protocols.values import Json
from asyncbackends.rpc.failures import Failure

__all__ = (
    "Reply",
    "Request",
    "failure_message",
    "read_reply",
    "read_request",
    "request_message",
    "result_message",
)


class Request(msgspec.Struct, frozen=True):
    """``{"method": ..., "params": {...}}``; other keys are left for later versions."""

    method: str
    params: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True):
    """``{"result": ...}``, or ``{"error": {"kind": ..., "type": ..., "text": ...}}``."""

    result: Any = None
    error: Failure | None = None


_read_request = msgspec.json.Decoder(Request).decode
_read_reply = msgspec.json.Decoder(Reply).decode


def request_message(method: str, params: Mapping[str, Json] | None) -> dict[str, Json]:
    """Give the message of a call; whether the parameters are JSON is found when it is published.

    :raises InvalidRequestError: ``method`` is no name, or ``params`` is no mapping.
    """
    checked_text(method, "a method")
    if params is None:
        return {"method": method}
    # Arguments are checked at run time too.
    if not isinstance(params, Mapping):
        message = f"params is a mapping of names to values, not {type(params).__name__}"
        raise InvalidRequestError(message)
    return {"method": method, "params": dict(params)}


def read_request(body: bytes) -> Request:
    """Read a request.

    :raises InvalidRequestError: it is none.
    """
    try:
        return _read_request(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"the message is no request: {error}"
        raise InvalidRequestError(message) from error


def result_message(result: Json) -> dict[str, Json]:
    """Give the message of a reply."""
    return {"result": result}


def failure_message(failure: Failure) -> dict[str, Json]:
    """Give the message of a reply without a result."""
    return {"error": {"kind": failure.kind, "type": failure.type, "text": failure.text}}


def read_reply(body: bytes) -> Reply:
    """Read a reply.

    :raises InvalidRequestError: it is none.
    """
    try:
        return _read_reply(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"the message is no reply: {error}"
        raise InvalidRequestError(message) from error
