"""A busy ZooKeeper server lets a link take up a session that is ending already."""

import asyncio
import re
import struct
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from asyncbackends import open_coordination
from asyncbackends.protocols.coordination import SessionState
from tests.faults.zookeeper_sessions import close_session
from tests.servers.running import Servers
from tests.servers.server import HOST
from tests.servers.zookeeper import ZooKeeper
from tests.servers.zookeeper_link import frame_of

CHECKS = 5000
"""In one transaction, which takes the server some milliseconds."""
TRANSACTIONS = 60
GREETING = frame_of(struct.pack(">iqiqi", 0, 0, 30_000, 0, 16) + bytes(17))
CHECK = struct.pack(">i?ii", 13, False, -1, 1) + b"/" + struct.pack(">i", -1)
TRANSACTION = frame_of(
    struct.pack(">ii", 1, 14) + CHECK * CHECKS + struct.pack(">i?i", -1, True, -1)
)


PONG = re.compile(struct.pack(">ii", 16, -2) + b"(.{8})" + bytes(4), re.DOTALL)
EXPIRED = struct.pack(">ii", 16, -2) + rb"\1" + struct.pack(">i", -112)


@asynccontextmanager
async def expiring(server: ZooKeeper) -> AsyncGenerator[str]:
    """Give where the first ping is answered by the end of the session, and then nothing is."""
    is_over = False

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal is_over
        with suppress(OSError):
            while data := await reader.read(65536):
                told, count = PONG.subn(EXPIRED, data)
                is_over |= bool(count)
                writer.write(told)
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_over:
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection(HOST, server.port)
        await asyncio.gather(pump(reader, to_server), pump(from_server, writer))

    listening = await asyncio.start_server(serve, HOST, 0)
    async with listening:
        yield f"{HOST}:{listening.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def busy(server: ZooKeeper) -> AsyncGenerator[None]:
    """Have a server that has requests waiting for it; at the end all are answered."""

    async def answer() -> None:
        (length,) = struct.unpack(">i", await reader.readexactly(4))
        await reader.readexactly(length)

    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        writer.write(GREETING)
        await answer()
        for _ in range(TRANSACTIONS):
            writer.write(TRANSACTION)
        await answer()
        yield
        for _ in range(TRANSACTIONS - 1):
            await answer()
    finally:
        writer.close()
        await writer.wait_closed()


async def end_session(server: ZooKeeper, session_id: str) -> None:
    """Give the order to end a session; its client takes it back meanwhile."""
    while True:
        with suppress(ConnectionError):
            await asyncio.to_thread(close_session, HOST, server.port, int(session_id, 16))
            return


async def test_session_that_ends_while_a_link_takes_it_up_is_replaced(servers: Servers) -> None:
    server = servers.get("zookeeper")
    assert isinstance(server, ZooKeeper)
    settings = server.settings(namespace=f"t{uuid4().hex[:12]}", session_ttl=2, reconnect_max=0.1)
    async with open_coordination(**settings) as client:
        for _ in range(3):
            old = client.session
            async with busy(server):
                # The order to end it waits among the others, and so the next link may still have
                # it. That is then told once that it is over, and nothing more for ever.
                await end_session(server, old.id)
            began = ordered = time.monotonic()
            while client.session is old or client.session.state is not SessionState.CONNECTED:
                now = time.monotonic()
                assert now < began + 20, f"no new session, the old one is {old.state.name}"
                if old.state is SessionState.CONNECTED and now > ordered + 3:
                    # Its client took it back first: who has it no more ends nothing.
                    await end_session(server, old.id)
                    ordered = now
                await asyncio.sleep(0.02)
            await client.create_node("/mine", ephemeral=True)
            await client.delete_node("/mine")


async def test_renewal_that_is_answered_by_an_error_is_none(servers: Servers) -> None:
    """Its holder would hold for another ttl, while the next one holds, too."""
    server = servers.get("zookeeper")
    assert isinstance(server, ZooKeeper)
    async with expiring(server) as endpoint:
        settings = server.settings(endpoints=endpoint, namespace="renewing", session_ttl=3)
        async with open_coordination(**settings) as client:
            session = client.session
            deadline = session.deadline()
            async with asyncio.timeout(2):
                await session.lost.wait()
            assert session.deadline() == deadline
