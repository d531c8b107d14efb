"""The servers that fault tests break."""

from collections.abc import Generator
from functools import partial

import pytest

from tests.faults.database_runs import Trials
from tests.faults.database_trials import RunTrial
from tests.servers.running import Servers


@pytest.fixture(scope="session")
def trials(servers: Servers, length: str) -> Generator[Trials]:
    """Servers of databases, one for each driver, and what came of the scenarios on them."""
    trials = Trials(servers, length)
    yield trials
    trials.close()


@pytest.fixture
def run_trial(request: pytest.FixtureRequest, trials: Trials, driver: str) -> RunTrial:
    """Run a scenario for this test's driver, beside those of the same test that were collected."""
    among = [
        str(item.callspec.params["driver"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == request.node.originalname
        and item.path == request.node.path
        and hasattr(item, "callspec")
    ]
    return partial(trials.outcome, driver=driver, among=among)
