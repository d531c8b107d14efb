"""The core of coordination over a wire holds the contract, also across faults."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.fixtures import SessionFaults
from asyncbackends.testing.recipes import RecipesConformance
from tests.unit.tree_wire import server_of


@pytest.fixture
def name() -> str:
    return f"tree-{uuid4().hex}"


class TestWireCoordination(CoordinationConformance):
    @pytest.fixture
    def settings(self, name: str) -> dict[str, Any]:
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": name, "reconnect_max": 0.05}


class TestWireCoordinationFaults(CoordinationFaultsConformance):
    @pytest.fixture
    def settings(self, name: str) -> dict[str, Any]:
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": name, "reconnect_max": 0.05}

    @pytest.fixture
    def faults(self, name: str) -> Iterator[SessionFaults]:
        yield server_of(name)
        server_of(name).clear()


class TestRecipesOverAWire(RecipesConformance):
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        endpoint = f"tree-{uuid4().hex}"
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": endpoint}
