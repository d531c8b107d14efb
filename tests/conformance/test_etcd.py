"""The etcd engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.contending import ContendingConformance
from asyncbackends.testing.coordination.guarantees import CoordinationGuaranteesConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.watch_beginnings import WatchBeginningsConformance
from asyncbackends.testing.coordination.watch_histories import WatchHistoriesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.conformance.served import BehindAProxy, OnAnEnsemble, OnAServer, namespace
from tests.servers.ensembles import EtcdCluster
from tests.servers.etcd import Etcd
from tests.servers.etcd_faults import EtcdFaults
from tests.servers.running import Servers, product_of

__all__ = ("namespace",)


@pytest.fixture
def proxied(servers: Servers) -> Iterator[EtcdFaults]:
    with EtcdFaults(servers.get("etcd")) as faults:
        yield faults


class TestEtcd(OnAServer, CoordinationConformance):
    engine = "etcd"


class TestEtcdFaults(BehindAProxy, CoordinationFaultsConformance):
    engine = "etcd"
    reconnect_max = 0.1


class TestEtcdOnUvloop(
    BehindAProxy, CoordinationCancellingConformance, WatchHistoriesConformance, LostLinksConformance
):
    """What depends on the order in which a loop makes its calls."""

    engine = "etcd"
    event_loop = "uvloop"
    reconnect_max = 0.1


class TestEtcdRecipes(OnAServer, RecipesConformance):
    engine = "etcd"


class TestEtcdRecipesFaults(BehindAProxy, RecipesFaultsConformance):
    engine = "etcd"
    reconnect_max = 0.1


@pytest.fixture(scope="module")
def ensemble(servers: Servers, pytestconfig: pytest.Config) -> Iterator[EtcdCluster]:
    product = product_of("etcd", newest=pytestconfig.getoption("--servers") == "newest")
    assert issubclass(product, Etcd)
    with EtcdCluster(product, parent=servers.folder, durable=False) as found:
        yield found


class TestEtcdCluster(
    OnAnEnsemble,
    ContendingConformance,
    CoordinationGuaranteesConformance,
    WatchBeginningsConformance,
    WatchHistoriesConformance,
):
    """Of three servers two may be behind."""

    engine = "etcd"
