"""The one door to asyncpg, with the types that it lacks.

asyncpg takes what is not given from the environment and the user's home (PGPASSWORD, ~/.pgpass,
PGSSLMODE and more): here everything is given.
"""

import asyncio
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Any, NamedTuple, Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]  # it has none
from asyncpg import connect_utils  # pyright: ignore[reportMissingTypeStubs]  # the same

from asyncbackends.endpoints import Endpoint

__all__ = (
    "Driver",
    "DriverError",
    "Login",
    "OutOfStepError",
    "ServerError",
    "backend_key",
    "logged_in",
    "stop_call",
    "transport_of",
)

ServerError: type[Exception] = asyncpg.PostgresError
"""What the server says, and the loss of the connection, with a ``sqlstate``."""
DriverError: type[Exception] = asyncpg.InterfaceError
"""What the driver itself refuses."""
OutOfStepError: type[Exception] = asyncpg.InternalClientError
"""It is in no state to send: the server has said good-bye, and the link's end is on its way."""

CACHED_STATEMENTS = 256
LONGEST_CACHED = 64 * 1024


class Driver(Protocol):
    """What we use of a connection of asyncpg."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Sequence[Any]]: ...
    async def execute(self, query: str) -> str: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...


class Login(NamedTuple):
    """What a login needs beside the endpoint."""

    username: str
    password: str
    database: str
    tls: SSLContext | None
    settings: Mapping[str, str]
    caches_statements: bool


async def logged_in(where: Endpoint, login: Login) -> Driver:
    """Log in; whoever calls it sets the deadline."""
    connection: Any = await cast("Any", asyncpg).connect(
        host=where.socket or where.host,
        port=where.port,
        user=login.username,
        # Empty is not the same as not given: then a file in the user's home is looked at.
        password=login.password,
        database=login.database,
        # None is not the same as no: then the environment decides, else "prefer".
        ssl=login.tls or False,
        direct_tls=False,
        target_session_attrs="any",
        krbsrvname="postgres",
        gsslib="gssapi",
        timeout=None,
        server_settings=dict(login.settings),
        statement_cache_size=CACHED_STATEMENTS if login.caches_statements else 0,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=LONGEST_CACHED,
    )
    return cast("Driver", connection)


def transport_of(driver: Driver) -> asyncio.BaseTransport:
    """Give what the connection goes over."""
    transport: asyncio.BaseTransport = cast("Any", driver)._transport
    return transport


def backend_key(driver: Driver) -> tuple[int, int]:
    """Give what the server knows the connection's process by."""
    protocol: Any = cast("Any", driver)._protocol
    return protocol.backend_pid, protocol.backend_secret


async def stop_call(driver: Driver, key: tuple[int, int]) -> None:
    """Ask the server to stop what the connection does, which may be closed already.

    asyncpg asks by itself when a call is cancelled, but not where the connection is closed too.
    """
    connection: Any = driver
    await cast("Any", connect_utils)._cancel(
        loop=asyncio.get_running_loop(),
        addr=connection._addr,
        params=connection._params,
        backend_pid=key[0],
        backend_secret=key[1],
    )
