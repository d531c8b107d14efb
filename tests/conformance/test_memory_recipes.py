"""The recipes hold their promises on the memory engine, also when it fails."""

from collections.abc import Generator
from uuid import uuid4

import pytest

from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from asyncbackends_memory import CoordinationFaults, coordination_faults


class TestMemoryRecipes(RecipesConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}


class TestMemoryRecipesFaults(RecipesFaultsConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}

    @pytest.fixture
    def faults(self, settings: dict[str, str]) -> Generator[CoordinationFaults]:
        faults = coordination_faults(settings["endpoints"])
        yield faults
        faults.clear()
