"""All that a third party writes to hold its engine to the contract."""

import pytest

from asyncbackends.testing import ConfigDatabaseConformance


class TestSample(ConfigDatabaseConformance):
    engine = "sample"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "sample", "endpoints": "sample"}
