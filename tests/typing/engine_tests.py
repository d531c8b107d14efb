"""What somebody with an engine of their own writes, as type checkers read it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_type

import pytest

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.testing import (
    AsyncioHarness,
    ConfigDatabaseConformance,
    CoordinationConformance,
    CoordinationFaultsConformance,
    Harness,
    RecipesConformance,
    SessionFaults,
)
from asyncbackends.testing.coordination_machine import CoordinationAgreement
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


class TestConsul(CoordinationConformance, RecipesConformance):
    engine = "consul"

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {"engine": "consul", "endpoints": "localhost:8500"}

    async def test_of_their_own(self, coordination: DistributedCoordinationService) -> None:
        assert_type(await coordination.read_node("/a"), bytes)


class TestConsulFaults(CoordinationFaultsConformance):
    engine = "consul"

    @pytest.fixture
    def faults(self, settings: Mapping[str, Any]) -> SessionFaults:
        raise NotImplementedError(settings)


class TestConsulAgrees(CoordinationAgreement):
    engine = "consul"
    examples = 100

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {"engine": "consul"}
