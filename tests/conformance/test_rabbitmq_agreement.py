"""Random operations: the broker on RabbitMQ does what a model of exchanges and queues says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings

from asyncbackends.testing import LinkFaults
from asyncbackends.testing.message_broker_machine import MessageBrokerAgreement
from tests.servers.amqp_faults import AmqpFaults
from tests.servers.running import Servers


class ConsumingFaults(AmqpFaults):
    """Breaks links for consuming alone.

    A message that is sent again is stored twice by a broker that knows no ids, where the model has
    one that is in hand or dead.
    """

    def drop_publishing(self) -> None:
        pass

    def mute_publishing(self) -> None:
        pass

    def hold_confirms(self) -> None:
        pass


EXAMPLES = {"ci": 5, "soak": 200}


@pytest.mark.timeout(600)
class TestRabbitMqBrokerAgreesWithTheModel(MessageBrokerAgreement):
    engine = "rabbitmq"

    @pytest.fixture
    def machine_settings(self, length: str) -> settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()

    @pytest.fixture
    def proxies(self) -> Iterator[dict[str, ConsumingFaults]]:
        with ExitStack() as stack:
            found: dict[str, ConsumingFaults] = {}
            self.stack = stack
            yield found

    @pytest.fixture
    def fresh_settings(
        self, servers: Servers, proxies: dict[str, ConsumingFaults]
    ) -> Callable[[], Mapping[str, str]]:
        def fresh() -> Mapping[str, str]:
            # The proxy of the example before is not needed any more.
            self.stack.close()
            namespace = f"t{uuid4().hex[:12]}"
            faults = self.stack.enter_context(ConsumingFaults(servers.get("rabbitmq"), namespace))
            proxies[namespace] = faults
            made = servers.get("rabbitmq").settings(namespace=namespace, endpoints=faults.endpoint)
            return {**made}

        return fresh

    @pytest.fixture
    def fresh_faults(
        self, proxies: dict[str, ConsumingFaults]
    ) -> Callable[[Mapping[str, Any]], LinkFaults]:
        return lambda settings: proxies[settings["namespace"]]
