"""The zookeeper engine holds the contract of the coordination service."""

from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import CoordinationConformance
from tests.servers.running import Servers


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


class TestZooKeeper(CoordinationConformance):
    engine = "zookeeper"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("zookeeper").settings(namespace=namespace)
