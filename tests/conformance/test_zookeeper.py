"""The zookeeper engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.contending import ContendingConformance
from asyncbackends.testing.coordination.guarantees import CoordinationGuaranteesConformance
from asyncbackends.testing.coordination.lifecycle import CoordinationLifecycleConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.watch_histories import WatchHistoriesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.conformance.served import BehindAProxy, OnAnEnsemble, OnAServer, namespace
from tests.servers.ensembles import ZooKeeperEnsemble
from tests.servers.running import Servers, product_of
from tests.servers.zookeeper import ZooKeeper
from tests.servers.zookeeper_faults import ZooKeeperFaults

__all__ = ("namespace",)


@pytest.fixture
def proxied(servers: Servers) -> Iterator[ZooKeeperFaults]:
    with ZooKeeperFaults(servers.get("zookeeper")) as faults:
        yield faults


class TestZooKeeper(OnAServer, CoordinationConformance):
    engine = "zookeeper"


class TestZooKeeperFaults(BehindAProxy, CoordinationFaultsConformance):
    engine = "zookeeper"


class TestZooKeeperOnUvloop(
    BehindAProxy,
    CoordinationCancellingConformance,
    CoordinationGuaranteesConformance,
    CoordinationLifecycleConformance,
    WatchHistoriesConformance,
    LostLinksConformance,
):
    """What depends on the order in which a loop makes its calls."""

    engine = "zookeeper"
    event_loop = "uvloop"


class TestZooKeeperRecipes(OnAServer, RecipesConformance):
    engine = "zookeeper"


class TestZooKeeperRecipesFaults(BehindAProxy, RecipesFaultsConformance):
    engine = "zookeeper"


@pytest.fixture(scope="module")
def ensemble(servers: Servers, pytestconfig: pytest.Config) -> Iterator[ZooKeeperEnsemble]:
    product = product_of("zookeeper", newest=pytestconfig.getoption("--servers") == "newest")
    assert issubclass(product, ZooKeeper)
    with ZooKeeperEnsemble(product, parent=servers.folder, durable=False) as found:
        yield found


class TestZooKeeperEnsemble(
    OnAnEnsemble,
    ContendingConformance,
    CoordinationGuaranteesConformance,
    WatchHistoriesConformance,
):
    """Of three servers two may be behind."""

    engine = "zookeeper"
