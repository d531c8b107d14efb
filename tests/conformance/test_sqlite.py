"""The sqlite engine holds the contract: in a file and in memory."""

from pathlib import Path

import pytest

from asyncbackends.testing import ConfigDatabaseConformance
from tests.conformance.shortened import shortened


class TestSqlite(ConfigDatabaseConformance):
    engine = "sqlite"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, str]:
        return {"engine": "sqlite", "endpoints": str(tmp_path / "site.db")}


@shortened("default", "newest")
class TestSqliteInMemory(ConfigDatabaseConformance):
    engine = "sqlite"
    clients_share = False

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "sqlite", "endpoints": ":memory:"}
