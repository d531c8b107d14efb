"""The nats engine holds the contract of the message broker, also across faults."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing import (
    LinkFaults,
    MessageBrokerConformance,
    MessageBrokerFaultsConformance,
    RpcConformance,
    RpcOutagesConformance,
)
from asyncbackends.testing.message_broker.cancellation import BrokerCancellationConformance
from asyncbackends.testing.message_broker.concurrency import ConcurrencyConformance
from asyncbackends.testing.message_broker.fencing import FencingConformance
from asyncbackends.testing.message_broker.outages import OutagesConformance
from asyncbackends.testing.message_broker.reconnecting import ReconnectingConformance
from tests.servers.nats_faults import NatsFaults
from tests.servers.running import Servers


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def proxied(servers: Servers, namespace: str) -> Iterator[NatsFaults]:
    with NatsFaults(servers.get("nats"), namespace) as faults:
        yield faults


class TestNats(MessageBrokerConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace)


class TestNatsFaults(MessageBrokerFaultsConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: NatsFaults) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace, endpoints=proxied.endpoint)

    @pytest.fixture
    def link_faults(self, proxied: NatsFaults) -> LinkFaults:
        return proxied


class TestNatsOnUvloop(
    BrokerCancellationConformance,
    ConcurrencyConformance,
    ReconnectingConformance,
    OutagesConformance,
    FencingConformance,
):
    """What depends on the order in which a loop makes its calls."""

    engine = "nats"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: NatsFaults) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace, endpoints=proxied.endpoint)

    @pytest.fixture
    def link_faults(self, proxied: NatsFaults) -> LinkFaults:
        return proxied


class TestNatsRpc(RpcConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace)


class TestNatsRpcOutages(RpcOutagesConformance):
    engine = "nats"

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: NatsFaults) -> dict[str, Any]:
        return servers.get("nats").settings(namespace=namespace, endpoints=proxied.endpoint)

    @pytest.fixture
    def link_faults(self, proxied: NatsFaults) -> LinkFaults:
        return proxied
