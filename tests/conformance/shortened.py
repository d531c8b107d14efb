"""Suites of a second driver or event loop: in the short length only what may differ there."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest

from asyncbackends.testing.config_database.batches import BatchConformance
from asyncbackends.testing.config_database.cancellation import CancellationConformance
from asyncbackends.testing.config_database.fences import FencesConformance
from asyncbackends.testing.config_database.freshness import FreshnessConformance
from asyncbackends.testing.config_database.histories import HistoriesConformance
from asyncbackends.testing.config_database.lifecycle import LifecycleConformance
from asyncbackends.testing.config_database.processes import ProcessesConformance
from asyncbackends.testing.config_database.watching import WatchConformance

__all__ = ("is_left_out", "shortened")

SuiteT = TypeVar("SuiteT", bound=type[Any])

PARTS: Final = (
    BatchConformance,
    CancellationConformance,
    FencesConformance,
    FreshnessConformance,
    HistoriesConformance,
    LifecycleConformance,
    ProcessesConformance,
    WatchConformance,
)
"""Units, concurrency, cancellation and the two ends: the rules above them are shared."""


def shortened(*servers: str) -> Callable[[SuiteT], SuiteT]:
    """Run only these parts of a suite in the short length, on these sets of servers."""

    def mark(suite: SuiteT) -> SuiteT:
        suite.shortened_on = servers
        return suite

    return mark


def is_left_out(item: pytest.Item) -> bool:
    """Say whether a test is left to the full length."""
    suite = getattr(item, "cls", None)
    if (
        not isinstance(item, pytest.Function)
        or item.config.getoption("--length") != "ci"
        or item.config.getoption("--servers") not in getattr(suite, "shortened_on", ())
    ):
        return False
    return not any(hasattr(part, item.originalname) for part in PARTS)
