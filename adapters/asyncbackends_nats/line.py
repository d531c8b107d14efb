"""One connection to a server: nats-py says hello over it, from then on frames go straight."""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import ParseResult

from nats.aio.transport import Transport

from asyncbackends.errors import BackendError, ConnectionLostError, TlsFailedError
from asyncbackends_nats.frames import FrameReader, LostStepError

__all__ = ("Line",)

HIGH: Final = 512 * 1024
"""Bytes in the way of the socket from which on no more is taken."""


class Line(asyncio.Protocol, Transport):
    """The socket, as asyncio and as nats-py see it.

    :param endpoint: host and port, and the path of a socket in their place.
    :param demands_tls: not a byte is sent to a server that does not demand it.
    """

    def __init__(self, host: str, port: int, *, demands_tls: bool, tls_first: bool) -> None:
        self.host = host
        self.port = port
        self.reader = FrameReader(self)
        self.lost: BackendError | None = None
        """Why it is over."""
        self.writable = False
        self.ending = False
        """It is ended from our side."""
        self.on_lost: Callable[[BackendError], None] = _nothing
        self.on_refusal: Callable[[str], None] = _nothing
        """Hears each -ERR."""
        self.on_writable: Callable[[], None] = _no_call
        self._demands_tls = demands_tls
        self._tls_first = tls_first
        self._transport: asyncio.Transport | None = None
        self._streaming = False
        self._greeted = False
        self._buffer = bytearray()
        """What nats-py is to read."""
        self._waiter: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH)
        self.writable = True

    def data_received(self, data: bytes) -> None:
        if not self._streaming:
            self._buffer += data
            self._wake()
            return
        try:
            self.reader.feed(data)
        except (LostStepError, ValueError, IndexError) as error:
            self._lose(ConnectionLostError(f"the server does not speak NATS: {error}"))
            self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        words = f": {exc}" if exc is not None else " by the server"
        error = ConnectionLostError(f"the connection was ended{words}")
        error.__cause__ = exc
        self._lose(error)
        if not self._gone.done():
            self._gone.set_result(None)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = self.lost is None
        if self.writable:
            self.on_writable()

    # What the links call.

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of asyncio, which there is once it is connected."""
        assert self._transport is not None  # noqa: S101  # nobody has it before
        return self._transport

    def begin(self) -> None:
        """Hand frames to their receivers from now on."""
        self._streaming = True
        rest = bytes(self._buffer)
        self._buffer.clear()
        if rest:
            self.data_received(rest)

    def send(self, data: bytes) -> None:
        """Write, unless it is over."""
        if self.lost is None and self._transport is not None:
            self._transport.write(data)

    def give_up(self, error: BackendError) -> None:
        """End it for a reason of our own."""
        self._lose(error)
        self.abort()

    def forget(self) -> None:
        """Tell nothing any more."""
        self.on_lost = self.on_refusal = _nothing
        self.on_writable = _no_call
        self.reader.stop()

    def abort(self) -> None:
        """End it now, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def _lose(self, error: BackendError) -> None:
        if self.lost is None:
            self.lost = error
            self.writable = False
            self._wake()
            self.on_lost(error)

    def control(self, line: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Frames`."""
        word = line[:4].upper()
        if word == b"PING":
            self.send(b"PONG\r\n")
        elif word == b"PONG":
            # nats-py counts them.
            self._buffer += line + b"\r\n"
            self._wake()
        elif word == b"-ERR":
            self.on_refusal(line[4:].decode("utf-8", "replace").strip().strip("'"))
        elif word not in {b"INFO", b"+OK"} and not line.startswith(b"+OK"):
            raise LostStepError(f"it sent {line[:20]!r}")

    # What nats-py calls: see its Transport.

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self.host, self.port)

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        if not self._demands_tls:
            raise TlsFailedError(f"{self.host}:{self.port} demands TLS: set tls = on")
        if self._buffer:
            raise TlsFailedError("the server went on in plain text where TLS was to begin")
        self._waiter = None
        transport = await asyncio.get_running_loop().start_tls(
            self.transport,
            self,
            ssl_context,
            server_hostname=self.host,
            ssl_handshake_timeout=connect_timeout,
        )
        if transport is None:
            raise ConnectionLostError("the connection was ended while TLS began")
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH)

    def write(self, payload: bytes) -> None:
        self.send(payload)

    def writelines(self, payload: list[bytes]) -> None:
        self.send(b"".join(payload))

    async def read(self, buffer_size: int) -> bytes:
        while not self._buffer and self.lost is None:
            await self._arrival()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def readline(self) -> bytes:
        while b"\n" not in self._buffer and self.lost is None:
            await self._arrival()
        end = self._buffer.find(b"\n") + 1
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        if not line and self.lost is not None:
            raise self.lost
        if not self._greeted:
            self._greeted = True
            self._check_greeting(line)
        return line

    def _check_greeting(self, line: bytes) -> None:
        """Refuse, before anything is sent, a server that would be spoken to in plain text."""
        if not self._demands_tls or self._tls_first:
            return
        try:
            demands = json.loads(line.partition(b" ")[2]).get("tls_required") is True
        except (ValueError, AttributeError):
            demands = False
        if not demands:
            message = f"tls = on, and {self.host}:{self.port} does not demand TLS"
            raise TlsFailedError(f"{message}; nothing was sent to it")

    async def drain(self) -> None:
        # nats-py writes little, and must not hang on a peer that reads nothing.
        if self.lost is not None:
            raise ConnectionResetError(str(self.lost))

    async def wait_closed(self) -> None:
        await asyncio.shield(self._gone)

    def close(self) -> None:
        if not self.ending:
            # nats-py ends it by itself when pings have no answer; what is to be written stays so.
            self.give_up(ConnectionLostError("the server did not answer pings"))
        elif self._transport is not None:
            self._transport.close()
        elif not self._gone.done():
            self._gone.set_result(None)

    def at_eof(self) -> bool:
        return self.lost is not None and not self._buffer

    def __bool__(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # it has no type
        return True

    async def _arrival(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nothing(_: Any) -> None:
    pass


def _no_call() -> None:
    pass
