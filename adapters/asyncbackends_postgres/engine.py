"""PostgreSQL as an engine of SQL."""

import asyncio
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import BackendError, ConfigurationError
from asyncbackends.observability import ErrorTable
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.silence import give_up_when_silent
from asyncbackends.sql.database import SqlConfigDatabase
from asyncbackends.sql.dialect import Dialect
from asyncbackends.tls import tls_context
from asyncbackends_postgres import driver_errors
from asyncbackends_postgres.connection import PostgresConnection
from asyncbackends_postgres.dialect import DIALECT
from asyncbackends_postgres.driver import Driver, Login, logged_in, transport_of
from asyncbackends_postgres.options import PostgresDatabaseOptions

__all__ = ("PostgresEngine", "create")

DEFAULT_PORT: Final = 5432
OLDEST: Final = 130000

FACTS: Final = (
    "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
    " current_setting('server_encoding'), current_setting('transaction_read_only') = 'on',"
    " current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'"
    " AND current_setting('synchronous_commit') <> 'off'"
)

HERE: Final = Path(__file__).parent
SCRIPTS: Final = [(HERE / name).read_text(encoding="utf-8") for name in ("tables.sql", "apply.sql")]


class PostgresEngine:
    """Logs in, and knows PostgreSQL's words and errors."""

    name = "postgres"
    default_port = DEFAULT_PORT
    log_positions: str | None = None
    dialect: Dialect = DIALECT

    def __init__(self) -> None:
        self.errors: ErrorTable = driver_errors.ours

    def tables(self, server: ServerInfo) -> Sequence[str]:
        """Give the scripts' statements, which stand between lines of two dashes alone."""
        bare = (_without_comments(part) for script in SCRIPTS for part in script.split("\n--\n"))
        return [statement for statement in bare if statement]

    def lost(self, error: Exception) -> bool:
        return driver_errors.is_lost(error)

    def refusal(self, error: Exception) -> BackendError | None:
        return driver_errors.refusal(error)

    async def connect(self, endpoint: str, options: ServerDatabaseOptions) -> PostgresConnection:
        where = parsed_endpoint(endpoint, DEFAULT_PORT)
        if where.socket is not None and options.tls == "on":
            message = f"tls = on, and {endpoint} is a socket of this machine, which has no TLS"
            raise ConfigurationError(message)
        login = await asyncio.get_running_loop().run_in_executor(None, _login, options)
        driver = await logged_in(where, login)
        give_up_when_silent(transport_of(driver), options.link_timeout)
        try:
            return await _connection(driver, endpoint, options)
        except BaseException:
            driver.terminate()
            raise


def _without_comments(script: str) -> str:
    lines = (line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip()


def create(endpoints: Sequence[str], options: PostgresDatabaseOptions) -> SqlConfigDatabase:
    """Give the unconnected backend."""
    return SqlConfigDatabase(PostgresEngine(), endpoints, options)


def _login(options: ServerDatabaseOptions) -> Login:
    """Prepare a login; files are read."""
    pooled = isinstance(options, PostgresDatabaseOptions) and options.pooler == "transaction"
    return Login(
        # As psql does, which the server may take at its word on a socket.
        username=options.username or pwd.getpwuid(os.geteuid()).pw_name,
        password="" if options.password is None else options.password.reveal(),
        database=options.database,
        tls=tls_context(options),
        settings={} if pooled else _session_settings(options),
        caches_statements=not pooled,
    )


def _session_settings(options: ServerDatabaseOptions) -> dict[str, str]:
    return {
        "application_name": "asyncbackends",
        "default_transaction_isolation": "read committed",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
        # Where this process is stopped or cut off inside a transaction, the others go on.
        "idle_in_transaction_session_timeout": f"{options.operation_timeout * 2:.0f}s",
    }


async def _connection(
    driver: Driver, endpoint: str, options: ServerDatabaseOptions
) -> PostgresConnection:
    version, number, encoding, read_only, durable = (await driver.fetch(FACTS))[0]
    if number < OLDEST:
        message = f"{endpoint}: PostgreSQL {version} is too old; the postgres engine needs 13"
        raise ConfigurationError(message)
    if encoding != "UTF8":
        message = (
            f"{endpoint}: the encoding of database {options.database!r} is {encoding}; make it"
            " anew with ENCODING 'UTF8' TEMPLATE template0"
        )
        raise ConfigurationError(message)
    return PostgresConnection(
        driver,
        endpoint,
        options.namespace,
        ServerInfo("PostgreSQL", version),
        frozenset({Guarantee.SURVIVES_POWER_LOSS} if durable else ()),
        read_only=read_only,
    )
