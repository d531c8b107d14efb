"""The one door to asyncmy."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from asyncmy.connection import Connection
from asyncmy.errors import MySQLError

from asyncbackends.sql.server import Row
from asyncbackends_mysql.driver_errors import BROKEN, ServerError
from asyncbackends_mysql.link import (
    COM_ROLLBACK,
    FOUND_ROWS,
    INTEGERS,
    Login,
    LoginErrors,
    check_greeting,
    check_plugin,
    server_error,
)

__all__ = ("AsyncmyLink", "asyncmy_link")

# Our deadlines are outside; it takes no None.
NEVER: Final = 86400.0


class _Connection(Connection):
    """Shows the password to nobody, and keeps no socket of a peer that does not answer."""

    def __init__(self, login: Login) -> None:
        super().__init__(
            host=login.where.host or "localhost",
            port=login.where.port,
            unix_socket=login.where.socket,
            user=login.username,
            password=login.driver_password,
            database=login.database,
            charset="utf8mb4",
            autocommit=None,
            client_flag=FOUND_ROWS,
            conv=dict.fromkeys(INTEGERS, int),
            connect_timeout=NEVER,
            ssl=login.tls,
        )
        self._login = login

    async def log_in(self) -> asyncio.Transport:
        """Log in, and give what the bytes go through."""
        await self.connect()
        if self._transport is None:
            raise ServerError(BROKEN, "the server closed the connection")
        return self._transport

    async def ask(self, text: str) -> list[Sequence[Row]]:
        """Send statements, and give the rows of those that have some."""
        results: list[Sequence[Row]] = []
        await self.query(text)
        while True:
            result = self._result
            if result.rows is not None:
                results.append(result.rows)
            if not result.has_next:
                return results
            await self.next_result()

    async def read_unread(self) -> None:
        """Read the answer to what was sent without waiting for it."""
        self._next_seq_id = 1
        await self._read_query_result()

    @property
    def is_broken(self) -> bool:
        """Whether somebody has closed it."""
        return self._stream_broken

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        super().close()

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        check_greeting(self.server_capabilities, self._login)
        check_plugin(self._auth_plugin_name)

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        check_plugin(plugin_name)
        return await super()._process_auth(plugin_name, auth_packet)


class AsyncmyLink:
    """A connection of asyncmy."""

    def __init__(self, connection: _Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self.transport: asyncio.BaseTransport = transport
        self._transport = transport
        self._unread = False
        self.thread_id = connection.thread_id()

    @property
    def is_open(self) -> bool:
        return not self._connection.is_broken

    async def query(self, text: str) -> list[Sequence[Row]]:
        try:
            if self._unread:
                await self._connection.read_unread()
                self._unread = False
            return await self._connection.ask(text)
        except OSError as error:
            raise ServerError(BROKEN, str(error)) from error
        except MySQLError as error:
            raise server_error(error) from error

    def send_rollback(self) -> None:
        self._unread = True
        self._transport.write(COM_ROLLBACK)

    async def part(self) -> None:
        await self._connection.ensure_closed()

    def abort(self) -> None:
        self._transport.abort()
        self._connection.close()


async def asyncmy_link(login: Login) -> AsyncmyLink:
    """Log in."""
    connection = _Connection(login)
    try:
        with LoginErrors(MySQLError):
            return AsyncmyLink(connection, await connection.log_in())
    except BaseException:
        connection.close()
        raise
