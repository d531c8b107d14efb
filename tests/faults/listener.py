"""Carries bytes to a server and keeps what clients sent: is it TLS, and is a secret in it?"""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from tests.servers.server import Server

__all__ = ("ALERT", "APPLICATION_DATA", "HANDSHAKE", "Listener", "records")

ALERT = 64
"""What comes after a failed handshake is an alert, encrypted or not; a login is longer."""
HANDSHAKE, APPLICATION_DATA = 22, 23


class Listener:
    """Carries bytes to a server and keeps what the clients sent, by connection."""

    def __init__(self, server: Server) -> None:
        self.upstream = server
        self.sent: list[bytearray] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cuts = 0

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def everything(self) -> bytes:
        """All that clients have sent."""
        return b"".join(self.sent)

    def cut(self) -> None:
        """End all connections."""
        self._cuts += 1
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry_both(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = bytearray()
        self.sent.append(sent)
        host, _, port = self.upstream.endpoint.rpartition(":")
        cuts = self._cuts
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        both = {writer, server_writer}
        self._writers |= both
        if cuts != self._cuts:
            self.cut()
        with contextlib.suppress(OSError):
            await asyncio.gather(
                self._carry(reader, server_writer, sent), self._carry(server_reader, writer)
            )
        self._writers -= both
        for one in both:
            one.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sent: bytearray | None = None,
    ) -> None:
        while data := await reader.read(65536):
            if sent is not None:
                sent += data
            writer.write(data)
            await writer.drain()
        # Whoever closes ends both sides.
        writer.transport.abort()


def records(data: bytes) -> dict[int, int]:
    """Count the bytes of TLS records by their type; anything else fails."""
    found: dict[int, int] = {}
    while data:
        kind, length = data[0], int.from_bytes(data[3:5])
        assert 20 <= kind <= 23, "not TLS"
        assert data[1] == 3, "not TLS"
        found[kind] = found.get(kind, 0) + length
        data = data[5 + length :]
    return found
