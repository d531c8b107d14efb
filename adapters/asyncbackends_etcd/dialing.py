"""Opens connections to servers."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import ConnectionFailedError, TlsFailedError
from asyncbackends.silence import give_up_when_silent
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.http2_connection import Http2Connection
from asyncbackends_etcd.http2_stream import StreamBrokenError
from asyncbackends_etcd.options import EtcdCoordinationOptions

__all__ = ("DEFAULT_PORT", "connected")

DEFAULT_PORT: Final = 2379
HTTP2: Final = "h2"


async def connected(
    endpoint: str,
    options: EtcdCoordinationOptions,
    context: ssl.SSLContext | None,
    on_lost: Callable[[str, Exception | None], None],
) -> Calls:
    """Open a connection, and wait until the server has shown that it speaks HTTP/2.

    :raises ConnectionFailedError: it cannot be used.
    :raises TlsFailedError: TLS cannot be had; nothing secret was sent.
    """
    host, port, _ = parsed_endpoint(endpoint, DEFAULT_PORT)
    connection = Http2Connection(on_lost)
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_connection(
            lambda: connection,
            host,
            port,
            ssl=context,
            server_hostname=None if context is None else host,
        )
        give_up_when_silent(transport, options.link_timeout)
        if context is not None:
            _check_protocol(transport.get_extra_info("ssl_object"))
        await asyncio.shield(connection.greeted)
    except BaseException as error:
        await connection.close()
        ours = _dial_error(error, secure=context is not None)
        if ours is None:
            raise
        raise ours from error
    return Calls(
        connection,
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        secure=context is not None,
        username=options.username,
        password=options.password,
    )


def _check_protocol(layer: ssl.SSLObject | None) -> None:
    if layer is None or layer.selected_alpn_protocol() != HTTP2:
        message = "the server speaks TLS, and no HTTP/2 over it: that is no etcd"
        raise ConnectionFailedError(message)


def _dial_error(error: BaseException, *, secure: bool) -> ConnectionFailedError | None:
    if isinstance(error, ConnectionFailedError):
        return None
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", None) or error.reason or str(error)
        return TlsFailedError(f"TLS failed: {reason}")
    if isinstance(error, StreamBrokenError) or (
        isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
    ):
        hint = "one that has no TLS" if secure else "one that demands TLS (then set tls = on)"
        reason = f": {error}" if str(error) else ""
        message = f"the server ended the connection at once, as {hint} does{reason}"
        return ConnectionFailedError(message)
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return ConnectionFailedError(f"it cannot be reached: {error.strerror or error}")
    return None
