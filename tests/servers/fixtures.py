"""The fixture ``servers``: installed before the first test, started when first asked for."""

from collections.abc import Generator, Iterable, Sequence

import pytest

from tests.engines import asked_engines, engine_of
from tests.servers.installing import CannotInstallError, install
from tests.servers.running import Servers, engines_of_a_set, product_of, products_for
from tests.servers.server import Server

CANNOT = pytest.StashKey[CannotInstallError]()


def pytest_report_header(config: pytest.Config) -> str:
    newest, wanted = _newest(config), asked_engines(config)
    names = [*engines_of_a_set(newest=newest)]
    if wanted is not None:
        names = [name for name in names if name in wanted]
    products = [product_of(name, newest=newest) for name in names]
    found = [f"{each.product} {each.version() or 'not installed yet'}" for each in products]
    return f"servers, started when a test needs them: {', '.join(found) or 'none'}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the tests to come need: no test's timeout has room for it."""
    if session.config.option.collectonly:
        return
    try:
        install(_needed(session.items, newest=_newest(session.config)))
    except CannotInstallError as error:
        # The tests that need it fail with the command to run; the others run.
        session.config.stash[CANNOT] = error


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Generator[Servers]:
    """Real servers, each started when a test first asks for it."""
    cannot = pytestconfig.stash.get(CANNOT, None)
    in_memory = pytestconfig.getoption("--length") != "soak"  # whose figures are of real disks
    with Servers(newest=_newest(pytestconfig), cannot=cannot, in_memory=in_memory) as servers:
        yield servers


def _newest(config: pytest.Config) -> bool:
    return bool(config.getoption("--servers") == "newest")


def _needed(items: Iterable[pytest.Item], *, newest: bool) -> Sequence[type[Server]]:
    """Give the servers of the engines that tests are about; a test of none may take any."""
    every = {*engines_of_a_set(newest=newest)}
    names: set[str] = set()
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            engine = engine_of(item)
            names |= every if engine is None else every & {engine}
    return products_for(sorted(names), newest=newest)
