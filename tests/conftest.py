"""The options of a run, its header, and what holds for every test."""

import gc
import os
from collections.abc import Generator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from tests.engines import asked_engines, engine_entries, engine_names, engine_of

pytest_plugins = ("pytester", "tests.leaks", "tests.promises.plugin", "tests.servers.fixtures")

# A distribution of its own, with tests of its own.
collect_ignore = ["packaging/offtree"]

RESOLVING = ("open_backends", "open_config_database", "open_coordination", "open_message_broker")
# Seconds for one test of a soak, however many rounds it has.
SOAK_TIMEOUT = 7200
DUMPS = "ASYNCBACKENDS_TEST_DUMPS"

# How long one example takes says more about the machine than about the rule.
settings.register_profile("asyncbackends", deadline=None)
settings.load_profile("asyncbackends")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("asyncbackends")
    group.addoption("--engines", help="run the tests of these engines only: a,b")
    group.addoption(
        "--servers",
        choices=("default", "newest"),
        default="default",
        help="which server versions; the newest ones are for engines that have others there",
    )
    group.addoption("--length", choices=("ci", "soak"), default="ci", help="how long to try")


def pytest_report_header(config: pytest.Config) -> list[str]:
    engines = ", ".join(sorted(asked_engines(config) or engine_names()))
    servers, length = config.getoption("--servers"), config.getoption("--length")
    dumps = os.environ.get(DUMPS, f"{DUMPS} is not set, the generated dump is used")
    return [f"engines: {engines}; servers: {servers}; length: {length}", f"dumps: {dumps}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the engines that were not asked for; tests of no engine stay."""
    if config.getoption("--length") == "soak":
        for item in items:
            item.add_marker(pytest.mark.timeout(SOAK_TIMEOUT), append=False)
    wanted = asked_engines(config)
    if wanted is None:
        return
    if unknown := wanted - {*engine_names()}:
        raise pytest.UsageError(
            f"--engines: unknown {', '.join(sorted(unknown))}; known: {', '.join(engine_names())}"
        )
    left_out = [item for item in items if (engine_of(item) or "") not in {"", *wanted}]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def length(pytestconfig: pytest.Config) -> str:
    """How long to try: "ci" or "soak"."""
    return str(pytestconfig.getoption("--length"))


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Generator[None]:
    """A call of ours that blocks the event loop raises; the kit's own tests may read a file."""
    packages = {"asyncbackends", *(entry.module.partition(".")[0] for entry in engine_entries())}
    with blockbuster_ctx(sorted(packages), excluded_modules=["asyncbackends.testing"]) as blockers:
        # Files, metadata and the driver are read before anything is awaited, by plain functions.
        for blocker in blockers.functions.values():
            blocker.can_block_in("asyncbackends/opening.py", RESOLVING)
        yield


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> None:
    """Keep what was collected and reported so far out of the garbage collector's way.

    Twelve thousand tests are half a million objects: to go through them takes it up to two seconds
    on a busy machine, in the middle of somebody's deadline.
    """
    gc.collect()
    gc.freeze()
