"""Whoever answers on a broker's port without being one is told from it."""

import asyncio
import socket
from uuid import uuid4

import pamqp.frame
import pytest
from pamqp import commands

from asyncbackends import open_message_broker
from asyncbackends.errors import ConnectionFailedError
from tests.servers.server import HOST


@pytest.fixture(autouse=True, params=["rabbitmq"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_broker_what_a_peer_says_that_is_no_broker() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(answer, HOST, 0, family=socket.AF_INET)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionFailedError):
        async with open_message_broker(
            engine="rabbitmq",
            endpoints=f"{HOST}:{port}",
            namespace=f"t{uuid4().hex[:12]}",
            connect_timeout=5,
        ):
            pass
    listener.close()
    await listener.wait_closed()


async def test_broker_that_hangs_up_right_after_the_login_is_no_link() -> None:
    """Its end comes before anybody listens, and must not be missed."""
    greeting = [
        commands.Connection.Start(mechanisms="PLAIN", locales="en_US", server_properties={}),
        commands.Connection.Tune(2047, 131_072, 10),
        commands.Connection.OpenOk(),
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        for frame in greeting:
            writer.write(pamqp.frame.marshal(frame, 0))
            if not isinstance(frame, commands.Connection.OpenOk):
                await reader.read(65_536)
        writer.close()

    listener = await asyncio.start_server(answer, HOST, 0, family=socket.AF_INET)
    port = listener.sockets[0].getsockname()[1]
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionFailedError):
        async with open_message_broker(
            engine="rabbitmq", endpoints=f"{HOST}:{port}", username="a", connect_timeout=5
        ):
            pass
    assert asyncio.get_running_loop().time() - began < 1
    listener.close()
    await listener.wait_closed()
