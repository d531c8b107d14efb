"""One connection to a ZooKeeper server: frames, and who waits for which reply."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Any, Final

from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    InvalidRequestError,
)
from asyncbackends_zookeeper.codes import ENDS, WRITES, Op, ours
from asyncbackends_zookeeper.jute import HEADER, text
from asyncbackends_zookeeper.multi import MOST_BYTES

__all__ = ("Answered", "Connection", "Reply", "ReplyAt")

Reply = tuple[int, bytes]
"""The code, and the whole frame."""
ReplyAt = tuple[int, bytes, int]
"""The same, and its place among all frames: an event before it was of a change before it."""
Answered = Callable[[int, bytes, int], None]
LENGTH: Final = Struct(">i")
REQUEST: Final = Struct(">iii")
"""Length, xid, operation."""
MOST_REPLY: Final = 128 * 1024 * 1024
"""Bytes of a frame from the server: the names of some million children."""
LAST_XID: Final = 2**31 - 1
EVENT_XID: Final = -1
PING_XID: Final = -2
AUTH_XID: Final = -4
TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
ESTABLISHED: Final = b"\1"
PING: Final = REQUEST.pack(8, PING_XID, Op.PING)


class Connection(asyncio.Protocol):
    """Frames to and from the server; it is dialed once, and never used again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport: Any = None
        self._socket: Any = None
        self.error: BackendError | None = None
        """Why it is over."""
        self.zxid = 0
        """The latest change that the server told of."""
        self.position = 0
        """How many frames came."""
        self.on_lost: Callable[[BackendError], None] | None = None
        self.on_event: Callable[[bytes, int], None] | None = None
        self._greeting: asyncio.Future[bytes] | None = None
        self._reads: dict[int, asyncio.Future[Reply]] = {}
        self._writes: dict[int, asyncio.Future[Reply]] = {}
        self._answered: dict[int, Answered] = {}
        self._pings: deque[asyncio.Future[Reply]] = deque()
        self._logins: deque[asyncio.Future[Reply]] = deque()
        self._xid = 0
        self._written = 0
        """Requests up to this xid may have left."""
        self._rest = bytearray()
        self._missing = 0
        """So many bytes are needed before there is another frame."""
        self._unsent: list[bytes] = []
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()

    # Requests.

    async def greet(self, request: bytes) -> bytes:
        """Send the first request; give the first reply."""
        self.check()
        # Not before: nobody would retrieve what it fails with.
        greeting: asyncio.Future[bytes] = self._loop.create_future()
        self._greeting = greeting
        self.transport.write(LENGTH.pack(len(request)) + request)
        return await greeting

    async def log_in(self, body: bytes) -> int:
        """Say who this is; give the code of the reply."""
        self.check()
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._logins.append(future)
        self.transport.write(REQUEST.pack(8 + len(body), AUTH_XID, Op.AUTH) + body)
        return (await future)[0]

    async def ping(self) -> int:
        """Renew the session; the code is that of the reply to this very ping or to a later one."""
        self.check()
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._pings.append(future)
        self._send(PING)
        return (await future)[0]

    async def ask(self, op: Op, body: bytes, *, synced: str | None = None) -> Reply:
        """Send a request, and give the reply.

        :param synced: the server first catches up with the leader, for this znode.
        :raises ConnectionLostError: there is none; a write may have been applied.
        """
        self.check()
        if not self._room.is_set():
            await self._room.wait()
            self.check()
        future: asyncio.Future[Reply] = self._loop.create_future()
        frame = self._frame(op, body, synced)
        if op in WRITES:
            self._see_the_end()
            self._writes[self._xid] = future
        else:
            self._reads[self._xid] = future
        self._send(frame)
        return await future

    def begin(self, *requests: tuple[Op, bytes]) -> list[asyncio.Future[Reply]]:
        """Send requests as one; the server answers them in their order.

        :raises ConnectionLostError: it is over, and nothing was sent.
        """
        self.check()
        self._see_the_end()
        frames: list[bytes] = []
        futures: list[asyncio.Future[Reply]] = []
        for op, body in requests:
            future: asyncio.Future[Reply] = self._loop.create_future()
            frames.append(self._frame(op, body, None))
            (self._writes if op in WRITES else self._reads)[self._xid] = future
            # Whoever asked may be gone before an answer comes, or none does.
            future.add_done_callback(_retrieve)
            futures.append(future)
        self._send(b"".join(frames), len(frames))
        return futures

    def tell(self, op: Op, body: bytes, answered: Answered, *, synced: str | None = None) -> None:
        """Send a request; who waits is called among the frames, in their order, unless it is lost.

        :raises ConnectionLostError: it is over.
        """
        self.check()
        frame = self._frame(op, body, synced)
        self._answered[self._xid] = answered
        self._send(frame)

    async def ask_at(self, op: Op, body: bytes, *, synced: str | None = None) -> ReplyAt:
        """As :meth:`ask`, for reads, with the reply's place."""
        if not self._room.is_set():
            await self._room.wait()
        self.check()
        future: asyncio.Future[Reply] = self._loop.create_future()
        frame = self._frame(op, body, synced)
        self._reads[self._xid] = future
        places: list[int] = []
        self._answered[self._xid] = partial(_note, places)
        self._send(frame)
        code, reply = await future
        return code, reply, places[0]

    def check(self) -> None:
        """Raise ConnectionLostError if it is over."""
        if self.error is not None:
            raise ConnectionLostError(str(self.error)) from self.error

    def _see_the_end(self) -> None:
        """Find out that the server has ended it before the loop does: then nothing is sent."""
        if TCP_INFO is None or self._socket is None:
            return
        if self._socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1) != ESTABLISHED:
            self.lose(ConnectionLostError("the link to the server was lost: it ended it"))
            self.check()

    def _frame(self, op: Op, body: bytes, synced: str | None) -> bytes:
        """Make a frame with the next xid."""
        size = 8 + len(body)
        if size > MOST_BYTES:
            message = (
                f"the request has {size} bytes with its paths, and servers take no more than "
                f"{MOST_BYTES} (jute.maxbuffer)"
            )
            raise InvalidRequestError(message)
        before = b""
        if synced is not None:
            path = text(synced)
            before = REQUEST.pack(8 + len(path), self._next_xid(), Op.SYNC) + path
        return b"".join((before, REQUEST.pack(size, self._next_xid(), op), body))

    def _next_xid(self) -> int:
        if self._xid == LAST_XID:
            # Nobody waits any more for what was asked two thousand million requests ago.
            self._xid = self._written = 0
        self._xid += 1
        return self._xid

    def _send(self, frame: bytes, count: int = 1) -> None:
        """Write at once where nothing is on its way, else with what else is sent in this turn."""
        if self._unsent:
            self._unsent.append(frame)
        elif len(self._reads) + len(self._writes) > count:
            self._unsent.append(frame)
            self._loop.call_soon(self._flush)
        else:
            self.transport.write(frame)
            if not self.transport.is_closing():
                self._written = self._xid

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.error is None:
            self._written = self._xid
            self.transport.write(b"".join(unsent))

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._socket = transport.get_extra_info("socket")

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            self._rest += data
            if len(self._rest) < self._missing:
                return
            data = bytes(self._rest)
            self._rest.clear()
        offset, size = 0, len(data)
        self._missing = LENGTH.size
        while size - offset >= LENGTH.size and self.error is None:
            (length,) = LENGTH.unpack_from(data, offset)
            if not 0 <= length <= MOST_REPLY:
                self.lose(ConnectionLostError("the server sent what is no reply of ZooKeeper's"))
                return
            end = offset + LENGTH.size + length
            if end > size:
                self._missing = end - offset
                break
            self._take(data[offset + LENGTH.size : end])
            offset = end
        if offset < size:
            self._rest += data[offset:]

    def _take(self, frame: bytes) -> None:
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            if not greeting.done():
                greeting.set_result(frame)
            return
        if len(frame) < HEADER.size:
            self.lose(ConnectionLostError("the server sent what is no reply of ZooKeeper's"))
            return
        xid, zxid, code = HEADER.unpack_from(frame)
        self.zxid = max(zxid, self.zxid)
        self.position += 1
        if xid > 0:
            answered = self._answered.pop(xid, None)
            if answered is not None:
                answered(code, frame, self.position)
            future = self._reads.pop(xid, None) or self._writes.pop(xid, None)
        elif xid == EVENT_XID:
            if self.on_event is not None:
                self.on_event(frame, self.position)
            return
        else:
            waiting = self._pings if xid == PING_XID else self._logins
            future = waiting.popleft() if waiting else None
        if future is not None and not future.done():
            future.set_result((code, frame))
        if code in ENDS:
            self.lose(ours(code, "the session's connection is over"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        why = "it ended the connection" if exc is None else str(exc) or type(exc).__name__
        error = ConnectionLostError(f"the link to the server was lost: {why}")
        error.__cause__ = exc
        self.lose(error)

    def lose(self, error: BackendError) -> None:
        """End it: whoever waits hears it."""
        if self.error is not None:
            return
        self.error = error
        if self.transport is not None:
            self.transport.abort()
        self._room.set()
        if self._greeting is not None:
            _fail(self._greeting, error)
        for future in (*self._reads.values(), *self._pings, *self._logins):
            _fail(future, error)
        for xid, future in self._writes.items():
            _fail(future, error, maybe_applied=xid <= self._written)
        for waiting in (self._reads, self._writes, self._pings, self._logins, self._answered):
            waiting.clear()
        if self.on_lost is not None:
            self.on_lost(error)

    async def close(self) -> None:
        """End it without telling anybody."""
        self.on_lost = None
        self.on_event = None
        self.lose(ConnectionLostError("the link was closed"))
        # The transport goes in the next turn.
        await asyncio.sleep(0)


def _retrieve(future: asyncio.Future[Reply]) -> None:
    if not future.cancelled():
        future.exception()


def _note(places: list[int], code: int, frame: bytes, position: int) -> None:
    places.append(position)


def _fail(future: asyncio.Future[Any], error: BackendError, *, maybe_applied: bool = False) -> None:
    if not future.done():
        lost = ConnectionLostError(str(error), maybe_applied=maybe_applied)
        lost.__cause__ = error.__cause__
        future.set_exception(lost)
