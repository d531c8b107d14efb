"""Reads the answers to a query as MariaDB and MySQL send them.

aiomysql reads packet by packet, with several objects and awaits for each; that costs three times
as much as this.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from asyncbackends.sql.server import Row
from asyncbackends_mysql.driver_errors import BROKEN, ServerError
from asyncbackends_mysql.link import INTEGERS

__all__ = ("Answers", "Source")

CHUNK: Final = 1 << 18
WHOLE: Final = 0xFFFFFF
"""The length of a packet that goes on in the next one."""
OK, LOCAL_FILE, END, ERROR = 0x00, 0xFB, 0xFE, 0xFF
LONGEST_END: Final = 9
MORE_RESULTS: Final = 8
BINARY: Final = 63
NULL: Final = 0xFB
SIZES: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}
"""How many bytes a larger number has, by the byte before it."""

Converter = Callable[[bytes], Any]


class Source(Protocol):
    """What the bytes come from: an asyncio.StreamReader."""

    async def read(self, n: int = ...) -> bytes: ...


class Answers:
    """The answers on one connection, after the login."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = b""
        self._at = 0

    async def results(self) -> list[Sequence[Row]]:
        """Read the answer to one packet of statements, and give the rows of those that have some.

        :raises ServerError: the first error, which is the last answer.
        """
        results: list[Sequence[Row]] = []
        more = True
        while more:
            first = await self._packet()
            kind = first[0]
            if kind == OK:
                _, at = _length(first, 1)
                _, at = _length(first, at)
                more = bool(first[at] & MORE_RESULTS)
            elif kind == ERROR:
                raise _error(first)
            elif kind == LOCAL_FILE:
                raise ServerError(BROKEN, "the server asks for a file")
            else:
                count, _ = _length(first, 0)
                converters = [_converter(await self._packet()) for _ in range(count)]
                await self._packet()
                rows: list[Row] = []
                more = await self._rows(converters, rows)
                results.append(rows)
        return results

    async def _packet(self) -> bytes:
        parts: list[bytes] = []
        while True:
            await self._have(4)
            length = int.from_bytes(self._data[self._at : self._at + 3], "little")
            await self._have(4 + length)
            begin = self._at + 4
            self._at = begin + length
            parts.append(self._data[begin : self._at])
            if length < WHOLE:
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _have(self, count: int) -> None:
        missing = count - (len(self._data) - self._at)
        if missing <= 0:
            return
        parts = [self._data[self._at :]]
        while missing > 0:
            chunk = await self._source.read(CHUNK)
            if not chunk:
                raise ServerError(BROKEN, "the server closed the connection")
            parts.append(chunk)
            missing -= len(chunk)
        self._data, self._at = b"".join(parts), 0

    async def _rows(self, converters: list[Converter | None], rows: list[Row]) -> bool:
        """Read rows up to their end, and say whether other results follow."""
        while True:
            self._at, status = _whole_rows(self._data, self._at, converters, rows)
            if status is None:
                # What is not whole yet, or larger than a packet.
                packet = await self._packet()
                if packet[0] == ERROR:
                    raise _error(packet)
                status = _end(packet)
                if status is None:
                    rows.append(_row(packet, 0, converters))
                    continue
            return bool(status & MORE_RESULTS)


def _whole_rows(
    data: bytes, at: int, converters: list[Converter | None], rows: list[Row]
) -> tuple[int, int | None]:
    """Read the rows that are there as a whole; give where they end, and the status behind them."""
    last = len(data) - 4
    while at <= last:
        length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        begin = at + 4
        end = begin + length
        if end > last + 4 or length == WHOLE:
            break
        first = data[begin]
        if first >= END:
            if first == ERROR:
                break
            if length < LONGEST_END:
                return end, data[begin + 3]
        rows.append(_row(data, begin, converters))
        at = end
    return at, None


def _row(data: bytes, at: int, converters: list[Converter | None]) -> Row:
    row: list[Any] = []
    for converter in converters:
        length = data[at]
        at += 1
        if length >= NULL:
            if length == NULL:
                row.append(None)
                continue
            size = SIZES[length]
            length = int.from_bytes(data[at : at + size], "little")
            at += size
        value = data[at : at + length]
        at += length
        row.append(value if converter is None else converter(value))
    return row


def _end(packet: bytes) -> int | None:
    """Give the status in a packet that ends rows."""
    return packet[3] if packet[0] == END and len(packet) < LONGEST_END else None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Give the number at a place, and the place behind it."""
    first = data[at]
    at += 1
    if first < NULL:
        return first, at
    size = SIZES[first]
    return int.from_bytes(data[at : at + size], "little"), at + size


def _converter(column: bytes) -> Converter | None:
    """Give what reads a column, from its definition."""
    at = 0
    # Catalog, schema, table, its true name, name, its true name.
    for _ in range(6):
        length, at = _length(column, at)
        at += length
    charset = column[at + 1] | column[at + 2] << 8
    kind = column[at + 7]
    if kind in INTEGERS:
        return int
    return None if charset == BINARY else bytes.decode


def _error(packet: bytes) -> ServerError:
    code = packet[1] | packet[2] << 8
    words = packet[9:] if packet[3:4] == b"#" else packet[3:]
    return ServerError(code, words.decode("utf-8", "replace"))
