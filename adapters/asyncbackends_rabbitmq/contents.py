"""What a message says of itself, read from its frames. Pure."""

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is a class
from typing import Any, Final

from pamqp import decode

from asyncbackends.broker.wire import IncomingMessage
from asyncbackends_rabbitmq.frames import (
    CORRELATION_ID,
    EXPIRES_AT,
    MESSAGE_ID,
    REPLY_TO,
    SEND,
    TIMESTAMP,
)
from asyncbackends_rabbitmq.names import Names

__all__ = ("body_size", "delivery_tag", "incoming", "returned_mark")

COUNT: Final = "x-delivery-count"
TAKEN: Final = "x-acquired-count"
LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""
NO_HEADERS: Final[Mapping[str, str]] = {}

_FLAGS: Final = Struct(">QH")
_LENGTH: Final = Struct(">I")
_TAG: Final = Struct(">QB")
_SECONDS: Final = Struct(">Q")
_NUMBERS: Final = {
    ord("d"): Struct(">d"),
    ord("l"): Struct(">q"),
    ord("I"): Struct(">i"),
}
_TEXT: Final = ord("S")


def body_size(header: bytes) -> int:
    """Give how long the body is that follows a content header."""
    size: int = _FLAGS.unpack_from(header, 4)[0]
    return size


def delivery_tag(method: bytes) -> tuple[int, bool]:
    """Give the tag of a delivery, and whether it came before."""
    tag, bits = _TAG.unpack_from(method, 5 + method[4])
    return tag, bits == 1


def incoming(
    tag: int,
    redelivered: bool,
    method: bytes,
    header: bytes,
    body: bytes,
    names: Names,
    known: Callable[[str | None], int],
) -> IncomingMessage:
    """Give the message of a delivery.

    :param known: gives how often a message was delivered before, as far as is known here; a
        count of the broker's own comes first.
    """
    at = 14 + method[4]
    end = at + 1 + method[at]
    exchange = names.own(method[at + 1 : end])
    routing_key = method[end + 1 : end + 1 + method[end]].decode("utf-8", "replace")
    headers, message_id, correlation_id, reply_to, timestamp = _properties(header)
    count, expires_at = None, None
    texts: Mapping[str, str] = NO_HEADERS
    if headers:
        exact = headers.pop(TIMESTAMP, None)
        if exact is not None:
            timestamp = _number(exact, timestamp)
        if headers:
            expires_at = _number(headers.pop(EXPIRES_AT, None), None)
            counted = headers.pop(COUNT, None)
            count = counted if isinstance(counted, int) else None
            headers.pop(TAKEN, None)
            headers.pop(SEND, None)
            message_id = headers.pop(MESSAGE_ID, message_id)
            correlation_id = headers.pop(CORRELATION_ID, correlation_id)
            reply_to = headers.pop(REPLY_TO, reply_to)
            texts = {name: _text(value) for name, value in headers.items()}
    if count is None:
        count = max(known(message_id), 1) if redelivered else 0
    return IncomingMessage(
        tag,
        exchange,
        routing_key,
        body,
        texts,
        message_id,
        correlation_id,
        reply_to,
        timestamp,
        expires_at,
        redelivered,
        count + 1,
    )


def returned_mark(header: bytes) -> int | None:
    """Give by which mark a message was sent that came back."""
    mark = _properties(header)[0].get(SEND)
    return int(mark) if isinstance(mark, str) and mark.isdecimal() else None


_Properties = tuple[dict[str, Any], str | None, str | None, str | None, float | None]


def _properties(header: bytes) -> _Properties:
    """Give the headers, message id, correlation id, reply address and timestamp."""
    (flags,) = _FLAGS.unpack_from(header, 4)[1:]
    at = 14
    if flags & 0x8000:  # content type
        at += 1 + header[at]
    if flags & 0x4000:  # content encoding
        at += 1 + header[at]
    headers: dict[str, Any] = {}
    if flags & 0x2000:
        (length,) = _LENGTH.unpack_from(header, at)
        headers = _table(header, at, at + 4 + length)
        at += 4 + length
    if flags & 0x1000:  # delivery mode
        at += 1
    if flags & 0x0800:  # priority
        at += 1
    message_id = correlation_id = reply_to = timestamp = None
    if flags & 0x0400:
        correlation_id, at = _short(header, at)
    if flags & 0x0200:
        reply_to, at = _short(header, at)
    if flags & 0x0100:  # expiration
        at += 1 + header[at]
    if flags & 0x0080:
        message_id, at = _short(header, at)
    if flags & 0x0040:
        timestamp = _number(_SECONDS.unpack_from(header, at)[0], None)
    return headers, message_id, correlation_id, reply_to, timestamp


def _short(header: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + header[at]
    return header[at + 1 : end].decode("utf-8", "replace"), end


def _table(header: bytes, begin: int, end: int) -> dict[str, Any]:
    """Read what is in nearly every table itself, and leave any other to pamqp."""
    found: dict[str, Any] = {}
    at = begin + 4
    while at < end:
        name, at = _short(header, at)
        kind = header[at]
        if kind == _TEXT:
            (length,) = _LENGTH.unpack_from(header, at + 1)
            at += 5 + length
            found[name] = header[at - length : at].decode("utf-8", "replace")
        elif (number := _NUMBERS.get(kind)) is not None:
            (found[name],) = number.unpack_from(header, at + 1)
            at += 1 + number.size
        else:
            try:
                return dict(decode.field_table(header[begin:end])[1])
            except (ValueError, LookupError, ArithmeticError, RecursionError, StructError):
                # A message that nobody can read fully is still better had than come for ever.
                return found
    return found


def _number(value: object, otherwise: float | None) -> float | None:
    """Give a time, if it is one that a calendar has."""
    if isinstance(value, (int, float)) and 0 <= value < LAST_SECOND:
        return float(value)
    return otherwise


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return "" if value is None else str(value)
    except RecursionError:
        return ""
