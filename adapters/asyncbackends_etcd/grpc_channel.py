"""Calls of gRPC over one HTTP/2 connection; messages are bytes."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import unquote

from asyncbackends_etcd.http2_connection import Http2Connection
from asyncbackends_etcd.http2_headers import Headers
from asyncbackends_etcd.http2_stream import Http2Stream, StreamBrokenError

__all__ = ("CallEnd", "GrpcChannel", "GrpcStream", "MessageReader", "RpcError", "Status")

CallEnd: TypeAlias = "RpcError | StreamBrokenError | None"

PREFIX: Final = 5
MOST_MESSAGE: Final = 256 * 1024 * 1024
"""An answer is not larger, whatever its length says."""


class Status:
    """The status codes of gRPC that something is made of."""

    OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = range(5)
    NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED = range(5, 9)
    FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED = range(9, 13)
    INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = range(13, 17)


class RpcError(Exception):
    """The server's answer is an error."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(f"{details} (gRPC status {code})")
        self.code = code
        self.details = details


class MessageReader:
    """Cuts a body into messages."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Give the messages that are whole now.

        :raises RpcError: one is compressed, or too large.
        """
        if not self._parts and data[:1] == b"\x00":
            # By far the most are one frame.
            length = int.from_bytes(data[1:PREFIX])
            if len(data) == PREFIX + length:
                return [data[PREFIX:]]
        parts = self._parts
        parts += data
        messages: list[bytes] = []
        while len(parts) >= PREFIX:
            if parts[0]:
                raise RpcError(Status.UNIMPLEMENTED, "the server compresses its answers")
            end = PREFIX + int.from_bytes(parts[1:PREFIX])
            if end > MOST_MESSAGE:
                raise RpcError(Status.RESOURCE_EXHAUSTED, f"an answer has {end} bytes")
            if len(parts) < end:
                break
            messages.append(bytes(parts[PREFIX:end]))
            del parts[:end]
        return messages


class GrpcStream:
    """One call: what it hears goes to two callbacks, of which ``ended`` is called once, at last."""

    __slots__ = ("_begun", "_ended", "_heard", "_over", "_reader")

    def __init__(self, heard: Callable[[bytes], None], ended: Callable[[CallEnd], None]) -> None:
        self._heard = heard
        self._ended = ended
        self._reader = MessageReader()
        self._begun = False
        self._over = False

    def take_headers(self, headers: Headers, ended: bool) -> None:
        """See :class:`asyncbackends_etcd.http2_stream.StreamUser`."""
        if not self._begun:
            self._begun = True
            status = headers.get(b":status", b"")
            if status != b"200":
                words = f"HTTP status {status.decode('ascii', 'replace')}"
                self._end(RpcError(Status.UNAVAILABLE, words))
                return
        if ended:
            self._end(_error_of(headers))

    def take_data(self, data: bytes, ended: bool) -> None:
        """See :class:`asyncbackends_etcd.http2_stream.StreamUser`."""
        if self._over:
            return
        try:
            for message in self._reader.feed(data):
                self._heard(message)
        except RpcError as error:
            self._end(error)
        else:
            if ended:
                self._end(RpcError(Status.INTERNAL, "an answer has no status"))

    def break_off(self, error: StreamBrokenError) -> None:
        """See :class:`asyncbackends_etcd.http2_stream.StreamUser`."""
        self._end(error)

    def _end(self, end: CallEnd) -> None:
        if not self._over:
            self._over = True
            self._ended(end)


PATIENCE: Final = 1.0
"""Seconds for the answer to a call whose caller was cancelled."""


class GrpcChannel:
    """Makes calls over a connection."""

    def __init__(self, connection: Http2Connection) -> None:
        self.connection = connection
        self._waiting = 0
        """So many wait for the answer to a call."""
        self._strays: dict[asyncio.Future[bytes], asyncio.Future[None]] = {}
        """Calls that go on though nobody waits for their answers."""

    async def settled(self) -> None:
        """Wait until calls that go on without a caller are answered: what is read then has them."""
        if self._strays:
            strays = dict(self._strays)
            await asyncio.wait(strays.values(), timeout=PATIENCE)
            for answer in strays:
                self._strays.pop(answer, None)

    async def unary(self, block: bytes, *messages: bytes, goes_on: bool = False) -> list[bytes]:
        """Ask for one message by each and give those that are the answers; all are sent at once.

        :param block: the headers.
        :param goes_on: whoever is cancelled lets the server do what it was asked, and does not
            wait; else the server hears that nobody wants it.
        :raises RpcError: an answer is an error.
        :raises StreamBrokenError: there is none.
        """
        answers: list[asyncio.Future[bytes]] = []
        streams: list[Http2Stream] = []
        try:
            for message in messages:
                answer, stream = self._ask(block, message)
                answers.append(answer)
                streams.append(stream)
            if not self._waiting:
                self.connection.flush()
            self._waiting += 1
            try:
                return [await answer for answer in answers]
            finally:
                self._waiting -= 1
        finally:
            if goes_on:
                loop = asyncio.get_running_loop()
                for answer, stream in zip(answers, streams, strict=True):
                    if answer.cancelled() and self.connection.goes_on(stream):
                        self._strays[answer] = loop.create_future()
            else:
                for stream in streams:
                    # Of one that has ended there is nothing to cancel.
                    self.connection.cancel(stream)
            if len(answers) > 1:
                _drop(answers)

    def _ask(self, block: bytes, message: bytes) -> tuple[asyncio.Future[bytes], Http2Stream]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        heard: list[bytes] = []

        def ended(error: CallEnd) -> None:
            if answer.done():
                stray = self._strays.pop(answer, None)
                if stray is not None and not stray.done():
                    stray.set_result(None)
                return
            if error is not None:
                answer.set_exception(error)
            elif len(heard) != 1:
                answer.set_exception(RpcError(Status.INTERNAL, f"{len(heard)} answers came"))
            else:
                answer.set_result(heard[0])

        return answer, self._open(block, message, heard.append, ended, ends=True)

    def stream(
        self,
        block: bytes,
        message: bytes,
        heard: Callable[[bytes], None],
        ended: Callable[[CallEnd], None],
    ) -> Http2Stream:
        """Begin a call that goes on, with its first message.

        :raises StreamBrokenError: no new call can be made.
        """
        return self._open(block, message, heard, ended, ends=False)

    def send(self, stream: Http2Stream, message: bytes) -> None:
        """Send another message of a call that goes on."""
        self.connection.send(stream, framed(message))

    def _open(
        self,
        block: bytes,
        message: bytes,
        heard: Callable[[bytes], None],
        ended: Callable[[CallEnd], None],
        *,
        ends: bool,
    ) -> Http2Stream:
        return self.connection.open(GrpcStream(heard, ended), block, framed(message), ends=ends)


def framed(message: bytes) -> bytes:
    """Put before a message what gRPC says of it."""
    return len(message).to_bytes(PREFIX) + message


def _drop(answers: list[asyncio.Future[bytes]]) -> None:
    """Let nobody be told that an error was never looked at: the first one was."""
    for answer in answers:
        if not answer.cancel() and not answer.cancelled():
            answer.exception()


def _error_of(trailers: Headers) -> RpcError | None:
    status = trailers.get(b"grpc-status", b"")
    if status == b"0":
        return None
    code = int(status) if status.isdigit() else Status.UNKNOWN
    details = unquote(trailers.get(b"grpc-message", b"").decode("ascii", "replace"))
    return RpcError(code, details or "the server gave no reason")
