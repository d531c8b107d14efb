"""Random operations on etcd: a dict gives the same answers."""

from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from asyncbackends.testing.coordination_machine import CoordinationAgreement
from tests.servers.running import Servers

EXAMPLES = {"ci": 40, "soak": 400}


@pytest.mark.timeout(600)
class TestEtcdAgreesWithADict(CoordinationAgreement):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=f"t{uuid4().hex[:12]}")

    @pytest.fixture
    def machine_settings(self, length: str) -> hypothesis.settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()
