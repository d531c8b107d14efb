"""The runs of scenarios on databases, for every driver."""

from collections.abc import Collection
from typing import ClassVar

from tests.faults.database_trials import DRIVERS, Trial
from tests.faults.fleet import Fleet
from tests.faults.runs import Runs
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer, Server

__all__ = ("Trials",)


class Trials(Runs[DatabaseServer, Trial]):
    """A server for each driver, and what came of the scenarios on it."""

    loggers: ClassVar[Collection[str]] = (
        *("asyncbackends", "asyncpg", "aiomysql", "asyncmy", "asyncio"),
    )

    def __init__(self, servers: Servers, length: str) -> None:
        super().__init__(Fleet(servers, of_databases), length)

    def make_server(self, subject: str) -> DatabaseServer:
        """Start the server of a driver."""
        return self.fleet.fresh(DRIVERS[subject])

    def make_trial(
        self, name: str, subject: str, server: DatabaseServer, length: str, secrets: set[str]
    ) -> Trial:
        """Make the trial of a driver."""
        trial = Trial(name, DRIVERS[subject], server, self.fleet, length, secrets, driver=subject)
        # What is timed is not the import of the driver.
        trial.open()
        return trial


def of_databases(server: Server) -> DatabaseServer:
    assert isinstance(server, DatabaseServer)
    return server
