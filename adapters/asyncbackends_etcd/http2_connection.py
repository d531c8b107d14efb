"""A client's connection of HTTP/2, as far as gRPC needs it: many requests at once, and no more.

Written for asyncio as it is: what the channel of grpcio does with threads of its own is here a
protocol's callbacks. So the end of a connection is known at once, a call that is cancelled leaves
nothing, and TLS is the one that every engine has.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from asyncbackends_etcd import http2_frames as frames
from asyncbackends_etcd.http2_frames import FrameReader, Http2Error, frame
from asyncbackends_etcd.http2_headers import HeaderReader, without_table
from asyncbackends_etcd.http2_stream import (
    STREAM_WINDOW,
    Http2Stream,
    StreamBrokenError,
    StreamUser,
)

__all__ = ("Http2Connection",)

WINDOW: Final = 16 * 1024 * 1024
"""Bytes that a server may send of all answers before they are taken."""
DEFAULT_WINDOW: Final = 65_535
MOST_STREAMS: Final = 1000
"""So many requests are on their way at most; more wait."""
MOST_BLOCK: Final = 65_536
LAST_STREAM: Final = 2**31 - 1
PONGS_LATE: Final = 0.02
"""Seconds for which the answer to a ping waits for something to leave with."""
MOST_PONGS: Final = 10
FAREWELL: Final = 0.3
"""Seconds for what is written to leave when a connection is closed."""


class Http2Connection(asyncio.Protocol):
    """One connection; ``on_lost`` is called once, when no new request can be made."""

    def __init__(self, on_lost: Callable[[str, Exception | None], None]) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._headers = HeaderReader()
        self._streams: dict[int, Http2Stream] = {}
        self._waiting: deque[Http2Stream] = deque()
        """Those beyond the number that the server takes at once."""
        self._blocked: dict[int, Http2Stream] = {}
        """Those with something unsent that no window has room for."""
        self._next = 1
        self._out: list[bytes] = []
        self._whole: list[Http2Stream] = []
        """Those whose last bytes are in what is written next."""
        self._pongs: list[bytes] = []
        self._pongs_timer: asyncio.TimerHandle | None = None
        self._window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._most_frame = frames.MOST_FRAME
        self._most_streams = MOST_STREAMS
        self._shrinks_table = False
        self._taken = 0
        self._block: tuple[int, int, bytearray] | None = None
        """Stream, flags and what came so far of headers that go on in the next frame."""
        self.lost: str | None = None
        """Why no new request can be made."""
        self.greeted: asyncio.Future[None] = loop.create_future()
        """Whether the server has shown that it speaks HTTP/2."""
        self._gone: asyncio.Future[None] = loop.create_future()

    # What the calls do.

    def open(self, user: StreamUser, block: bytes, data: bytes, *, ends: bool) -> Http2Stream:
        """Begin a request.

        :raises StreamBrokenError: no new request can be made.
        """
        if self.lost is not None:
            raise StreamBrokenError(self.lost, heard=False)
        stream = Http2Stream(user)
        stream.ready = block
        stream.unsent += data
        stream.ending = ends
        if len(self._streams) < self._most_streams and not self._waiting:
            self._begin(stream)
        else:
            self._waiting.append(stream)
        return stream

    def send(self, stream: Http2Stream, data: bytes) -> None:
        """Send more of a request that goes on."""
        stream.unsent += data
        if stream.id in self._streams:
            self._push(stream)

    def flush(self) -> None:
        """Send what is to be sent now, not with what else comes in this turn of the loop."""
        self._flush()

    def cancel(self, stream: Http2Stream) -> None:
        """Have no interest in a request any more."""
        stream.ready = None
        if self._streams.pop(stream.id, None) is not None:
            self._write(frame(frames.RST_STREAM, 0, stream.id, frames.CANCEL.to_bytes(4)))
            self._blocked.pop(stream.id, None)
            self._begin_waiting()

    def give_up(self, reason: str, error: Exception | None = None) -> None:
        """End the connection at once."""
        self._lose(reason, error)
        if self._transport is not None:
            self._transport.abort()
        self._break_all(reason)

    async def close(self) -> None:
        """End the connection; what is written still leaves, if it does so soon."""
        self._on_lost = _nothing
        self._lose("it was closed", None)
        if self._transport is None:
            return
        self._flush()
        self._transport.close()
        try:
            await asyncio.wait({self._gone}, timeout=FAREWELL)
        finally:
            self._transport.abort()
            self._break_all("the connection was closed")

    def _begin(self, stream: Http2Stream) -> None:
        block, stream.ready = stream.ready, None
        if block is None:
            return
        if self._next > LAST_STREAM:
            self.give_up("a connection has been used for all requests that it can carry")
            return
        stream.id, stream.window = self._next, self._stream_window
        self._next += 2
        self._streams[stream.id] = stream
        if self._shrinks_table:
            self._shrinks_table = False
            block = without_table(block)
        self._write(frames.header_frames(stream.id, block, self._most_frame))
        self._push(stream)

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._streams) < self._most_streams:
            self._begin(self._waiting.popleft())

    def _push(self, stream: Http2Stream) -> None:
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
            self._write(frame(frames.DATA, flags, stream.id, bytes(unsent[:size])))
            del unsent[:size]
            self._window -= size
            stream.window -= size
        self._blocked.pop(stream.id, None)

    def _push_blocked(self) -> None:
        for stream in list(self._blocked.values()):
            if self._window <= 0:
                return
            self._push(stream)

    def _write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        # What many tasks do in one turn of the loop leaves as one.
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

    def _answer_ping(self, payload: bytes) -> None:
        # A gRPC server pings after each request to learn the delay of the line; an answer on its
        # own costs as much as a request.
        self._pongs.append(frame(frames.PING, frames.ACK, 0, payload))
        if len(self._pongs) > MOST_PONGS:
            self._flush()
        elif self._pongs_timer is None:
            self._pongs_timer = self._loop.call_later(PONGS_LATE, self._send_pongs)

    def _send_pongs(self) -> None:
        self._pongs_timer = None
        if self._pongs:
            self._flush()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        settings = {
            2: 0,  # it pushes nothing
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        }
        self._write(frames.PREFACE + frames.settings_frame(settings))
        self._write(frames.window_frame(0, WINDOW - DEFAULT_WINDOW))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, flags, stream, payload in self._reader.feed(data):
                self._take(kind, flags, stream, payload)
        except Http2Error as error:
            self.give_up(f"the server does not speak HTTP/2 as it should: {error}")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        words = f": {exc}" if exc is not None else " by the server"
        reason = f"the connection was ended{words}"
        self._flush()
        self._lose(reason, exc)
        self._break_all(reason)
        if not self._gone.done():
            self._gone.set_result(None)

    def _lose(self, reason: str, error: Exception | None) -> None:
        if self.lost is not None:
            return
        self.lost = reason
        if self._pongs_timer is not None:
            self._pongs_timer.cancel()
        if not self.greeted.done():
            self.greeted.set_exception(error or StreamBrokenError(reason, heard=False))
            # Nobody may be waiting for it.
            self.greeted.exception()
        self._on_lost(reason, error)

    def _break_all(self, reason: str, above: int | None = None) -> None:
        """Break off all requests, or those after one, which the server surely did not handle."""
        for stream in [each for each in self._streams.values() if each.id > (above or 0)]:
            self._streams.pop(stream.id, None)
            self._blocked.pop(stream.id, None)
            heard = stream.is_heard and above is None
            stream.user.break_off(StreamBrokenError(reason, heard=heard))
        while self._waiting:
            stream = self._waiting.popleft()
            if stream.ready is not None:
                stream.user.break_off(StreamBrokenError(reason, heard=False))

    # Frames.

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise Http2Error("headers go on, and something else came")
        if kind == frames.DATA:
            self._take_data(flags, number, payload)
        elif kind == frames.HEADERS:
            part = frames.unpadded(flags, payload, with_priority=True)
            self._take_block(flags, number, flags, part)
        elif kind == frames.CONTINUATION:
            self._continue_block(flags, number, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._widen(number, payload)
        elif kind == frames.PING:
            if not flags & frames.ACK:
                self._answer_ping(payload)
        elif kind == frames.RST_STREAM:
            self._take_reset(number, payload)
        elif kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self._take_settings(payload)
        elif kind == frames.GOAWAY:
            self._take_goaway(payload)
        elif kind == frames.PUSH_PROMISE:
            raise Http2Error("it pushes what nobody asked for")

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        self._taken += len(payload)
        if self._taken * 2 >= WINDOW:
            self._write(frames.window_frame(0, self._taken))
            self._taken = 0
        stream = self._streams.get(number)
        if stream is None:
            return
        ended = bool(flags & frames.END_STREAM)
        stream.taken += len(payload)
        if ended:
            self._end(stream)
        elif stream.taken * 2 >= STREAM_WINDOW:
            self._write(frames.window_frame(number, stream.taken))
            stream.taken = 0
        stream.user.take_data(frames.unpadded(flags & ~0x20, payload), ended)

    def _take_block(self, flags: int, number: int, first: int, part: bytes) -> None:
        if not flags & frames.END_HEADERS:
            self._block = (number, first, bytearray(part))
            return
        headers = self._headers.read(part)
        stream = self._streams.get(number)
        if stream is None:
            return
        ended = bool(first & frames.END_STREAM)
        if ended:
            self._end(stream)
        stream.user.take_headers(headers, ended)

    def _continue_block(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise Http2Error("headers go on that nobody began")
        _, first, block = self._block
        block += payload
        if len(block) > MOST_BLOCK:
            raise Http2Error(f"headers have more than {MOST_BLOCK} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(flags, number, first, bytes(block))

    def _end(self, stream: Http2Stream) -> None:
        del self._streams[stream.id]
        self._blocked.pop(stream.id, None)
        if not stream.whole:
            # The answer is there before the request is: nobody wants the rest.
            self._write(frame(frames.RST_STREAM, 0, stream.id, bytes(4)))
        if self._waiting:
            self._begin_waiting()

    def _widen(self, number: int, payload: bytes) -> None:
        grown = int.from_bytes(payload) & frames.MOST_WINDOW
        if len(payload) != 4:
            raise Http2Error("a window grows by no number")
        if number == 0:
            self._window += grown
            if self._window > frames.MOST_WINDOW:
                raise Http2Error("a window is larger than it can be")
        elif number in self._streams:
            self._streams[number].window += grown
        if self._blocked:
            self._push_blocked()

    def _take_reset(self, number: int, payload: bytes) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self._blocked.pop(number, None)
        code = int.from_bytes(payload)
        heard = stream.is_heard and code != frames.REFUSED_STREAM
        stream.user.break_off(StreamBrokenError(f"the server reset it ({code})", heard=heard))
        self._begin_waiting()

    def _take_settings(self, payload: bytes) -> None:
        settings = frames.settings_of(payload)
        self._write(frame(frames.SETTINGS, frames.ACK, 0))
        self._most_frame = settings.get(frames.MAX_FRAME_SIZE, self._most_frame)
        most = settings.get(frames.MAX_CONCURRENT_STREAMS, self._most_streams)
        self._most_streams = min(most, MOST_STREAMS)
        if settings.get(frames.HEADER_TABLE_SIZE, 4096) < 4096:
            self._shrinks_table = True
        if frames.INITIAL_WINDOW_SIZE in settings:
            window = settings[frames.INITIAL_WINDOW_SIZE]
            for stream in self._streams.values():
                stream.window += window - self._stream_window
            self._stream_window = window
            self._push_blocked()
        if not self.greeted.done():
            self.greeted.set_result(None)
        self._begin_waiting()

    def _take_goaway(self, payload: bytes) -> None:
        last, code = int.from_bytes(payload[:4]) & frames.MOST_WINDOW, int.from_bytes(payload[4:8])
        reason = f"the server takes no more requests ({code})"
        self._lose(reason, None)
        self._break_all(reason, above=last)


def _nothing(_: str, __: Exception | None) -> None:
    pass
