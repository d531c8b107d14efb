"""The memory engine holds the contract."""

from uuid import uuid4

import pytest

from asyncbackends.testing import ConfigDatabaseConformance


class TestMemory(ConfigDatabaseConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}
