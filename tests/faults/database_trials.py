"""Trials of databases on servers: one scenario, beside itself for every driver at once.

Most of what these tests do is to wait, so a scenario is run for all drivers that were collected
when the first of its tests runs, each on a server of its own; the others take their outcome. No
scenario may leave a task or a connection behind, or a password in any log or error.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from asyncbackends import (
    NO_PARENT,
    ConfigDatabase,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
)
from asyncbackends.errors import BackendError
from asyncbackends.opening import Opener
from tests.faults.database_products import PRODUCTS, ProductSql
from tests.servers.certificates import Certificates
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

__all__ = (
    "DRIVERS",
    "SCHEMA",
    "Ending",
    "Fleet",
    "RunTrial",
    "Scenario",
    "Trial",
    "Trials",
    "each_driver",
    "each_engine",
)

DRIVERS: Mapping[str, str] = {"asyncpg": "postgres", "aiomysql": "mysql", "asyncmy": "mysql"}

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "network": ObjectType(lists={"servers": None}, refs={"network": RefType()}),
        "subnet": ObjectType(
            parents=("project", NO_PARENT),
            lists={"servers": None},
            refs={"network": RefType(), "subnet": RefType()},
        ),
    }
)
PATIENCE = 3.0
LIMIT = 200.0
LOGGERS = ("asyncbackends", "asyncpg", "aiomysql", "asyncmy", "asyncio")

each_driver = pytest.mark.parametrize(
    ("driver", "engine"), [pytest.param(*one, id=one[0]) for one in DRIVERS.items()]
)
each_engine = pytest.mark.parametrize("engine", sorted({*DRIVERS.values()}))


@dataclass
class Ending:
    """How a call ended, and after how many seconds."""

    seconds: float
    value: Any = None
    error: BackendError | None = None

    def failed(self, kind: type[BackendError], *, maybe: bool = False) -> BackendError:
        """Give the error; it must be of exactly this type, and say whether it may be applied."""
        assert type(self.error) is kind, repr(self.error or self.value)
        assert self.error.maybe_applied is maybe, str(self.error)
        return self.error


@dataclass
class Trial:
    """One scenario on one server, by one driver."""

    name: str
    driver: str
    server: DatabaseServer
    fleet: "Fleet"
    length: str
    secrets: set[str] = field(default_factory=set[str])

    @property
    def engine(self) -> str:
        """The engine that the driver is of."""
        return DRIVERS[self.driver]

    @property
    def product(self) -> ProductSql:
        """How the server is asked and told what SQL has no common words for."""
        return PRODUCTS[self.engine]

    def settings(self, server: DatabaseServer | None = None, **others: Any) -> dict[str, Any]:
        """Give what opens a database on the trial's server, or another one, by its driver."""
        server = server or self.server
        self.secrets.add(server.password)
        # Only one of the engines has drivers to choose from.
        driver = {"driver": self.driver} if self.engine == "mysql" else {}
        own = {"namespace": self.name, "schema": SCHEMA, "reconnect_max": 0.5, **driver}
        return server.settings(**{**own, **others})

    def open(self, server: DatabaseServer | None = None, **others: Any) -> Opener[ConfigDatabase]:
        """Open a database, patiently made but quick to give up."""
        return open_config_database(**self.settings(server, **others))

    async def ending(self, call: Awaitable[Any]) -> Ending:
        """Await a call; only our own errors count as an end, and none shows a secret."""
        began = time.monotonic()
        try:
            value = await call
        except BackendError as error:
            self.check_error(error)
            return Ending(time.monotonic() - began, error=error)
        return Ending(time.monotonic() - began, value)

    def check_error(self, error: BackendError) -> None:
        """See that an error says where it comes from, and no secret."""
        assert error.engine == self.engine
        assert error.operation
        told = "".join(traceback.format_exception(error)) + repr(error)
        assert not [secret for secret in self.secrets if secret in told]

    async def refusal(self, **others: Any) -> Ending:
        """Open a database that cannot be opened."""

        async def opened() -> None:
            async with self.open(**others):
                pass

        ending = await self.ending(opened())
        assert ending.error is not None, "it was opened"
        return ending

    # What is done to the server; all of it blocks, so a thread does it.

    async def kill(self) -> None:
        """End the server as ``kill -9`` does."""
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.server.start)

    async def restart(self) -> None:
        """Let it end in order, and start it again."""
        await asyncio.to_thread(self.server.restart)

    async def freeze(self) -> None:
        """Let it answer nothing."""
        await asyncio.to_thread(self.server.freeze)

    async def thaw(self) -> None:
        """Let it go on."""
        await asyncio.to_thread(self.server.thaw)

    async def revive(self) -> None:
        """Let it run, whatever was done to it."""
        await asyncio.to_thread(revive, self.server)

    async def sql(self, statement: str, database: str | None = None) -> str:
        """Run statements as the superuser."""
        if database is None:
            return await asyncio.to_thread(self.server.sql, statement)
        return await asyncio.to_thread(self.server.sql, statement, database=database)

    async def connections(self) -> int:
        """Count the connections that the server sees of us."""
        return int(await self.sql(self.product.connections))

    async def end_connections(self) -> None:
        """End them on the server, as an administrator does."""
        ids = {*(await self.sql(self.product.ids)).split()}
        await self.sql("\n".join(self.product.end.format(id=one) for one in ids))

        async def have_gone() -> bool:
            return not ids & {*(await self.sql(self.product.ids)).split()}

        # It tells them to end, and they do soon.
        await self.settled(have_gone, "connections do not end")

    async def settled(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until something holds that takes a moment."""
        deadline = time.monotonic() + PATIENCE
        while not await condition():
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.02)


Scenario: TypeAlias = Callable[[Trial], Coroutine[Any, Any, str]]
"""What is tried; it gives the figure for the promise."""

RunTrial: TypeAlias = Callable[[Scenario], str]
"""Runs the scenario of a test, or gives what came of it, for the test's driver."""


class Fleet:
    """More servers of the kinds that trials are of, each started once and ended together."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._started: dict[tuple[str, str], Future[DatabaseServer]] = {}
        self._starting = ThreadPoolExecutor(2)

    @property
    def certificates(self) -> Certificates:
        """What servers show, and clients trust."""
        return self._servers.certificates

    def fresh(self, engine: str, **arguments: Any) -> DatabaseServer:
        """Start one for a scenario alone, which has to remove it."""
        server = self._servers.fresh(engine, **arguments)
        assert isinstance(server, DatabaseServer)
        return server.__enter__()

    async def shared(self, engine: str, name: str, **arguments: Any) -> DatabaseServer:
        """Give the engine's server of this name, which nobody may break."""
        if (engine, name) not in self._started:
            # Not all at once: they get into each other's way.
            started = self._starting.submit(self.fresh, engine, **arguments)
            self._started[engine, name] = started
        return await asyncio.wrap_future(self._started[engine, name])

    def close(self) -> None:
        """End those that are shared."""
        self._starting.shutdown()
        for server in self._started.values():
            server.result().remove()
        self._started.clear()
        self._starting = ThreadPoolExecutor(2)


class Trials:
    """The servers that may be broken, and what came of the scenarios."""

    def __init__(self, servers: Servers, length: str) -> None:
        self.fleet = Fleet(servers)
        self._length = length
        self._own: dict[str, DatabaseServer] = {}
        self._outcomes: dict[tuple[Scenario, str], str | BaseException] = {}

    def close(self) -> None:
        """End the servers."""
        self.fleet.close()
        for server in self._own.values():
            server.remove()

    def outcome(self, scenario: Scenario, driver: str, among: Collection[str]) -> str:
        """Give what came of a scenario, which is run for these drivers if it was not yet."""
        if (scenario, driver) not in self._outcomes:
            with ThreadPoolExecutor() as threads:
                list(threads.map(self._prepare, among))
            with _watched_logs() as log:
                asyncio.run(self._run(scenario, among, log))
        outcome = self._outcomes[scenario, driver]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _prepare(self, driver: str) -> None:
        """Have a server for a driver that runs."""
        server = self._own.get(driver)
        if server is None:
            self._own[driver] = self.fleet.fresh(DRIVERS[driver])
        else:
            revive(server)

    async def _run(
        self, scenario: Scenario, drivers: Collection[str], log: "_WatchedLogs"
    ) -> None:
        await asyncio.gather(*(self._run_one(scenario, driver, log) for driver in drivers))
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left or log.breaches:
            found = [*log.breaches, *(f"left behind: {task}" for task in left)]
            for driver in drivers:
                if isinstance(self._outcomes[scenario, driver], str):
                    self._outcomes[scenario, driver] = AssertionError("\n".join(found))

    async def _run_one(self, scenario: Scenario, driver: str, log: "_WatchedLogs") -> None:
        server = self._own[driver]
        trial = Trial(scenario.__name__, driver, server, self.fleet, self._length, log.secrets)
        outcome: str | BaseException
        try:
            async with asyncio.timeout(LIMIT if self._length == "ci" else LIMIT * 10):
                outcome = await scenario(trial)
                await trial.settled(lambda: _nobody(trial), "connections are left on the server")
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # its test raises it
            outcome = error
        self._outcomes[scenario, driver] = outcome


def revive(server: DatabaseServer) -> None:
    """Let a server run that was killed or frozen."""
    if server.is_running:
        server.thaw()
    else:
        server.start()


async def _nobody(trial: Trial) -> bool:
    return await trial.connections() == 0


class _WatchedLogs(logging.Handler):
    """Looks for secrets, and for what only the loop heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()
        self.breaches: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if any(secret in text for secret in self.secrets):
            self.breaches.append(f"a secret was logged by {record.name}")
        elif record.name == "asyncio" and record.levelno >= logging.ERROR:
            self.breaches.append(text)


@contextmanager
def _watched_logs() -> Iterator[_WatchedLogs]:
    handler = _WatchedLogs()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        # There are too many of them to keep.
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)
            logger.propagate = True
