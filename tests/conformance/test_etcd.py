"""The etcd engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.watch_histories import WatchHistoriesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.servers.etcd_faults import EtcdFaults
from tests.servers.running import Servers


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def proxied(servers: Servers) -> Iterator[EtcdFaults]:
    with EtcdFaults(servers.get("etcd")) as faults:
        yield faults


class TestEtcd(CoordinationConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=namespace)


class TestEtcdFaults(CoordinationFaultsConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: EtcdFaults) -> dict[str, Any]:
        return servers.get("etcd").settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=0.1
        )

    @pytest.fixture
    def faults(self, proxied: EtcdFaults) -> EtcdFaults:
        return proxied


class TestEtcdOnUvloop(CoordinationCancellingConformance, WatchHistoriesConformance):
    """What depends on the order in which a loop makes its calls."""

    engine = "etcd"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=namespace)


class TestEtcdRecipes(RecipesConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("etcd").settings(namespace=namespace)


class TestEtcdRecipesFaults(RecipesFaultsConformance):
    engine = "etcd"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: EtcdFaults) -> dict[str, Any]:
        return servers.get("etcd").settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=0.1
        )

    @pytest.fixture
    def faults(self, proxied: EtcdFaults) -> EtcdFaults:
        return proxied
