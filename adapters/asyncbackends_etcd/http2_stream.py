"""One request of an HTTP/2 connection and its answer, as the connection keeps it."""

from typing import Final, Protocol

from asyncbackends_etcd.http2_headers import Headers

__all__ = ("STREAM_WINDOW", "Http2Stream", "StreamBrokenError", "StreamUser")

STREAM_WINDOW: Final = 4 * 1024 * 1024
"""Bytes that a server may send of one answer before they are taken."""


class StreamBrokenError(Exception):
    """A stream ended without an answer.

    :param heard: the server may have handled the request.
    """

    def __init__(self, reason: str, *, heard: bool) -> None:
        super().__init__(reason)
        self.heard = heard


class StreamUser(Protocol):
    """Who made a request."""

    def take_headers(self, headers: Headers, ended: bool) -> None:
        """Take headers, or trailers."""
        ...

    def take_data(self, data: bytes, ended: bool) -> None:
        """Take a part of the body."""
        ...

    def break_off(self, error: StreamBrokenError) -> None:
        """Hear that nothing more comes."""
        ...


class Http2Stream:
    """What is still to be sent, and what may be."""

    __slots__ = ("ending", "id", "ready", "taken", "unsent", "user", "whole", "window")

    def __init__(self, user: StreamUser) -> None:
        self.user = user
        self.id = 0
        """0 until it is opened."""
        self.window = 0
        """Bytes that the server still takes of it."""
        self.unsent = bytearray()
        self.ending = False
        """What is unsent is the last."""
        self.whole = False
        """The request is sent to its end."""
        self.taken = 0
        """Bytes received that the server was not told of yet."""
        self.ready: bytes | None = None
        """The headers of one that waits for its turn."""

    @property
    def is_heard(self) -> bool:
        """Say whether the server may act on it."""
        return self.id > 0 and (self.whole or not self.ending)
