"""Random operations: the embedded engines give the same answers, one beside the other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from asyncbackends.testing.machine import ConfigDatabaseAgreement

EXAMPLES = {"ci": 25, "soak": 1000}


@pytest.mark.timeout(600)
class Agreement(ConfigDatabaseAgreement):
    """As long as the run has time for."""

    share: float = 1.0

    @pytest.fixture
    def machine_settings(self, length: str) -> settings:
        self.examples = int(EXAMPLES[length] * self.share)
        self.derandomize = length == "ci"
        return self.as_settings()


class TestMemoryAgreesWithItself(Agreement):
    """Finds what is wrong with the machine."""

    engine = "memory"
    share = 0.4

    @pytest.fixture
    def fresh_settings(self) -> Callable[[], Mapping[str, str]]:
        return lambda: {"engine": "memory", "endpoints": str(uuid4())}


class TestSqliteAgreesWithMemory(Agreement):
    engine = "sqlite"

    @pytest.fixture
    def fresh_settings(self, tmp_path: Path) -> Callable[[], Mapping[str, str]]:
        return lambda: {"engine": "sqlite", "endpoints": str(tmp_path / f"{uuid4()}.db")}
