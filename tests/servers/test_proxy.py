"""The proxy is slow, deaf or broken as it is told to be, and leaves nothing behind."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator

import pytest

from tests.servers.proxy import Proxy
from tests.servers.running import Servers

WAIT = 5.0


class Line:
    """A connection of a client that speaks in lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *questions: str) -> str:
        self.writer.write("".join(f"{question}\n" for question in questions).encode())
        return await self.hear()

    async def hear(self) -> str:
        async with asyncio.timeout(WAIT):
            return (await self.reader.readline()).decode().rstrip()

    async def is_silent(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                return not await self.reader.read(1)
        return True


@contextlib.asynccontextmanager
async def echo() -> AsyncGenerator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async for line in reader:
                writer.write(line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, sock=socket.create_server(("127.0.0.1", 0)))
    async with server:
        yield "127.0.0.1:{1}".format(*server.sockets[0].getsockname())


@contextlib.asynccontextmanager
async def connect(endpoint: str) -> AsyncGenerator[Line]:
    host, _, port = endpoint.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_it_passes_everything_and_counts_round_trips() -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        with proxy.counting() as trips:
            assert await line.ask("one", "two") == "one"
            assert await line.hear() == "two"
            assert await line.ask("three") == "three"
            assert trips.count == 2
        assert await line.ask("x" * 50_000) == "x" * 50_000
        assert (trips.count, proxy.round_trips) == (2, 3)
        assert (proxy.connections, proxy.accepted) == (1, 1)
        line.writer.write_eof()
        assert await line.hear() == ""


async def test_delay_is_of_the_way_and_not_of_each_piece() -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        proxy.delay = 0.1
        began = asyncio.get_running_loop().time()
        for number in range(5):
            line.writer.write(f"{number}\n".encode())
            await asyncio.sleep(0.01)
        assert [await line.hear() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        assert 0.2 <= asyncio.get_running_loop().time() - began < 0.4
        assert proxy.round_trips == 1


async def test_replies_are_dropped_and_the_server_has_heard() -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        proxy.drop_replies()
        line.writer.write(b"lost\n")
        async with asyncio.timeout(WAIT):
            await proxy.reply_dropped()
        assert await line.is_silent()
        proxy.pass_replies()
        assert await line.ask("there") == "there"


async def test_a_frozen_one_keeps_everything_until_it_is_thawed() -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        proxy.freeze()
        line.writer.write(b"later\n")
        async with connect(proxy.endpoint) as another:
            another.writer.write(b"too\n")
            assert await line.is_silent()
            assert await another.is_silent()
            proxy.thaw()
            assert (await line.hear(), await another.hear()) == ("later", "too")


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_cut_closes_all_now_and_new_ones_work(frozen: bool) -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        assert await line.ask("there") == "there"
        if frozen:
            proxy.freeze()
            line.writer.write(b"lost\n")
            assert await line.is_silent()
        proxy.cut()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            await line.hear()
        proxy.thaw()
        async with connect(proxy.endpoint) as another:
            assert await another.ask("there") == "there"
            proxy.cut(reset=False)
            assert await another.hear() == ""


async def test_new_connections_are_refused() -> None:
    async with echo() as server, Proxy(server) as proxy, connect(proxy.endpoint) as line:
        assert await line.ask("there") == "there"
        proxy.refuse = True
        async with connect(proxy.endpoint) as another:
            with pytest.raises(ConnectionResetError):
                await another.hear()
        assert await line.ask("still there") == "still there"


async def test_a_server_that_is_not_there_is_a_reset() -> None:
    async with echo() as server:
        pass
    async with Proxy(server) as proxy, connect(proxy.endpoint) as line:
        with pytest.raises(ConnectionResetError):
            await line.hear()


async def test_it_ends_with_connections_open() -> None:
    async with echo() as server, contextlib.AsyncExitStack() as stack:
        async with Proxy(server) as proxy:
            proxy.delay = 10
            lines = [await stack.enter_async_context(connect(proxy.endpoint)) for _ in range(5)]
            for line in lines:
                line.writer.write(b"never\n")
            await asyncio.sleep(0.05)
        for line in lines:
            with pytest.raises(ConnectionResetError):
                await line.hear()


async def test_a_real_server_behind_it(servers: Servers) -> None:
    async with Proxy(servers.get("nats").endpoint) as proxy, connect(proxy.endpoint) as line:
        assert (await line.hear()).startswith("INFO {")
        with proxy.counting() as trips:
            assert await line.ask('CONNECT {"verbose":false}\r\nPING\r') == "PONG"
        assert trips.count == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await line.hear()
