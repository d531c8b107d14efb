"""Headers of requests and of answers, as HPACK (RFC 7541) writes them.

Requests are written without the table that both sides would have to keep: a block is made once
and used for every call. Answers are read by the library hpack, and blocks that only point into the
table are read once.
"""

from collections.abc import Mapping
from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError

from asyncbackends_etcd.http2_frames import Http2Error

__all__ = ("HeaderReader", "Headers", "request_block", "without_table")

Headers = Mapping[bytes, bytes]

MOST_HEADERS: Final = 65_536
POST, HTTP, HTTPS = b"\x83", b"\x86", b"\x87"
PATH, AUTHORITY, CONTENT_TYPE = b"\x04", b"\x01", b"\x0f\x10"
NEW_NAME, SECRET_NAME = b"\x00", b"\x10"
POINTS: Final = bytes(range(0x81, 0xFF))
"""Each of these is a whole header, and changes nothing in the table."""
NO_TABLE: Final = b"\x20"
MOST_KEPT: Final = 64


def _text(data: bytes) -> bytes:
    length = len(data)
    if length < 127:
        return bytes((length,)) + data
    length -= 127
    written = bytearray(b"\x7f")
    while length > 127:
        written.append(length & 127 | 128)
        length >>= 7
    written.append(length)
    return bytes(written) + data


def request_block(
    path: str, authority: str, *, secure: bool, headers: Mapping[str, str], token: str | None
) -> bytes:
    """Write the headers of a gRPC call; a token is marked as one that nobody may keep."""
    block = POST + (HTTPS if secure else HTTP) + PATH + _text(path.encode())
    block += AUTHORITY + _text(authority.encode())
    block += (
        CONTENT_TYPE + _text(b"application/grpc") + NEW_NAME + _text(b"te") + _text(b"trailers")
    )
    for name, value in headers.items():
        block += NEW_NAME + _text(name.encode()) + _text(value.encode())
    if token is not None:
        block += SECRET_NAME + _text(b"token") + _text(token.encode())
    return block


def without_table(block: bytes) -> bytes:
    """Say before a block that the table has no room: a peer that makes its own smaller asks so."""
    return NO_TABLE + block


class HeaderReader:
    """Reads blocks in the order in which they come."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MOST_HEADERS)
        self._kept: dict[bytes, Headers] = {}
        """Blocks that mean the same as long as the table does not change."""

    def read(self, block: bytes) -> Headers:
        """Read one.

        :raises Http2Error: it is none.
        """
        kept = self._kept.get(block)
        if kept is not None:
            return kept
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except (HPACKError, ValueError, IndexError) as error:
            raise Http2Error(f"headers cannot be read: {type(error).__name__}") from error
        if block.translate(None, POINTS):
            self._kept.clear()
        elif len(self._kept) < MOST_KEPT:
            self._kept[block] = headers
        return headers
