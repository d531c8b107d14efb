"""The way to an open connection: the driver logs in, and hands its transport over.

From the driver come the negotiation and the login. Its reader and writer end as soon as the
connection is open, in silence: they would pass each frame through tasks and queues, end in
cancellations that nobody sent, and log what the core decides about.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple

import aiormq
import pamqp.frame
from aiormq.connection import TransportFactory
from pamqp import commands
from yarl import URL

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import BackendError, ConnectionFailedError
from asyncbackends.silence import give_up_when_silent
from asyncbackends_rabbitmq.driver_errors import dial_failure, login_refusal
from asyncbackends_rabbitmq.frames import END, FRAME, METHOD, OVERHEAD
from asyncbackends_rabbitmq.line import Line, LineEvents
from asyncbackends_rabbitmq.options import RabbitMqBrokerOptions
from asyncbackends_rabbitmq.pulse import Pulse

__all__ = ("PORT", "Opened", "dial")

PORT: Final = 5672
TLS_PORT: Final = 5671
TLS_RECORDS: Final = (0x15, 0x16)
MOST_HEARTBEAT: Final = 65_534
_CLOSE_OK: Final = pamqp.frame.marshal(commands.Connection.CloseOk(), 0)


class Opened(NamedTuple):
    """An open connection."""

    line: Line
    server: dict[str, Any]
    """What the broker says of itself."""


class _Login:
    """What passes between the driver and the broker until the connection is open."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.tune: commands.Connection.Tune | None = None
        self.close: commands.Connection.Close | None = None
        self.speaks_tls = False
        self.rest = b""
        """What came after the last frame of the login."""
        self.is_over = False
        self.is_given_up = False

    def give_up(self) -> None:
        """Let the driver see the end of it, whatever still comes."""
        self.is_given_up = True
        self.reader.feed_eof()

    def take(self, data: bytes | None) -> None:
        """Pass on what the broker sent; None is the end of it."""
        if self.is_given_up:
            return
        if data is None:
            self.give_up()
            return
        if self.is_over:
            self.rest += data
            return
        data = self.rest + data
        if data[0] in TLS_RECORDS:
            self.speaks_tls = True
            self.give_up()
            return
        if data.startswith(b"AMQP"):
            # It wants another protocol, which the driver says best.
            self.reader.feed_data(data)
            return
        while not self.is_over and len(data) >= OVERHEAD:
            end = OVERHEAD + FRAME.unpack_from(data)[2]
            if len(data) < end:
                break
            frame, data = data[:end], data[end:]
            self._pass(frame)
        self.rest = data

    def _pass(self, frame: bytes) -> None:
        self.reader.feed_data(frame)
        if frame[0] != METHOD or not frame.endswith(END):
            return
        found: Any = pamqp.frame.unmarshal(frame)[2]
        if isinstance(found, commands.Connection.Tune):
            self.tune = found
        elif isinstance(found, commands.Connection.Close):
            self.close = found
        elif isinstance(found, commands.Connection.OpenOk):
            # For the driver it ends here, in the way that it takes for a clean one.
            self.is_over = True
            self.reader.feed_data(_CLOSE_OK)


class _Pen:
    """The part of an asyncio.StreamWriter that the driver uses; it does not own the transport."""

    def __init__(self, line: Line, login: _Login) -> None:
        self.transport = line.transport
        self._login = login

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def is_closing(self) -> bool:
        return self._login.is_over or bool(self.transport.is_closing())

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._login.is_over:
            self.transport.abort()

    async def wait_closed(self) -> None:
        await asyncio.sleep(0)


class _Given(TransportFactory):
    def __init__(self, line: Line, login: _Login) -> None:
        self._line = line
        self._login = login

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, Any]:
        return self._login.reader, _Pen(self._line, self._login)


async def dial(
    endpoint: str,
    options: RabbitMqBrokerOptions,
    context: ssl.SSLContext | None,
    name: str,
    events: LineEvents,
) -> Opened:
    """Open a connection.

    :param name: what the broker's operators see it as.
    :raises ConnectionFailedError: or one of its kinds that is never retried.
    """
    host, port, _ = parsed_endpoint(endpoint, PORT if context is None else TLS_PORT)
    loop = asyncio.get_running_loop()
    login = _Login()
    line = Line(login.take)
    try:
        await loop.create_connection(lambda: line, host, port, ssl=context)
        # In an alarm the broker does not read from whoever publishes.
        give_up_when_silent(line.transport, options.link_timeout, reads=False)
        server = await _log_in(line, login, options, host, name)
        line.check()
    except BaseException as error:
        failure = None
        if isinstance(error, Exception):
            failure = _failure(error, login, options, context, line)
        if line.transport is not None:
            await _abandon(line)
        if failure is None or failure is error:
            raise
        raise failure from error
    assert login.tune is not None  # noqa: S101  # an open connection was tuned before
    # A broker sends something twice in each interval of its heartbeat.
    pulse = Pulse(line, _heartbeat(options) / 2, 1.5 * max(1.0, options.link_timeout))
    line.begin(events, login.tune, pulse, login.rest)
    return Opened(line, server)


async def _abandon(line: Line) -> None:
    line.lose(ConnectionFailedError("the login failed"))
    await line.close()


def _heartbeat(options: RabbitMqBrokerOptions) -> int:
    """Give the seconds in half of which the broker is heard at least."""
    return min(MOST_HEARTBEAT, max(1, int(options.link_timeout)))


async def _log_in(
    line: Line, login: _Login, options: RabbitMqBrokerOptions, host: str, name: str
) -> dict[str, Any]:
    # Never as text, in which a password would have to be escaped, and could be shown.
    url = URL.build(
        scheme="amqp",
        user=options.username,
        password=None if options.password is None else options.password.reveal(),
        host=host,
        path="/",
        query={"heartbeat": str(_heartbeat(options))},
    )
    driver: Any = aiormq.Connection(
        url, transport_factory=_Given(line, login), client_properties={"connection_name": name}
    )
    driver.vhost = options.virtual_host
    connecting: Awaitable[Any] = driver.connect()
    task = asyncio.ensure_future(connecting)
    # Where this is cancelled, nobody else asks how the driver ended.
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    try:
        await asyncio.wait((task,))
    finally:
        if not task.done():
            login.give_up()
            await asyncio.wait((task,), timeout=0.2)
    if task.cancelled():
        message = "the driver gave up its login"
        raise ConnectionFailedError(message)
    task.result()
    await driver.close()
    return dict(driver.server_properties or {})


def _failure(
    error: Exception,
    login: _Login,
    options: RabbitMqBrokerOptions,
    context: ssl.SSLContext | None,
    line: Line,
) -> BackendError:
    if login.close is not None:
        code, text = login.close.reply_code or 0, login.close.reply_text or ""
        return login_refusal(code, text, options.virtual_host)
    if login.speaks_tls and context is None:
        return ConnectionFailedError("the broker speaks TLS there: set tls = on")
    if isinstance(line.cause, ssl.SSLError):
        # A certificate that the broker refuses may be told after the handshake.
        return dial_failure(line.cause)
    if line.error is not None:
        return ConnectionFailedError(f"no login: {line.error}")
    return error if isinstance(error, BackendError) else dial_failure(error)
