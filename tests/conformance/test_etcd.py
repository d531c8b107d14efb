"""The etcd engine holds the contract of the coordination service."""

from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import CoordinationConformance
from asyncbackends.testing.recipes import RecipesConformance
from tests.servers.running import Servers


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


class TestEtcd(CoordinationConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=namespace)


class TestEtcdRecipes(RecipesConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=namespace)
