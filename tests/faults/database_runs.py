"""Runs a scenario beside itself, for every driver at once.

Most of what these tests do is to wait, so a scenario is run for all drivers that were collected
when the first of its tests runs, each on a server of its own; the others take their outcome. No
scenario may leave a task or a connection behind, or a password in any log or error.
"""

import asyncio
import logging
from collections.abc import Collection, Generator
from contextlib import contextmanager

import pytest

from tests.faults.database_fleet import Fleet, end, revive
from tests.faults.database_trials import DRIVERS, Scenario, Trial
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

__all__ = ("Trials",)

LIMIT = 200.0
LOGGERS = ("asyncbackends", "asyncpg", "aiomysql", "asyncmy", "asyncio")


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
            end(server)

    def outcome(self, scenario: Scenario, driver: str, among: Collection[str]) -> str:
        """Give what came of a scenario, which is run for these drivers if it was not yet."""
        if (scenario, driver) not in self._outcomes:
            with self.fleet.threads() as threads, _watched_logs() as log:
                list(threads.map(self._prepare, among))
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

    async def _run(self, scenario: Scenario, drivers: Collection[str], log: "_WatchedLogs") -> None:
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
        # What is timed is not the import of the driver.
        trial.open()
        outcome: str | BaseException
        try:
            async with asyncio.timeout(LIMIT if self._length == "ci" else LIMIT * 10):
                outcome = await scenario(trial)
                await trial.settled(trial.connected_to_nobody, "connections are left on the server")
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # its test raises it
            outcome = error
        self._outcomes[scenario, driver] = outcome


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
def _watched_logs() -> Generator[_WatchedLogs]:
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
