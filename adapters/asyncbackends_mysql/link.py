"""What every driver is used as, and what a login needs."""

import asyncio
import struct
from collections.abc import Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Final, Protocol

import msgspec

from asyncbackends.endpoints import Endpoint
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    TlsFailedError,
)
from asyncbackends.sql.server import Row
from asyncbackends_mysql.driver_errors import ServerError

__all__ = (
    "COM_ROLLBACK",
    "FOUND_ROWS",
    "INTEGERS",
    "OFFERS_PLUGINS",
    "OFFERS_TLS",
    "Link",
    "LinkFactory",
    "Login",
    "LoginErrors",
    "check_greeting",
    "check_plugin",
    "server_error",
)

FOUND_ROWS: Final = 1 << 1
"""An update counts the rows that it found, also where it changes nothing in them."""
OFFERS_TLS: Final = 1 << 11
OFFERS_PLUGINS: Final = 1 << 19
PASSWORD_SHOWN: Final = frozenset({"mysql_clear_password", "mysql_old_password", "dialog"})
"""Plugins that show the password, or as good as that, to whoever asks for it."""
INTEGERS: Final = (0, 1, 2, 3, 8, 9, 13, 246)
"""The types of columns that are read as int."""
COM_ROLLBACK: Final = b"\x09\x00\x00\x00\x03ROLLBACK"
GARBAGE: Final = (IndexError, ValueError, struct.error)
"""What another protocol looks like to a driver."""


class Login(msgspec.Struct, frozen=True):
    """Where to log in, and as whom."""

    where: Endpoint
    username: str | None
    password: str
    database: str
    tls: SSLContext | None

    @property
    def driver_password(self) -> str:
        """The password as drivers take it: they send one byte for each character."""
        return self.password.encode().decode("latin-1")


class Link(Protocol):
    """One connection of a driver; one call at a time."""

    thread_id: int
    transport: asyncio.BaseTransport

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it, as far as this side knows."""
        ...

    async def query(self, text: str) -> list[Sequence[Row]]:
        """Run statements in one packet, and give the rows of those that have some.

        :raises ServerError: the first error; what stands behind it is not run.
        """
        ...

    def send_rollback(self) -> None:
        """Send ROLLBACK; the next query reads the answer to it first."""
        ...

    async def part(self) -> None:
        """Say good-bye."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class LinkFactory(Protocol):
    """Logs in; cancelled, it leaves nothing behind."""

    async def __call__(self, login: Login) -> Link: ...


class LoginRefused(Exception):  # noqa: N818  # carries the error through the driver
    """This side refuses to log in; a driver takes an OSError, as ours are, for its own."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(str(error))
        self.error = error


class LoginErrors:
    """Around a login: gives what its errors are to a caller."""

    def __init__(self, driver: type[Exception]) -> None:
        self._driver = driver

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, LoginRefused):
            raise exc.error from exc
        if isinstance(exc, self._driver):
            # Drivers have one code for all that an OSError says.
            if isinstance(exc.__cause__, OSError):
                raise exc.__cause__ from None
            raise server_error(exc) from exc
        if isinstance(exc, GARBAGE):
            message = "what answers there is no MariaDB or MySQL server"
            raise ConnectionFailedError(message) from exc
        if isinstance(exc, RuntimeError):
            # The server wants a way to log in that needs a package which is not installed.
            raise ConfigurationError(str(exc)) from exc


def check_greeting(capabilities: int, login: Login) -> None:
    """Refuse a server before a name or a password is sent.

    :raises LoginRefused: TLS is asked for and not offered, or the server is too old to say how it
        wants the password.
    """
    if login.tls is not None and not capabilities & OFFERS_TLS:
        raise LoginRefused(TlsFailedError("tls = on, and the server offers no TLS"))
    if not capabilities & OFFERS_PLUGINS:
        raise LoginRefused(ConnectionFailedError("the server is too old"))


def check_plugin(name: str | bytes | None) -> None:
    """Refuse a way to log in that shows the password.

    :raises LoginRefused: it is one.
    """
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if text is None or text in PASSWORD_SHOWN:
        message = f"the server asks for the password in clear text ({text})"
        raise LoginRefused(AuthenticationFailedError(message))


def server_error(error: Exception) -> ServerError:
    """Give the code and the words of a driver's error; an error of the protocol is a lost link."""
    code = error.args[0] if error.args else None
    if isinstance(code, int) and code:
        return ServerError(code, str(error.args[-1]))
    return ServerError(2014, str(error.args[-1]) if error.args else type(error).__name__)
