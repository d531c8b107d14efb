"""The runs of scenarios on coordination services, for every engine."""

from collections.abc import Collection
from typing import ClassVar

from tests.faults.coordination_products import coordination_arguments, product_for
from tests.faults.coordination_trials import ENGINES, CoordinationTrial
from tests.faults.fleet import Fleet
from tests.faults.runs import Runs
from tests.servers.running import Servers
from tests.servers.server import Server

__all__ = ("CoordinationTrials",)


class CoordinationTrials(Runs[Server, CoordinationTrial]):
    """A server for each engine, and what came of the scenarios on it."""

    loggers: ClassVar[Collection[str]] = ("asyncbackends", "aiozk", "grpc", "nats", "asyncio")

    def __init__(self, servers: Servers, length: str) -> None:
        super().__init__(Fleet(servers, of_coordination), length)

    def make_server(self, subject: str) -> Server:
        """Start the server of an engine."""
        return self.fleet.fresh(subject, **coordination_arguments(subject))

    def make_trial(
        self, name: str, subject: str, server: Server, length: str, secrets: set[str]
    ) -> CoordinationTrial:
        """Make the trial of an engine."""
        product = product_for(server)
        before = product.sessions(name)
        trial = CoordinationTrial(
            name, subject, server, self.fleet, length, secrets, product, before
        )
        # What is timed is not the import of the driver.
        trial.open()
        return trial


def of_coordination(server: Server) -> Server:
    assert server.engine in ENGINES
    return server
