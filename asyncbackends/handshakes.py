"""Opens a TCP connection, with TLS or without, and tells a server that has none from one that stops."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

from asyncbackends.errors import TlsFailedError

__all__ = ("connected",)

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

HANDSHAKES: Final = 3
PAUSE: Final = 0.1
"""Seconds before a handshake that the server ended is tried again."""


async def connected(
    factory: Callable[[], ProtocolT],
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    *,
    is_first: bool,
) -> tuple[Any, ProtocolT]:
    """Connect, and give the transport and its protocol.

    A server without TLS ends a handshake without a word. So does, once, one that is just stopping,
    and, for as long as it has no server, a balancer.

    :param is_first: nothing of this service was reached before. Where it was, it has TLS.
    :raises TlsFailedError: the first server ended one handshake after the other.
    """
    loop = asyncio.get_running_loop()
    failed = 0
    while True:
        try:
            transport, protocol = await loop.create_connection(factory, host, port, ssl=context)
        except ConnectionRefusedError:
            raise
        except ConnectionError as error:
            failed += 1
            if context is None or not is_first:
                raise
            if failed == HANDSHAKES:
                message = f"{host}:{port} ends every TLS handshake: does it speak TLS?"
                raise TlsFailedError(message) from error
        else:
            return transport, protocol
        await asyncio.sleep(PAUSE)
