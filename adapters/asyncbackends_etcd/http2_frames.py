"""The frames of HTTP/2 (RFC 9113): read, and written. Pure."""

from typing import Final, TypeAlias

__all__ = (
    "ACK",
    "CANCEL",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "ENHANCE_YOUR_CALM",
    "GOAWAY",
    "HEADERS",
    "HEADER_TABLE_SIZE",
    "INITIAL_WINDOW_SIZE",
    "MAX_CONCURRENT_STREAMS",
    "MAX_FRAME_SIZE",
    "MOST_FRAME",
    "MOST_WINDOW",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PUSH_PROMISE",
    "REFUSED_STREAM",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "Frame",
    "FrameReader",
    "Http2Error",
    "frame",
    "header_frames",
    "settings_frame",
    "settings_of",
    "unpadded",
    "window_frame",
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
MOST_FRAME: Final = 16_384
"""A frame is not larger unless its receiver has said that it may be."""
MOST_WINDOW: Final = 2**31 - 1
HEAD: Final = 9

Frame: TypeAlias = tuple[int, int, int, bytes]
"""Type, flags, stream, payload."""


class Http2Error(Exception):
    """The peer breaks the rules of HTTP/2: the connection is of no use."""


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self, most: int = MOST_FRAME) -> None:
        self._most = most
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Give the frames that are whole now.

        :raises Http2Error: one is larger than it may be.
        """
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        position, end = 0, len(data)
        while end - position >= HEAD:
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if length > self._most:
                raise Http2Error(f"a frame has {length} bytes, more than {self._most}")
            begin = position + HEAD
            if begin + length > end:
                break
            stream = int.from_bytes(data[position + 5 : begin]) & MOST_WINDOW
            kind, flags = data[position + 3], data[position + 4]
            position = begin + length
            frames.append((kind, flags, stream, data[begin:position]))
        self._rest = data[position:]
        return frames


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame."""
    head = len(payload) << 48 | kind << 40 | flags << 32 | stream
    return head.to_bytes(HEAD) + payload


def header_frames(stream: int, block: bytes, most: int) -> bytes:
    """Write a block of headers, after which the stream goes on."""
    if len(block) <= most:
        return frame(HEADERS, END_HEADERS, stream, block)
    parts = [block[start : start + most] for start in range(0, len(block), most)]
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if at else HEADERS, END_HEADERS if at == last else 0, stream, part)
        for at, part in enumerate(parts)
    )


def settings_frame(settings: dict[int, int]) -> bytes:
    """Write settings."""
    pairs = (key.to_bytes(2) + value.to_bytes(4) for key, value in settings.items())
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def settings_of(payload: bytes) -> dict[int, int]:
    """Read settings.

    :raises Http2Error: they cannot be, or are not allowed.
    """
    if len(payload) % 6:
        raise Http2Error("settings end within a pair")
    settings = {
        int.from_bytes(payload[at : at + 2]): int.from_bytes(payload[at + 2 : at + 6])
        for at in range(0, len(payload), 6)
    }
    if settings.get(INITIAL_WINDOW_SIZE, 0) > MOST_WINDOW:
        raise Http2Error("a window is larger than it can be")
    if not MOST_FRAME <= settings.get(MAX_FRAME_SIZE, MOST_FRAME) < 1 << 24:
        raise Http2Error("a size of frames is not one that can be")
    return settings


def window_frame(stream: int, grown: int) -> bytes:
    """Write how much more a stream, or with 0 the connection, may bring."""
    return frame(WINDOW_UPDATE, 0, stream, grown.to_bytes(4))


def unpadded(flags: int, payload: bytes, *, with_priority: bool = False) -> bytes:
    """Give what a frame of data or headers holds.

    :raises Http2Error: there is more padding than there are bytes.
    """
    if not flags & (PADDED | WITH_PRIORITY):
        return payload
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise Http2Error("padding without its length")
        start, end = 1, end - payload[0]
    if with_priority and flags & WITH_PRIORITY:
        start += 5
    if start > end:
        raise Http2Error("more padding than there are bytes")
    return payload[start:end]
