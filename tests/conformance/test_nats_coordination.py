"""The nats engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.lost_replies import LostRepliesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.servers.nats_session_faults import NatsSessionFaults
from tests.servers.running import Servers


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def proxy(servers: Servers, namespace: str) -> Iterator[NatsSessionFaults]:
    with NatsSessionFaults(servers.get("nats"), namespace) as faults:
        yield faults


@pytest.fixture
def proxied(servers: Servers, namespace: str, proxy: NatsSessionFaults) -> dict[str, Any]:
    server = servers.get("nats")
    return server.settings(namespace=namespace, endpoints=proxy.endpoint, reconnect_max=0.05)


class TestNatsCoordination(CoordinationConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace)


class TestNatsCoordinationFaults(CoordinationFaultsConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, proxied: dict[str, Any]) -> dict[str, Any]:
        return proxied

    @pytest.fixture
    def faults(self, proxy: NatsSessionFaults) -> NatsSessionFaults:
        return proxy


class TestNatsCoordinationOnUvloop(
    CoordinationCancellingConformance, LostLinksConformance, LostRepliesConformance
):
    """What depends on the order in which a loop makes its calls."""

    engine = "nats"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self, proxied: dict[str, Any]) -> dict[str, Any]:
        return proxied

    @pytest.fixture
    def faults(self, proxy: NatsSessionFaults) -> NatsSessionFaults:
        return proxy


class TestNatsRecipes(RecipesConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace)


class TestNatsRecipesFaults(RecipesFaultsConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, proxied: dict[str, Any]) -> dict[str, Any]:
        return proxied

    @pytest.fixture
    def faults(self, proxy: NatsSessionFaults) -> NatsSessionFaults:
        return proxy
