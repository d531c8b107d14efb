"""Random operations on a coordination service: a dict gives the same answers."""

from uuid import uuid4

import hypothesis
import pytest

from asyncbackends.testing.coordination_machine import CoordinationAgreement

EXAMPLES = {"ci": 60, "soak": 1000}


@pytest.mark.timeout(600)
class TestMemoryAgreesWithADict(CoordinationAgreement):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"agreement-{uuid4()}"}

    @pytest.fixture
    def machine_settings(self, length: str) -> hypothesis.settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()
