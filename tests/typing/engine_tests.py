"""What somebody with an engine of their own writes, as type checkers read it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_type

import pytest

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing import AsyncioHarness, ConfigDatabaseConformance, Harness
from asyncbackends.testing.machine import ConfigDatabaseAgreement


class TestMongo(ConfigDatabaseConformance):
    engine = "mongo"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        return {"engine": "mongo", "endpoints": str(tmp_path)}

    @pytest.fixture
    def harness(self) -> Harness:
        return AsyncioHarness(patience=30)

    async def test_of_their_own(self, database: ConfigDatabase, harness: Harness) -> None:
        counts = await harness.gather(database.object_list("tag", count=True))
        assert_type(counts, list[int])


class TestMongoAgrees(ConfigDatabaseAgreement):
    engine = "mongo"
    examples = 100

    @pytest.fixture
    def fresh_settings(self) -> Callable[[], Mapping[str, Any]]:
        return lambda: {"engine": "mongo"}
