"""The rabbitmq engine holds the contract of the message broker, also across faults."""

from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing import (
    LinkFaults,
    MessageBrokerConformance,
    MessageBrokerFaultsConformance,
)
from asyncbackends.testing.message_broker.cancellation import BrokerCancellationConformance
from asyncbackends.testing.message_broker.concurrency import ConcurrencyConformance
from asyncbackends.testing.message_broker.fencing import FencingConformance
from asyncbackends.testing.message_broker.outages import OutagesConformance
from asyncbackends.testing.message_broker.reconnecting import ReconnectingConformance
from asyncbackends.testing.rpc import RpcConformance, RpcOutagesConformance
from tests.servers.amqp_faults import AmqpFaults
from tests.servers.running import Servers


class RabbitMqSettings:
    """Every test has a namespace of its own."""

    engine = "rabbitmq"

    @pytest.fixture
    def settings(self, servers: Servers) -> dict[str, Any]:
        return servers.get("rabbitmq").settings(namespace=f"k{uuid4().hex[:12]}")


class BehindTheProxy:
    """What a proxy that breaks links stands in front of."""

    engine = "rabbitmq"

    @pytest.fixture
    def namespace(self) -> str:
        return f"k{uuid4().hex[:12]}"

    @pytest.fixture
    def link_faults(self, servers: Servers, namespace: str) -> Generator[LinkFaults]:
        with AmqpFaults(servers.get("rabbitmq"), namespace) as faults:
            yield faults

    @pytest.fixture
    def settings(self, servers: Servers, link_faults: AmqpFaults, namespace: str) -> dict[str, Any]:
        return servers.get("rabbitmq").settings(
            endpoints=link_faults.endpoint,
            namespace=namespace,
            # The kit cuts links faster than they come back else.
            reconnect_max=0.1,
        )


class TestRabbitMq(RabbitMqSettings, MessageBrokerConformance):
    pass


class TestRabbitMqFaults(BehindTheProxy, MessageBrokerFaultsConformance):
    pass


class TestRabbitMqOnUvloop(
    BehindTheProxy,
    BrokerCancellationConformance,
    ConcurrencyConformance,
    ReconnectingConformance,
    OutagesConformance,
    FencingConformance,
):
    """What depends on the order in which a loop makes its calls."""

    event_loop = "uvloop"


class TestRabbitMqRpc(RabbitMqSettings, RpcConformance):
    pass


class TestRabbitMqRpcOutages(BehindTheProxy, RpcOutagesConformance):
    pass
