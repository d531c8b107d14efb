"""Connections to a NATS server: one endpoint, one try, and never a second life.

nats-py says hello, proves who we are and sends pings. Its reconnecting stays off: what is lost is
lost, and whoever dials again gets another client, without anything of the first one.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.client import RawCredentials

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.silence import give_up_when_silent
from asyncbackends_nats.client import OneLife
from asyncbackends_nats.driver_errors import is_denial, is_login, refused_dial
from asyncbackends_nats.line import Line
from asyncbackends_nats.options import ConnectionOptions
from asyncbackends_nats.requests import Requests

__all__ = ("DEFAULT_PORT", "OLDEST", "Connection", "check_login", "dial")

API_INFO: Final = "$JS.API.INFO"
"""Every account with JetStream may ask for that."""
DEFAULT_PORT: Final = 4222
JWT: Final = "BEGIN NATS USER JWT"
OLDEST: Final = (2, 11)
CHECKING: Final = 1.0
"""Seconds for the answer whether the account has JetStream."""
SEED: Final = "BEGIN USER NKEY SEED"
PING: Final = 0.9
"""Of link_timeout: the second ping without an answer is within twice of it."""


nkeys: Any = import_module("nkeys")  # it has no types
_logger = logging.getLogger("asyncbackends.broker")


class Connection:
    """A connection that stands."""

    def __init__(self, client: OneLife, line: Line, options: ConnectionOptions) -> None:
        self.client = client
        self.line = line
        self.info: dict[str, Any] = client.greeting
        self._number = 0
        self._closed = False
        self.requests = Requests(self, options.inbox_prefix, options.operation_timeout)

    @property
    def version(self) -> str:
        """The server's."""
        return str(self.info.get("version", "?"))

    @property
    def max_payload(self) -> int:
        """Bytes of headers and body that the server takes."""
        return int(self.info.get("max_payload", 1024 * 1024))

    def next_subscription(self) -> bytes:
        """Give the number of a subscription that is not there yet."""
        self._number += 1
        return str(self._number).encode()

    async def flushed(self, seconds: float) -> None:
        """Wait until the server has handled all that was written, but not for long.

        Any answer comes after what was on its way. A ping of nats-py that is given up or cancelled
        ends its reader when the pong comes after all.
        """
        with suppress(BackendError):
            await self.requests.ask(API_INFO, seconds=seconds)

    def refused(self, text: str) -> None:
        """Hear an -ERR: it concerns one subject, or is the end."""
        if self.requests.refused(text):
            return
        # Without its inbox nothing can be asked.
        if not is_denial(text) or self.requests.inbox.lower() in text.lower():
            self.line.give_up(_refused(text))
        else:
            # Of an ack or a pull, say, to which there is no answer.
            _logger.error("the account lacks a permission: %s", text)

    async def close(self) -> None:
        """End it; a peer that takes nothing is left."""
        if self._closed:
            return
        self._closed = True
        self.line.forget()
        self.requests.close()
        await self.client.end()


def check_login(options: ConnectionOptions) -> None:
    """See that options say only once who we are.

    :raises ConfigurationError: they do not.
    """
    logins = {
        "username": options.username,
        "token": options.token,
        "nkey_seed_file": options.nkey_seed_file,
        "credentials_file": options.credentials_file,
    }
    given = [name for name, value in logins.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"give one of {' and '.join(given)}")


async def dial(
    endpoint: str,
    options: ConnectionOptions,
    context: ssl.SSLContext | None,
    name: str,
    lost: Callable[[BackendError], None],
) -> Connection:
    """Connect.

    :param lost: hears once that it is over, not before this has returned.
    :raises ConnectionFailedError: or one of its kinds that is final.
    """
    where = parsed_endpoint(endpoint, DEFAULT_PORT)
    login = await _login(options)
    line = Line(
        where.host, where.port, demands_tls=context is not None, tls_first=options.tls_first
    )
    client = OneLife(line)
    failures: list[Exception] = []

    async def failed(error: Exception) -> None:
        failures.append(error)

    opened = False
    try:
        await client.connect(
            servers=[f"nats://{_bracketed(where.host)}:{where.port}"],
            name=name,
            error_cb=failed,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            dont_randomize=True,
            connect_timeout=options.connect_timeout,  # type: ignore[arg-type]  # the same
            ping_interval=options.link_timeout * PING,  # type: ignore[arg-type]  # the same
            max_outstanding_pings=1,
            pending_size=0,
            tls=context,
            tls_hostname=options.tls_server_name or where.host if context is not None else None,
            tls_handshake_first=options.tls_first and context is not None,
            **login,
        )
        give_up_when_silent(line.transport, options.link_timeout)
        line.begin()
        connection = Connection(client, line, options)
        line.on_lost = connection.requests.lost
        line.on_refusal = connection.refused
        await _check(connection, endpoint)
        connection.requests.on_lost = lost
        opened = True
    except (OSError, nats.errors.Error, TimeoutError, ssl.SSLError) as error:
        first = next((one for one in failures if not _says_little(one)), error)
        refusal = refused_dial(line.lost or first, endpoint, tls=context is not None)
        if isinstance(first, (ssl.SSLError, nats.errors.Error, BackendError)):
            refusal = refused_dial(first, endpoint, tls=context is not None)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        if not opened:
            line.forget()
            line.abort()
            await client.end()
    if line.lost is not None:
        raise line.lost
    return connection


async def _check(connection: Connection, endpoint: str) -> None:
    """Ask for JetStream, of a server that is new enough."""
    numbers = tuple(int(word) for word in connection.version.split(".")[:2] if word.isdigit())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        message = f"{endpoint} is NATS {connection.version}, and {oldest} or newer is needed"
        raise ConnectionFailedError(message)
    try:
        reply = await connection.requests.ask(API_INFO, seconds=CHECKING)
    except OperationTimeoutError:
        if connection.info.get("jetstream"):
            # A cluster without a leader for now; streams may have theirs.
            return
        raise
    if reply.status == "503":
        message = f"{endpoint} has no JetStream: the server must run with it (jetstream {{}})"
        raise ConnectionFailedError(message)
    error = json.loads(reply.body or b"{}").get("error")
    if error is not None:
        message = f"{endpoint} has no JetStream for this account: {error.get('description')}"
        raise ConnectionFailedError(message)


def _refused(text: str) -> BackendError:
    # A login may end while it is used; the next dial says whether it is taken.
    kind = "the login has ended" if is_login(text) else "the server ended the connection"
    return ConnectionLostError(f"{kind}: {text}")


def _says_little(error: Exception) -> bool:
    return isinstance(error, nats.errors.NoServersError)


async def _login(options: ConnectionOptions) -> dict[str, Any]:
    login: dict[str, Any] = {}
    if options.username is not None:
        login["user"] = options.username
        login["password"] = "" if options.password is None else options.password.reveal()
    if options.token is not None:
        login["token"] = options.token.reveal()
    # nats-py would read the files while the loop waits.
    if options.credentials_file is not None:
        text = await _content("credentials_file", options.credentials_file)
        _, is_jwt, _ = text.partition(JWT)
        _check_seed(
            "credentials_file", text.partition(SEED)[2].partition("\n")[2].partition("\n")[0]
        )
        if not is_jwt:
            # nats-py would look for it for ever.
            raise ConfigurationError(f"credentials_file: there is no line {JWT}")
        login["user_credentials"] = RawCredentials(text)
    elif options.nkey_seed_file is not None:
        text = await _content("nkey_seed_file", options.nkey_seed_file)
        _check_seed("nkey_seed_file", text)
        login["nkeys_seed_str"] = text
    return login


def _check_seed(option: str, text: str) -> None:
    """Refuse what nats-py would only stumble over."""
    try:
        nkeys.from_seed(bytearray(text.strip().encode())).wipe()
    except (nkeys.NkeysError, ValueError) as error:
        raise ConfigurationError(f"{option}: what is in it is no seed of an nkey") from error


async def _content(option: str, path: str) -> str:
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(None, Path(path).read_text, "utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigurationError(f"{option}: {path} cannot be used: {reason}") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
