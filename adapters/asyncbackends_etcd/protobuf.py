"""The protocol buffers' wire format, as much of it as etcd's messages use. Pure."""

from typing import Final, TypeAlias

__all__ = ("DecodeError", "Fields", "content", "fields_of", "integer", "signed", "varint")

Fields: TypeAlias = list[tuple[int, int, bytes]]
"""Number, integer and content of each field in order; of the last two one counts, by the number."""

SINGLE: Final = tuple(bytes((number,)) for number in range(128))
MOST_BITS: Final = 70
"""A varint has at most ten bytes."""
WHOLE: Final = (1 << 64) - 1
VARINT, FIXED64, CONTENT, FIXED32 = 0, 1, 2, 5


class DecodeError(ValueError):
    """It is no message."""


def varint(number: int) -> bytes:
    """Write an integer of at most 64 bits."""
    if 0 <= number < 128:
        return SINGLE[number]
    number &= WHOLE
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def integer(number: int, value: int) -> bytes:
    """Write a field that holds an integer; nothing for 0, which is what a missing one means."""
    return varint(number << 3) + varint(value) if value else b""


def content(number: int, value: bytes) -> bytes:
    """Write a field that holds bytes, text or a message, also an empty one."""
    return varint(number << 3 | CONTENT) + varint(len(value)) + value


def signed(value: int) -> int:
    """Give an int64 that was read as if it had no sign."""
    return value - (1 << 64) if value >> 63 else value


def fields_of(data: bytes) -> Fields:
    """Read the fields of a message.

    :raises DecodeError: there is something else.
    """
    fields: Fields = []
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            position += 1
            if tag > 127:
                tag, position = _varint(data, position - 1)
            kind = tag & 7
            if kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
                continue
            value = data[position]
            position += 1
            if value > 127:
                value, position = _varint(data, position - 1)
            if kind == VARINT:
                fields.append((tag >> 3, value, b""))
            elif kind == CONTENT:
                fields.append((tag >> 3, 0, data[position : position + value]))
                position += value
            else:
                raise DecodeError(f"a field has the wire type {kind}")
    except IndexError:
        raise DecodeError("a message ends within a field") from None
    if position > end:
        raise DecodeError("a message ends within a field")
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & WHOLE, position
        shift += 7
        if shift >= MOST_BITS:
            raise DecodeError("an integer has more than ten bytes")
