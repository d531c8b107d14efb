"""The memory engine holds the contract of the coordination service, also when it fails."""

from collections.abc import Generator
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends_memory import CoordinationFaults, coordination_faults


class TestMemoryCoordination(CoordinationConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}


class TestMemoryCoordinationFaults(CoordinationFaultsConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}

    @pytest.fixture
    def faults(self, settings: dict[str, str]) -> Generator[CoordinationFaults]:
        faults = coordination_faults(settings["endpoints"])
        yield faults
        faults.clear()
