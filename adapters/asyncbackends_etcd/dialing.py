"""Opens connections to servers."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from asyncbackends import handshakes
from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import ConnectionFailedError, TlsFailedError
from asyncbackends.silence import give_up_when_silent
from asyncbackends_etcd.account import Account
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.http2_connection import Http2Connection
from asyncbackends_etcd.http2_stream import StreamBrokenError
from asyncbackends_etcd.options import EtcdCoordinationOptions

__all__ = ("DEFAULT_PORT", "HTTP2", "connected")

DEFAULT_PORT: Final = 2379
HTTP2: Final = "h2"


async def connected(
    endpoint: str,
    options: EtcdCoordinationOptions,
    context: ssl.SSLContext | None,
    account: Account,
    on_lost: Callable[[str, Exception | None], None],
    *,
    is_first: bool,
) -> Calls:
    """Open a connection, and wait until the server has shown that it speaks HTTP/2.

    :param is_first: no server was of use before.
    :raises ConnectionFailedError: it cannot be used.
    :raises TlsFailedError: TLS cannot be had; nothing secret was sent.
    """
    host, port, _ = parsed_endpoint(endpoint, DEFAULT_PORT)
    connection = Http2Connection(on_lost)
    try:
        await _greeted(connection, host, port, options, context, is_first=is_first)
    except BaseException as error:
        await connection.close()
        ours = _dial_error(error)
        if ours is None:
            raise
        raise ours from error
    return Calls(
        connection,
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        account,
        secure=context is not None,
    )


async def _greeted(
    connection: Http2Connection,
    host: str,
    port: int,
    options: EtcdCoordinationOptions,
    context: ssl.SSLContext | None,
    *,
    is_first: bool,
) -> None:
    transport, _ = await handshakes.connected(
        lambda: connection, host, port, context, is_first=is_first
    )
    give_up_when_silent(transport, options.link_timeout)
    if context is not None:
        _check_protocol(transport.get_extra_info("ssl_object"))
    await asyncio.shield(connection.greeted)


def _check_protocol(layer: ssl.SSLObject | None) -> None:
    if layer is None or layer.selected_alpn_protocol() != HTTP2:
        message = "the server speaks TLS, and no HTTP/2 over it: that is no etcd"
        raise ConnectionFailedError(message)


def _dial_error(error: BaseException) -> ConnectionFailedError | None:
    if isinstance(error, ConnectionFailedError):
        return None
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", None) or error.reason or str(error)
        return TlsFailedError(f"TLS failed: {reason}")
    if isinstance(error, StreamBrokenError) or (
        isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
    ):
        reason = f": {error}" if str(error) else ""
        message = (
            f"the server ended the connection at once, as one with TLS does (tls = on){reason}"
        )
        return ConnectionFailedError(message)
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return ConnectionFailedError(f"it cannot be reached: {error.strerror or error}")
    return None
