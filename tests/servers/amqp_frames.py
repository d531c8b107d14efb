"""AMQP 0-9-1 in frames, as far as a proxy has to know it."""

import struct
from dataclasses import dataclass, field
from typing import Any

import pamqp.commands
import pamqp.frame
import pamqp.header

__all__ = ("Assembler", "Unit", "answer_frame", "client_of", "ids_of", "message_id_of", "method")

HEADER = struct.Struct(">BHI")
ANSWER = struct.Struct(">BHIHHQBB")
IDS = struct.Struct(">HH")
METHOD, CONTENT_HEADER, HEARTBEAT = 1, 2, 8
END = 0xCE
OVERHEAD = 8

Ids = tuple[int, int]
"""Class and method."""

PUBLISH: Ids = (60, 40)
RETURN: Ids = (60, 50)
DELIVER: Ids = (60, 60)
GET_OK: Ids = (60, 71)
CARRYING = {PUBLISH, RETURN, DELIVER, GET_OK}
"""A content header and content follow these."""


@dataclass
class Unit:
    """A method with the content that follows it, or a heartbeat."""

    channel: int
    ids: Ids | None
    """None: a heartbeat, or the greeting of a client."""
    raw: bytes
    header: bytes = b""
    """The payload of its content header."""
    body_size: int = field(default=0, repr=False)

    @property
    def payload(self) -> bytes:
        """The method's arguments."""
        size = HEADER.unpack_from(self.raw)[2]
        return self.raw[HEADER.size + IDS.size : HEADER.size + size]


class Assembler:
    """Puts frames of one direction together, so that what is inserted never tears a message."""

    def __init__(self) -> None:
        self._partial: dict[int, Unit] = {}

    def take(self, buffer: bytearray) -> tuple[int, Unit | None]:
        """Take the first frame; give its length, 0 if it is not whole, and what it completes."""
        if len(buffer) < OVERHEAD:
            return 0, None
        if buffer.startswith(b"AMQP"):
            return OVERHEAD, Unit(0, None, bytes(buffer[:OVERHEAD]))
        kind, channel, size = HEADER.unpack_from(buffer)
        length = size + OVERHEAD
        if len(buffer) < length:
            return 0, None
        if buffer[length - 1] != END:
            raise ValueError(f"no end of a frame in {bytes(buffer[:length])!r}")
        raw = bytes(buffer[:length])
        if kind == HEARTBEAT:
            return length, Unit(channel, None, raw)
        if kind == METHOD:
            unit = Unit(channel, ids_of(raw), raw)
            if unit.ids not in CARRYING:
                return length, unit
            self._partial[channel] = unit
            return length, None
        unit = self._partial[channel]
        unit.raw += raw
        if kind == CONTENT_HEADER:
            unit.header = raw[HEADER.size : -1]
            (unit.body_size,) = struct.unpack_from(">Q", unit.header, 4)
        else:
            unit.body_size -= size
        if unit.body_size > 0:
            return length, None
        return length, self._partial.pop(channel)


def ids_of(raw: bytes) -> Ids:
    """Give class and method of a method frame."""
    first, second = IDS.unpack_from(raw, HEADER.size)
    return first, second


def method(channel: int, value: pamqp.frame.FrameTypes) -> bytes:
    """Give the frame of a method."""
    return pamqp.frame.marshal(value, channel)


def answer_frame(channel: int, ids: Ids, tag: int, bits: int) -> bytes:
    """Give a frame of basic.ack, basic.nack or basic.reject."""
    return ANSWER.pack(METHOD, channel, 13, *ids, tag, bits, END)


def client_of(unit: Unit) -> tuple[str, bool]:
    """Give the connection's name in a connection.start-ok, and whether it can be told of blocking."""
    start: Any = pamqp.frame.unmarshal(unit.raw)[2]
    if not isinstance(start, pamqp.commands.Connection.StartOk):
        raise TypeError(f"no connection.start-ok: {start!r}")
    properties: dict[str, Any] = dict(start.client_properties or {})
    capabilities: dict[str, Any] = dict(properties.get("capabilities") or {})
    return str(properties.get("connection_name", "")), bool(capabilities.get("connection.blocked"))


def message_id_of(unit: Unit) -> str:
    """Give the id of a message that is published."""
    found = pamqp.header.ContentHeader()
    found.unmarshal(unit.header)
    headers: dict[str, Any] = dict(found.properties.headers or {})
    return str(headers.get("ab-message-id", found.properties.message_id))
