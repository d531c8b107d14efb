"""Messages as NATS headers, and back. Pure.

``Nats-`` is the server's own prefix: a user's header of such a name travels under another one.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final, NamedTuple

from asyncbackends.broker.wire import OutgoingMessage

__all__ = ("Headers", "encoded", "parsed")

LINE: Final = "NATS/1.0\r\n"
ID: Final = "Nats-Msg-Id"
TIMESTAMP: Final = "ab-timestamp"
EXPIRES: Final = "ab-expires-at"
CORRELATION: Final = "ab-correlation-id"
REPLY: Final = "ab-reply-to"
ESCAPE: Final = "ab-user-"
SERVERS: Final = "nats-"


class Headers(NamedTuple):
    """What the headers of a message say; a foreign one lacks ours."""

    message_id: str | None
    timestamp: float | None
    expires_at: float | None
    correlation_id: str | None
    reply_to: str | None
    others: Mapping[str, str]


def encoded(message: OutgoingMessage, *, now: float) -> bytes:
    """Give the header block of a message.

    :param now: seconds since 1970 UTC.
    """
    text = f"{LINE}{ID}: {message.message_id}\r\n{TIMESTAMP}: {message.timestamp!r}\r\n"
    if message.expires_at is not None:
        text += f"{EXPIRES}: {message.expires_at!r}\r\n"
        # Whole seconds; one that is over already is dropped by whoever consumes it.
        text += f"Nats-TTL: {max(1, ceil(message.expires_at - now))}\r\n"
    if message.correlation_id is not None:
        text += f"{CORRELATION}: {message.correlation_id}\r\n"
    if message.reply_to is not None:
        text += f"{REPLY}: {message.reply_to}\r\n"
    for name, value in message.headers.items():
        escape = ESCAPE if name[:5].lower() == SERVERS else ""
        text += f"{escape}{name}: {value}\r\n"
    return text.encode() + b"\r\n"


def parsed(block: bytes) -> Headers:
    """Read a header block; what is no header is left out."""
    message_id = correlation_id = reply_to = None
    timestamp = expires_at = None
    others: dict[str, str] = {}
    # Values hold characters that other ways to split lines would take for an end.
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, found, value = line.partition(":")
        if not found:
            continue
        value = value.strip(" \t")
        if name == ID:
            message_id = value
        elif name == TIMESTAMP:
            timestamp = _number(value)
        elif name == EXPIRES:
            expires_at = _number(value)
        elif name == CORRELATION:
            correlation_id = value
        elif name == REPLY:
            reply_to = value
        elif name.startswith(ESCAPE):
            others[name[len(ESCAPE) :]] = value
        elif name[:5].lower() != SERVERS:
            others[name] = value
    return Headers(message_id, timestamp, expires_at, correlation_id, reply_to, others)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
