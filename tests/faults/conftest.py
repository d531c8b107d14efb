"""The servers that fault tests break."""

from collections.abc import Generator
from functools import partial

import pytest

from tests.faults.broker_runs import BrokerTrials
from tests.faults.broker_trials import RunBrokerTrial
from tests.faults.coordination_runs import CoordinationTrials
from tests.faults.coordination_trials import RunCoordinationTrial
from tests.faults.database_runs import Trials
from tests.faults.database_trials import RunTrial
from tests.faults.runs import collected
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
    return partial(trials.outcome, subject=driver, among=collected(request, "driver"))


@pytest.fixture(scope="session")
def broker_trials(servers: Servers, length: str) -> Generator[BrokerTrials]:
    """Servers of brokers, one for each engine, and what came of the scenarios on them."""
    trials = BrokerTrials(servers, length)
    yield trials
    trials.close()


@pytest.fixture
def run_broker_trial(
    request: pytest.FixtureRequest, broker_trials: BrokerTrials, engine: str
) -> RunBrokerTrial:
    """Run a scenario for this test's engine, beside those of the same test that were collected."""
    return partial(broker_trials.outcome, subject=engine, among=collected(request, "engine"))


@pytest.fixture
def run_alone(broker_trials: BrokerTrials, engine: str) -> RunBrokerTrial:
    """Run a scenario for this test's engine, beside nothing: it is much work, or counts tasks."""
    return partial(broker_trials.outcome, subject=engine, among=[engine])


@pytest.fixture(scope="session")
def coordination_trials(servers: Servers, length: str) -> Generator[CoordinationTrials]:
    """Servers of coordination, one for each engine, and what came of the scenarios on them."""
    trials = CoordinationTrials(servers, length)
    yield trials
    trials.close()


@pytest.fixture
def run_coordination_trial(
    request: pytest.FixtureRequest, coordination_trials: CoordinationTrials, engine: str
) -> RunCoordinationTrial:
    """Run a scenario for this test's engine, beside those of the same test that were collected."""
    return partial(coordination_trials.outcome, subject=engine, among=collected(request, "engine"))


@pytest.fixture
def run_coordination_alone(
    coordination_trials: CoordinationTrials, engine: str
) -> RunCoordinationTrial:
    """Run a scenario for this test's engine, beside nothing: it is much work, or counts tasks."""
    return partial(coordination_trials.outcome, subject=engine, among=[engine])
