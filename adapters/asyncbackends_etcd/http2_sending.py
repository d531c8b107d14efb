"""What a connection of HTTP/2 sends: no more than the windows have room for, and much as one."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from asyncbackends_etcd import http2_frames as frames
from asyncbackends_etcd.http2_frames import Http2Error, frame
from asyncbackends_etcd.http2_headers import without_table
from asyncbackends_etcd.http2_stream import Http2Stream

__all__ = ("DEFAULT_WINDOW", "Http2Sender")

DEFAULT_WINDOW: Final = 65_535
DEFAULT_TABLE: Final = 4096
PONGS_LATE: Final = 0.02
"""Seconds for which the answer to a ping waits for something to leave with."""
MOST_PONGS: Final = 10


class Http2Sender:
    """The sending side of one connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._blocked: dict[int, Http2Stream] = {}
        """Those with something unsent that no window has room for."""
        self._out: list[bytes] = []
        self._whole: list[Http2Stream] = []
        """Those whose last bytes are in what is written next."""
        self._pongs: list[bytes] = []
        self._pongs_timer: asyncio.TimerHandle | None = None
        self._window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._most_frame = frames.MOST_FRAME
        self._shrinks_table = False

    def connect(self, transport: asyncio.Transport) -> None:
        """Take what it writes to."""
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send a frame; what many tasks do in one turn of the loop leaves as one."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)

    def flush(self) -> None:
        """Send what is to be sent now, not with what else comes in this turn of the loop."""
        data = b"".join((*self._out, *self._pongs))
        self._out.clear()
        self._pongs.clear()
        transport, whole = self._transport, self._whole
        if whole:
            self._whole = []
        if not data or transport is None:
            return
        goes_at_once = transport.is_closing() or not transport.get_write_buffer_size()
        if not transport.is_closing():
            transport.write(data)
        if goes_at_once and transport.is_closing():
            # The socket refused it, or was over before: not a byte of it has left.
            for stream in whole:
                stream.whole = False

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._pongs_timer is not None:
            self._pongs_timer.cancel()

    def answer_ping(self, payload: bytes) -> None:
        """Answer a ping.

        A gRPC server pings after each request to learn the delay of the line; an answer on its own
        costs as much as a request.
        """
        self._pongs.append(frame(frames.PING, frames.ACK, 0, payload))
        if len(self._pongs) > MOST_PONGS:
            self.flush()
        elif self._pongs_timer is None:
            self._pongs_timer = self._loop.call_later(PONGS_LATE, self._send_pongs)

    def _send_pongs(self) -> None:
        self._pongs_timer = None
        if self._pongs:
            self.flush()

    # Streams.

    def begin(self, stream: Http2Stream, block: bytes) -> None:
        """Send a request's headers, and of what follows what there is room for."""
        stream.window = self._stream_window
        if self._shrinks_table:
            self._shrinks_table = False
            block = without_table(block)
        self.write(frames.header_frames(stream.id, block, self._most_frame))
        self.push(stream)

    def push(self, stream: Http2Stream) -> None:
        """Send of a stream what the windows have room for."""
        unsent = stream.unsent
        while unsent:
            size = min(len(unsent), self._window, stream.window, self._most_frame)
            if size <= 0:
                self._blocked[stream.id] = stream
                return
            flags = 0
            if stream.ending and size == len(unsent):
                flags, stream.whole = frames.END_STREAM, True
                self._whole.append(stream)
            self.write(frame(frames.DATA, flags, stream.id, bytes(unsent[:size])))
            del unsent[:size]
            self._window -= size
            stream.window -= size
        self._blocked.pop(stream.id, None)

    def forget(self, stream: Http2Stream) -> None:
        """Send nothing more of a stream."""
        self._blocked.pop(stream.id, None)

    def _push_blocked(self) -> None:
        for stream in list(self._blocked.values()):
            if self._window <= 0:
                return
            self.push(stream)

    def widen(self, stream: Http2Stream | None, grown: int) -> None:
        """Have more room in a stream's window, or for all.

        :raises Http2Error: more than there can be.
        """
        if stream is None:
            self._window += grown
        else:
            stream.window += grown
        if max(self._window, 0 if stream is None else stream.window) > frames.MOST_WINDOW:
            raise Http2Error("a window is larger than it can be")
        if self._blocked:
            self._push_blocked()

    def adapt(self, settings: Mapping[int, int], streams: Iterable[Http2Stream]) -> None:
        """Keep to what the server says of itself."""
        self._most_frame = settings.get(frames.MAX_FRAME_SIZE, self._most_frame)
        if settings.get(frames.HEADER_TABLE_SIZE, DEFAULT_TABLE) < DEFAULT_TABLE:
            self._shrinks_table = True
        window = settings.get(frames.INITIAL_WINDOW_SIZE, self._stream_window)
        for stream in streams:
            stream.window += window - self._stream_window
        self._stream_window = window
        self._push_blocked()
