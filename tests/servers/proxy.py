"""A TCP proxy between a client and a server that is slow, deaf or broken when it is told to."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Generator
from types import TracebackType
from typing import Self

__all__ = ("Proxy", "Trips")

HOST = "127.0.0.1"
CHUNK = 65536
# So that a reader which is far ahead of a slow or frozen link waits, as on a real one.
AHEAD = 256


class Trips:
    """Round trips since it was made, up to now or to the end of its block."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._began = proxy.round_trips
        self._ended: int | None = None

    @property
    def count(self) -> int:
        """How many there were."""
        ended = self._proxy.round_trips if self._ended is None else self._ended
        return ended - self._began

    def end(self) -> None:
        """Count no more."""
        self._ended = self._proxy.round_trips


class Proxy:
    """``async with Proxy(server.endpoint) as proxy``: clients connect to ``proxy.endpoint``."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        self._upstream = (host, int(port))
        self.delay = 0.0
        """Seconds that bytes take in each direction."""
        self.refuse = False
        """A new connection is closed at once."""
        self.round_trips = 0
        """How often clients sent something first, or after the server had."""
        self.accepted = 0
        """How many connections there ever were."""
        self._links: set[_Link] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._mistakes: list[Exception] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self._drops_replies = False
        self._dropped = asyncio.Event()

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._links)

    def drop_replies(self) -> None:
        """Swallow from now on what the server answers."""
        self._dropped.clear()
        self._drops_replies = True

    def pass_replies(self) -> None:
        """Swallow nothing more."""
        self._drops_replies = False

    async def reply_dropped(self) -> None:
        """Wait until an answer was swallowed: the server has done what was asked."""
        await self._dropped.wait()

    def freeze(self) -> None:
        """Let nothing flow; connections stay open, new ones too."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let everything flow, also what has waited."""
        self._flows.set()

    def cut(self, *, reset: bool = True) -> None:
        """Close all connections now, by RST or without, and forget what was on its way."""
        while self._links:
            self._links.pop().cut(reset=reset)

    @contextlib.contextmanager
    def counting(self) -> Generator[Trips]:
        """Count the round trips of a block."""
        trips = Trips(self)
        try:
            yield trips
        finally:
            trips.end()

    async def __aenter__(self) -> Self:
        # A host's name would be looked up in threads, which uvloop keeps.
        listening = socket.create_server((HOST, 0))
        self._server = await asyncio.start_server(self._accept, sock=listening)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        while self._ending:
            await asyncio.wait(self._ending)
        await self._server.wait_closed()
        if self._mistakes:
            # A mistake of the proxy itself must not pass for the fault it was told to make.
            raise ExceptionGroup("the proxy failed", self._mistakes)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refuse:
            _close(writer, reset=True)
            return
        link = _Link(writer)
        self._links.add(link)
        link.task = asyncio.create_task(self._serve(link, reader))
        self._ending.add(link.task)
        link.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and isinstance(mistake := task.exception(), Exception):
            self._mistakes.append(mistake)

    async def _serve(self, link: "_Link", reader: asyncio.StreamReader) -> None:
        try:
            server_reader, link.server = await asyncio.open_connection(*self._upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(link, reader, link.server, to_server=True))
                group.create_task(self._carry(link, server_reader, link.client, to_server=False))
        except* OSError:
            # Either side has gone, or the server is not there: the other side learns of it.
            link.close(reset=True)
        finally:
            self._links.discard(link)
            link.close(reset=False)
            await link.closed()

    async def _carry(
        self,
        link: "_Link",
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        to_server: bool,
    ) -> None:
        """Carry one direction; what is read waits its time while more is read."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(link, waiting, sink, to_server=to_server))
            data = b"?"
            while data:
                data = await source.read(CHUNK)
                if data and to_server and link.server_spoke:
                    link.server_spoke = False
                    self.round_trips += 1
                await waiting.put((asyncio.get_running_loop().time() + self.delay, data))

    async def _deliver(
        self,
        link: "_Link",
        waiting: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        *,
        to_server: bool,
    ) -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._flows.wait()
            if not data:
                sink.write_eof()
                return
            if to_server or not self._drops_replies:
                link.server_spoke |= not to_server
                sink.write(data)
                await sink.drain()
            else:
                self._dropped.set()


class _Link:
    """One connection of a client, and the one that stands for it at the server."""

    task: asyncio.Task[None]

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.server_spoke = True

    def cut(self, *, reset: bool) -> None:
        self.close(reset=reset)
        # It may wait for a frozen proxy.
        self.task.cancel()

    def close(self, *, reset: bool) -> None:
        for side in self._sides():
            _close(side, reset=reset)

    async def closed(self) -> None:
        for side in self._sides():
            with contextlib.suppress(OSError):
                await side.wait_closed()

    def _sides(self) -> list[asyncio.StreamWriter]:
        return [self.client] if self.server is None else [self.client, self.server]


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if writer.transport.is_closing():
        return
    if reset:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
