"""The mysql engine: which driver, and how it logs in."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import BackendError
from asyncbackends.observability import ErrorTable
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.silence import give_up_when_silent
from asyncbackends.sql.database import SqlConfigDatabase
from asyncbackends.sql.dialect import Dialect
from asyncbackends.sql.server import SqlEngine
from asyncbackends.tls import tls_context
from asyncbackends_mysql import driver_errors
from asyncbackends_mysql.connection import MysqlConnection
from asyncbackends_mysql.dialect import DIALECT
from asyncbackends_mysql.drivers import factory_of
from asyncbackends_mysql.link import Link, Login
from asyncbackends_mysql.options import MysqlDatabaseOptions
from asyncbackends_mysql.session_setup import Facts, facts_of, setup

__all__ = ("MysqlEngine", "create")

COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)
TABLES: Final = tuple(
    statement.strip()
    for statement in COMMENT.sub(
        "", Path(__file__).with_name("tables.sql").read_text("utf-8")
    ).split(";\n")
    if statement.strip()
)
LOG_POSITIONS: Final = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_lsn_current', 'Innodb_lsn_flushed',"
    " 'Innodb_redo_log_current_lsn', 'Innodb_redo_log_flushed_to_disk_lsn')"
)


class MysqlEngine:
    """Implements :class:`asyncbackends.sql.server.SqlEngine`."""

    name = "mysql"
    default_port = 3306
    log_positions: str | None = LOG_POSITIONS

    def __init__(self) -> None:
        self.dialect: Dialect = DIALECT
        self.errors: ErrorTable = driver_errors.ours

    def tables(self, server: ServerInfo) -> Sequence[str]:
        return TABLES

    def lost(self, error: Exception) -> bool:
        return driver_errors.is_lost(error)

    def refusal(self, error: Exception) -> BackendError | None:
        return driver_errors.refusal(error)

    async def connect(self, endpoint: str, options: ServerDatabaseOptions) -> MysqlConnection:
        link, facts = await self._login(endpoint, options)

        async def stop(thread_id: int) -> None:
            other, where = await self._login(endpoint, options)
            try:
                # Behind one name there may be several servers, with threads of the same number.
                if where.identity == facts.identity:
                    await other.query(f"KILL {thread_id}")
            finally:
                other.abort()

        return MysqlConnection(link, endpoint, options.namespace, facts, stop)

    async def _login(self, endpoint: str, options: ServerDatabaseOptions) -> tuple[Link, Facts]:
        driver = options.driver if isinstance(options, MysqlDatabaseOptions) else "auto"
        log_in = factory_of(driver)
        tls = None
        if options.tls != "off":
            tls = await asyncio.get_running_loop().run_in_executor(None, tls_context, options)
        link = await log_in(
            Login(
                parsed_endpoint(endpoint, self.default_port),
                options.username,
                "" if options.password is None else options.password.reveal(),
                options.database,
                tls,
            )
        )
        give_up_when_silent(link.transport, options.link_timeout)
        try:
            return link, facts_of((await link.query(setup(options)))[-1][0])
        except BaseException:
            link.abort()
            raise


_: type[SqlEngine] = MysqlEngine


def create(endpoints: Sequence[str], options: MysqlDatabaseOptions) -> SqlConfigDatabase:
    """Make the unconnected backend."""
    factory_of(options.driver)
    return SqlConfigDatabase(MysqlEngine(), endpoints, options)
