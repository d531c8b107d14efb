"""Random operations on ZooKeeper: a dict gives the same answers."""

from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from asyncbackends.testing.coordination_machine import CoordinationAgreement
from tests.servers.running import Servers

EXAMPLES = {"ci": 40, "soak": 150}


@pytest.mark.timeout(600)
class TestZooKeeperAgreesWithADict(CoordinationAgreement):
    engine = "zookeeper"

    @pytest.fixture
    def settings(self, servers: Servers) -> dict[str, Any]:
        return servers.get("zookeeper").settings(namespace=f"t{uuid4().hex[:12]}")

    @pytest.fixture
    def machine_settings(self, length: str) -> hypothesis.settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()
