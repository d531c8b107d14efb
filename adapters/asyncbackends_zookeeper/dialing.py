"""The way to an open connection: TCP or TLS, the handshake that attaches a session, the login."""

import asyncio
import ssl
from typing import Final, NamedTuple

from aiozk.protocol.auth import AuthRequest
from aiozk.protocol.connect import ConnectRequest, ConnectResponse

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import AuthenticationFailedError, ConnectionFailedError
from asyncbackends.handshakes import connected
from asyncbackends.silence import give_up_when_silent
from asyncbackends_zookeeper.codes import Code, Op, dial_failure
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.jute import node_at, read_body
from asyncbackends_zookeeper.options import ZooKeeperOptions

__all__ = ("PORT", "Greeting", "dial", "is_alone", "log_in", "said_version")

PORT: Final = 2181
CONFIGURATION: Final = "/zookeeper/config"
NO_PASSWORD: Final = b"\0" * 16
MOST_SAID: Final = 65_536
SAYING: Final = 1.0
"""Seconds for the answer to a word of four letters."""


class Greeting(NamedTuple):
    """What the server answered to the handshake."""

    session: int
    """0: it does not know the session that was asked for."""
    password: bytes
    ttl: float


async def dial(
    endpoint: str,
    options: ZooKeeperOptions,
    context: ssl.SSLContext | None,
    session: int,
    password: bytes,
    *,
    is_first: bool,
) -> tuple[Connection, Greeting]:
    """Connect, and attach a session; 0 begins a new one.

    :param is_first: no server was of use before.
    :raises ConnectionFailedError: or one of its kinds that is final.
    """
    host, port, _ = parsed_endpoint(endpoint, PORT)
    connection: Connection | None = None
    try:
        _, connection = await connected(Connection, host, port, context, is_first=is_first)
        give_up_when_silent(connection.transport, options.link_timeout)
        request = ConnectRequest(
            protocol_version=0,
            # A follower that is behind catches up before each read; and a service that was
            # restored to what it was long ago says that the session is over.
            last_seen_zxid=0,
            timeout=round(options.session_ttl * 1000),
            session_id=session,
            password=password or NO_PASSWORD,
            read_only=False,
        )
        answer = ConnectResponse.deserialize(await connection.greet(request.serialize()))
        greeting = Greeting(answer.session_id, answer.password, answer.timeout / 1000)
    except BaseException as error:
        if connection is not None:
            await connection.close()
        failure = dial_failure(error, endpoint) if isinstance(error, Exception) else None
        if failure is None:
            raise
        raise failure from error
    if greeting.session == 0 and session == 0:
        await connection.close()
        raise ConnectionFailedError(f"{endpoint} gave no session")
    return connection, greeting


async def log_in(connection: Connection, options: ZooKeeperOptions) -> None:
    """Say who this is; servers forget it with the connection.

    :raises AuthenticationFailedError: the server does not take it.
    """
    if options.username is None:
        return
    password = "" if options.password is None else options.password.reveal()
    credentials = f"{options.username}:{password}".encode()
    request = AuthRequest(type=0, scheme="digest", auth=credentials)
    # The operation stands in the header already.
    code = await connection.log_in(request.serialize()[4:])
    if code != Code.OK:
        raise AuthenticationFailedError("the server refused the login by digest")


async def is_alone(connection: Connection) -> bool:
    """Say whether it is surely the only server: what it answers is the present state then."""
    code, frame = await connection.ask(Op.GET_DATA, read_body(CONFIGURATION))
    return code == Code.OK and not node_at(CONFIGURATION, frame)[0].value


async def said(endpoint: str, context: ssl.SSLContext | None) -> str:
    """Ask a server with a word of four letters; "" where it does not answer."""
    host, port, _ = parsed_endpoint(endpoint, PORT)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(SAYING):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(b"srvr")
            return (await reader.read(MOST_SAID)).decode("utf-8", "replace")
    except (OSError, TimeoutError):
        return ""
    finally:
        if writer is not None:
            writer.transport.abort()


async def said_version(endpoint: str, context: ssl.SSLContext | None) -> str | None:
    """Give a server's version, None where it does not say it."""
    _, found, rest = (await said(endpoint, context)).partition("Zookeeper version: ")
    return rest.split("-")[0].split(",")[0].strip() if found else None
