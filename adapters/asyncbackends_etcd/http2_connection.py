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
from asyncbackends_etcd.http2_headers import HeaderReader
from asyncbackends_etcd.http2_sending import DEFAULT_WINDOW, Http2Sender
from asyncbackends_etcd.http2_stream import (
    STREAM_WINDOW,
    Http2Stream,
    StreamBrokenError,
    StreamUser,
)

__all__ = ("Http2Connection",)

WINDOW: Final = 16 * 1024 * 1024
"""Bytes that a server may send of all answers before they are taken."""
MOST_STREAMS: Final = 1000
"""So many requests are on their way at most; more wait."""
MOST_BLOCK: Final = 65_536
LAST_STREAM: Final = 2**31 - 1
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
        self._next = 1
        self._sender = Http2Sender()
        self._most_streams = MOST_STREAMS
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
            self._sender.push(stream)

    def goes_on(self, stream: Http2Stream) -> bool:
        """Say whether a request has not ended yet."""
        return stream.ready is not None or stream.id in self._streams

    def flush(self) -> None:
        """Send what is to be sent now, not with what else comes in this turn of the loop."""
        self._sender.flush()

    def cancel(self, stream: Http2Stream) -> None:
        """Have no interest in a request any more."""
        stream.ready = None
        if self._streams.pop(stream.id, None) is not None:
            self._write(frame(frames.RST_STREAM, 0, stream.id, frames.CANCEL.to_bytes(4)))
            self._sender.forget(stream)
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
        self._sender.flush()
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
            reason = "a connection has been used for all requests that it can carry"
            self.give_up(reason)
            stream.user.break_off(StreamBrokenError(reason, heard=False))
            return
        stream.id = self._next
        self._next += 2
        self._streams[stream.id] = stream
        self._sender.begin(stream, block)

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._streams) < self._most_streams:
            self._begin(self._waiting.popleft())

    def _write(self, data: bytes) -> None:
        self._sender.write(data)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        self._sender.connect(self._transport)
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
        self._sender.flush()
        self._lose(reason, exc)
        self._break_all(reason)
        if not self._gone.done():
            self._gone.set_result(None)

    def _lose(self, reason: str, error: Exception | None) -> None:
        if self.lost is not None:
            return
        self.lost = reason
        self._sender.stop()
        if not self.greeted.done():
            self.greeted.set_exception(error or StreamBrokenError(reason, heard=False))
            # Nobody may be waiting for it.
            self.greeted.exception()
        self._on_lost(reason, error)

    def _break_all(self, reason: str, above: int | None = None) -> None:
        """Break off all requests, or those after one, which the server surely did not handle."""
        for stream in [each for each in self._streams.values() if each.id > (above or 0)]:
            self._streams.pop(stream.id, None)
            self._sender.forget(stream)
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
                self._sender.answer_ping(payload)
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
        self._sender.forget(stream)
        if not stream.whole:
            # The answer is there before the request is: nobody wants the rest.
            self._write(frame(frames.RST_STREAM, 0, stream.id, bytes(4)))
        if self._waiting:
            self._begin_waiting()

    def _widen(self, number: int, payload: bytes) -> None:
        grown = int.from_bytes(payload) & frames.MOST_WINDOW
        if len(payload) != 4:
            raise Http2Error("a window grows by no number")
        if number == 0 or number in self._streams:
            self._sender.widen(self._streams.get(number), grown)

    def _take_reset(self, number: int, payload: bytes) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self._sender.forget(stream)
        code = int.from_bytes(payload)
        heard = stream.is_heard and code != frames.REFUSED_STREAM
        stream.user.break_off(StreamBrokenError(f"the server reset it ({code})", heard=heard))
        self._begin_waiting()

    def _take_settings(self, payload: bytes) -> None:
        settings = frames.settings_of(payload)
        self._write(frame(frames.SETTINGS, frames.ACK, 0))
        most = settings.get(frames.MAX_CONCURRENT_STREAMS, self._most_streams)
        self._most_streams = min(most, MOST_STREAMS)
        self._sender.adapt(settings, self._streams.values())
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
