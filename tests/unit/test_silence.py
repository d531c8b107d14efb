"""A host that is gone is given up by the operating system."""

import asyncio
import socket

from asyncbackends.silence import give_up_when_silent


async def test_socket_is_told_when_to_give_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _, writer = await asyncio.open_connection(*listener.getsockname())
        give_up_when_silent(writer.transport, 8)
        held = writer.get_extra_info("socket")
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 2
        assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
        writer.close()
        await writer.wait_closed()
