"""The zookeeper engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.fixtures import SessionFaults
from asyncbackends.testing.coordination.guarantees import CoordinationGuaranteesConformance
from asyncbackends.testing.coordination.lifecycle import CoordinationLifecycleConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.watch_histories import WatchHistoriesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.servers.running import Servers
from tests.servers.zookeeper_faults import ZooKeeperFaults


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def proxied(servers: Servers) -> Iterator[ZooKeeperFaults]:
    with ZooKeeperFaults(servers.get("zookeeper")) as faults:
        yield faults


class TestZooKeeper(CoordinationConformance):
    engine = "zookeeper"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("zookeeper").settings(namespace=namespace)


class TestZooKeeperFaults(CoordinationFaultsConformance):
    engine = "zookeeper"

    @pytest.fixture
    def settings(
        self, servers: Servers, namespace: str, proxied: ZooKeeperFaults
    ) -> dict[str, Any]:
        return servers.get("zookeeper").settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=0.05
        )

    @pytest.fixture
    def faults(self, proxied: ZooKeeperFaults) -> SessionFaults:
        return proxied


class TestZooKeeperOnUvloop(
    CoordinationCancellingConformance,
    CoordinationGuaranteesConformance,
    CoordinationLifecycleConformance,
    WatchHistoriesConformance,
    LostLinksConformance,
):
    """What depends on the order in which a loop makes its calls."""

    engine = "zookeeper"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(
        self, servers: Servers, namespace: str, proxied: ZooKeeperFaults
    ) -> dict[str, Any]:
        return servers.get("zookeeper").settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=0.05
        )

    @pytest.fixture
    def faults(self, proxied: ZooKeeperFaults) -> SessionFaults:
        return proxied


class TestZooKeeperRecipes(RecipesConformance):
    engine = "zookeeper"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("zookeeper").settings(namespace=namespace)


class TestZooKeeperRecipesFaults(RecipesFaultsConformance):
    engine = "zookeeper"

    @pytest.fixture
    def settings(
        self, servers: Servers, namespace: str, proxied: ZooKeeperFaults
    ) -> dict[str, Any]:
        return servers.get("zookeeper").settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=0.05
        )

    @pytest.fixture
    def faults(self, proxied: ZooKeeperFaults) -> SessionFaults:
        return proxied
