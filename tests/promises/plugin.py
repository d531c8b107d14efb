"""Records which promise each test proved, for which engine, and with which figure."""

import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.engines import engine_of
from tests.promises.catalogue import CATALOGUE, Promise, read_catalogue
from tests.promises.record import FOLDER, Proof, Results, merge


@dataclass
class Trial:
    """A test that proves promises: the cells it is about, and how it went so far."""

    cells: list[tuple[str, str]]
    outcome: str = "not run"
    figures: list[str] = field(default_factory=list[str])


TRIAL = pytest.StashKey[Trial]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Put a figure beside the promise in the table: ``figure("50 kills, no write lost")``."""
    trial: Trial | None = request.node.stash.get(TRIAL, None)
    if trial is None:
        raise pytest.UsageError(f"{request.node.nodeid} has a figure, but proves no promise")
    return trial.figures.append


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "promise(*ids, engines=None): proves promises of tests/promises.toml, for the engine of the"
        " test's parameter or class unless engines are named",
    )
    config.pluginmanager.register(Recorder(config), "promises")


class Recorder:
    """One run's results, put into the record at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._catalogue = read_catalogue(self._root / CATALOGUE)
        self._servers = str(config.getoption("--servers"))
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        newest = "" if self._servers == "default" else f"-{self._servers}"
        self._name = f"{version}-{config.getoption('--length')}{newest}"
        self._results: Results = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            claims = [
                (name, marker.kwargs.get("engines"))
                for marker in item.iter_markers("promise")
                for name in marker.args
            ]
            # The kit also runs where nobody has registered our marker.
            claims += [
                (name, None)
                for name in getattr(getattr(item, "function", None), "__promises__", ())
            ]
            if claims:
                item.stash[TRIAL] = Trial(
                    [(name, cell) for name, of in claims for cell in self._cells(item, name, of)]
                )

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            self._record(item, "deselected")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if trial := item.stash.get(TRIAL, None):
            if report.failed:
                trial.outcome = "failed"
            elif report.skipped:
                trial.outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            elif report.when == "call":
                trial.outcome = "passed"
            if report.when == "teardown":
                self._record(item, trial.outcome)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._results and not session.config.option.collectonly:
            merge(self._root / FOLDER / f"{self._name}.json", self._results)

    def _cells(self, item: pytest.Item, name: str, engines: Sequence[str] | None) -> list[str]:
        promise = self._catalogue.get(name)
        if promise is None:
            raise pytest.UsageError(f"{item.nodeid}: tests/promises.toml has no promise {name}")
        if engines is not None:
            if undeclared := [engine for engine in engines if not self._cell(promise, engine)]:
                raise pytest.UsageError(f"{item.nodeid}: {name} is not promised for {undeclared}")
        elif engine := engine_of(item):
            engines = [engine]
        elif len(promise.cells) == 1:
            return list(promise.cells)
        else:
            raise pytest.UsageError(f"{item.nodeid}: for which engine does it prove {name}?")
        # The kit runs the same test on engines that do not promise it.
        return [cell for engine in engines if (cell := self._cell(promise, engine))]

    def _cell(self, promise: Promise, engine: str) -> str | None:
        versioned = f"{engine}@{self._servers}"
        return next((cell for cell in (versioned, engine) if cell in promise.cells), None)

    def _record(self, item: pytest.Item, outcome: str) -> None:
        if trial := item.stash.get(TRIAL, None):
            proof = Proof(outcome=outcome, figures=trial.figures)
            for name, cell in trial.cells:
                self._results.setdefault(name, {}).setdefault(cell, {})[item.nodeid] = proof
