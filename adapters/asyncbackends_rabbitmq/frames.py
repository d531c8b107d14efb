"""AMQP 0-9-1 frames that are made once per message or answer, packed by hand. Pure."""

import math
from struct import Struct
from typing import Final

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends_rabbitmq.names import Names

__all__ = (
    "BODY",
    "CORRELATION_ID",
    "END",
    "EXPIRES_AT",
    "FRAME",
    "HEADER",
    "HEARTBEAT",
    "MESSAGE_ID",
    "METHOD",
    "MOST_SECONDS",
    "OVERHEAD",
    "REPLY_TO",
    "SEND",
    "TIMESTAMP",
    "MessageFrames",
    "ack",
    "again",
)

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
END: Final = b"\xce"
OVERHEAD: Final = 8
"""Bytes of a frame beside its payload."""
FRAME: Final = Struct(">BHI")
"""What a frame begins with: its type, its channel and the length of its payload."""
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

TIMESTAMP: Final = "ab-timestamp"
EXPIRES_AT: Final = "ab-expires-at"
SEND: Final = "ab-send"
MESSAGE_ID: Final = "ab-message-id"
CORRELATION_ID: Final = "ab-correlation-id"
REPLY_TO: Final = "ab-reply-to"

MOST_SECONDS: Final = 4_294_967
"""The broker counts milliseconds in 32 bits: what lasts longer is left to the core."""
MOST_METHODS: Final = 1000

_CONTENT: Final = Struct(">BHIHHQH")
_ANSWER: Final = Struct(">BHIHHQBB")
_LENGTH: Final = Struct(">I")
_DOUBLE: Final = Struct(">d")
_SECONDS: Final = Struct(">Q")

_CONTENT_TYPE: Final = 0x8000
_CORRELATION_ID: Final = 0x0400
_REPLY_TO: Final = 0x0200
_EXPIRATION: Final = 0x0100
_MESSAGE_ID: Final = 0x0080
_ALWAYS: Final = 0x3040
"""Headers, delivery mode and timestamp."""
_JSON: Final = b"\x10application/json"
_STORED: Final = b"\x02"
_TIMESTAMP: Final = b"\x0cab-timestampd"
_EXPIRES_AT: Final = b"\x0dab-expires-atd"


class MessageFrames:
    """Makes the frames of the messages that go out on one channel."""

    def __init__(self, channel: int, frame_max: int, names: Names) -> None:
        self._channel = channel
        self._most = frame_max - OVERHEAD
        self._names = names
        self._methods: dict[tuple[str, str, bool], bytes] = {}

    def append(self, out: list[bytes], message: OutgoingMessage, mark: int, now: float) -> int:
        """Put the frames of a message at the end of a list, to be written as one.

        :param mark: by this a message that comes back is known.
        :param now: seconds since 1970 UTC.
        :returns: 0, or how large the header frame is that no frame may be: then it adds nothing.
        """
        key = (message.exchange, message.routing_key, message.mandatory)
        method = self._methods.get(key) or self._method(key)
        flags, properties = _properties(message, mark, now)
        if len(properties) + 14 > self._most:
            return len(properties) + 14
        body, channel = message.body, self._channel
        size = len(body)
        out.append(method)
        out.append(_CONTENT.pack(HEADER, channel, 14 + len(properties), 60, 0, size, flags))
        out.append(properties)
        if size <= self._most:
            if size:
                out += (END, FRAME.pack(BODY, channel, size), body)
        else:
            for begin in range(0, size, self._most):
                part = body[begin : begin + self._most]
                out += (END, FRAME.pack(BODY, channel, len(part)), part)
        out.append(END)
        return 0

    def _method(self, key: tuple[str, str, bool]) -> bytes:
        exchange, routing_key, mandatory = key
        payload = b"".join(
            (
                b"\x00\x3c\x00\x28\x00\x00",
                _short(self._names.exchange(exchange).encode()),
                _short(routing_key.encode()),
                b"\x01" if mandatory else b"\x00",
            )
        )
        if len(self._methods) >= MOST_METHODS:
            # Routing keys may be as many as there are clients.
            self._methods.clear()
        frame = FRAME.pack(METHOD, self._channel, len(payload)) + payload + END
        self._methods[key] = frame
        return frame


def _properties(message: OutgoingMessage, mark: int, now: float) -> tuple[int, bytes]:
    flags = _ALWAYS
    table = _TIMESTAMP + _DOUBLE.pack(message.timestamp)
    if message.headers:
        table += b"".join(_field(name, value) for name, value in message.headers.items())
    after = b""
    if message.correlation_id is not None:
        text = message.correlation_id.encode()
        if len(text) < 256:
            flags |= _CORRELATION_ID
            after = _short(text)
        else:
            table += _field(CORRELATION_ID, message.correlation_id)
    if message.reply_to is not None:
        text = message.reply_to.encode()
        if len(text) < 256:
            flags |= _REPLY_TO
            after += _short(text)
        else:
            table += _field(REPLY_TO, message.reply_to)
    if message.expires_at is not None:
        table += _EXPIRES_AT + _DOUBLE.pack(message.expires_at)
        left = max(0.0, message.expires_at - now)
        if left <= MOST_SECONDS:
            flags |= _EXPIRATION
            after += _short(str(math.ceil(left * 1000)).encode())
    text = message.message_id.encode()
    if len(text) < 256:
        flags |= _MESSAGE_ID
        after += bytes((len(text),)) + text
    else:
        table += _field(MESSAGE_ID, message.message_id)
    if message.mandatory:
        table += _field(SEND, str(mark))
    before = b""
    if message.is_json:
        flags |= _CONTENT_TYPE
        before = _JSON
    seconds = _SECONDS.pack(max(0, int(message.timestamp)))
    return flags, b"".join((before, _LENGTH.pack(len(table)), table, _STORED, after, seconds))


def _short(text: bytes) -> bytes:
    # Only a foreign name that was no UTF-8 is longer, when it goes on in a copy.
    text = text[:255]
    return bytes((len(text),)) + text


def _field(name: str, value: str) -> bytes:
    text = value.encode()
    return _short(name.encode()) + b"S" + _LENGTH.pack(len(text)) + text


def ack(channel: int, tag: int, *, up_to: bool) -> bytes:
    """Give the frame that acks a delivery, or all to that one."""
    return _ANSWER.pack(METHOD, channel, 13, 60, 80, tag, up_to, 0xCE)


def again(channel: int, tag: int) -> bytes:
    """Give the frame that returns a delivery; as a rejection, which all versions count."""
    return _ANSWER.pack(METHOD, channel, 13, 60, 90, tag, 1, 0xCE)
