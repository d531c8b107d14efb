"""The sqlite engine holds the contract on another event loop."""

from pathlib import Path

import pytest

from asyncbackends.testing import ConfigDatabaseConformance
from tests.conformance.shortened import shortened


@shortened("default", "newest")
class TestSqliteOnUvloop(ConfigDatabaseConformance):
    engine = "sqlite"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, str]:
        return {"engine": "sqlite", "endpoints": str(tmp_path / "site.db")}
