"""The one door to aiomysql: it logs in and sends; what the server answers is read here."""

from asyncio import BaseTransport, StreamWriter
from collections.abc import Sequence
from typing import Any, Final, Protocol

import aiomysql
from pymysql.err import MySQLError

from asyncbackends.sql.server import Row
from asyncbackends_mysql.driver_errors import BROKEN, ServerError
from asyncbackends_mysql.link import (
    COM_ROLLBACK,
    FOUND_ROWS,
    Login,
    LoginErrors,
    check_greeting,
    check_plugin,
    server_error,
)
from asyncbackends_mysql.text_protocol import Answers, Source

__all__ = ("AiomysqlLink", "aiomysql_link")

COM_QUERY: Final = 3
COM_QUIT: Final = b"\x01\x00\x00\x00\x01"


class _Reader(Source, Protocol):
    @property
    def eof_received(self) -> bool: ...


class _Connection(aiomysql.Connection):
    """Shows the password to nobody, and keeps no socket of a peer that does not answer."""

    def __init__(self, login: Login) -> None:
        super().__init__(
            host=login.where.host or "localhost",
            port=login.where.port,
            unix_socket=login.where.socket,
            user=login.username,
            password=login.driver_password,
            db=login.database,
            charset="utf8mb4",
            autocommit=None,
            client_flag=FOUND_ROWS,
            ssl=login.tls,
        )
        self._login = login

    async def log_in(self) -> tuple[_Reader, StreamWriter]:
        """Log in, and give what the bytes come from and go to."""
        await self._connect()
        if self._reader is None or self._writer is None:
            raise ServerError(BROKEN, "the server closed the connection")
        return self._reader, self._writer

    async def send(self, text: str) -> None:
        """Send statements; who calls it reads the answer."""
        await self._execute_command(COM_QUERY, text)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = self._reader = None

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        # The driver would go on in plain text.
        check_greeting(self.server_capabilities, self._login)
        check_plugin(self._server_auth_plugin)

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        check_plugin(plugin_name)
        return await super()._process_auth(plugin_name, auth_packet)


class AiomysqlLink:
    """A connection of aiomysql."""

    def __init__(self, connection: _Connection, reader: _Reader, writer: StreamWriter) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._answers = Answers(reader)
        self._unread = False
        self.thread_id = connection.thread_id()
        self.transport: BaseTransport = self._writer.transport

    @property
    def is_open(self) -> bool:
        return not (self._reader.eof_received or self._writer.transport.is_closing())

    async def query(self, text: str) -> list[Sequence[Row]]:
        try:
            if self._unread:
                await self._answers.results()
                self._unread = False
            await self._connection.send(text)
            return await self._answers.results()
        except OSError as error:
            raise ServerError(BROKEN, str(error)) from error
        except MySQLError as error:
            raise server_error(error) from error

    def send_rollback(self) -> None:
        self._unread = True
        self._writer.write(COM_ROLLBACK)

    async def part(self) -> None:
        self._writer.write(COM_QUIT)
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()
        self._connection.close()


async def aiomysql_link(login: Login) -> AiomysqlLink:
    """Log in."""
    connection = _Connection(login)
    try:
        with LoginErrors(MySQLError):
            reader, writer = await connection.log_in()
            return AiomysqlLink(connection, reader, writer)
    except BaseException:
        connection.close()
        raise
