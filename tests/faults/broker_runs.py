"""The runs of scenarios on brokers, for every engine."""

from collections.abc import Collection
from typing import ClassVar

from tests.faults.broker_products import fresh_arguments, product_for
from tests.faults.broker_trials import ENGINES, BrokerTrial
from tests.faults.fleet import Fleet
from tests.faults.runs import Runs
from tests.servers.running import Servers
from tests.servers.server import Server

__all__ = ("BrokerTrials",)


class BrokerTrials(Runs[Server, BrokerTrial]):
    """A server for each engine, and what came of the scenarios on it."""

    loggers: ClassVar[Collection[str]] = (
        *("asyncbackends", "aio_pika", "aiormq", "nats", "asyncio"),
    )

    def __init__(self, servers: Servers, length: str) -> None:
        super().__init__(Fleet(servers, of_brokers), length)

    def make_server(self, subject: str) -> Server:
        """Start the server of an engine."""
        return self.fleet.fresh(subject, **fresh_arguments(subject))

    def make_trial(
        self, name: str, subject: str, server: Server, length: str, secrets: set[str]
    ) -> BrokerTrial:
        """Make the trial of an engine."""
        product = product_for(server)
        trial = BrokerTrial(name, subject, server, self.fleet, length, secrets, product)
        # What is timed is not the import of the driver.
        trial.open()
        return trial


def of_brokers(server: Server) -> Server:
    assert server.engine in ENGINES
    return server
