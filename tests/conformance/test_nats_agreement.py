"""Random operations: the broker on NATS does what a model of exchanges and queues says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings

from asyncbackends.testing import LinkFaults
from asyncbackends.testing.message_broker_machine import MessageBrokerAgreement
from tests.servers.nats_faults import NatsFaults
from tests.servers.running import Servers

EXAMPLES = {"ci": 2, "soak": 100}


@pytest.mark.timeout(600)
class TestNatsBrokerAgreesWithTheModel(MessageBrokerAgreement):
    engine = "nats"

    @pytest.fixture
    def machine_settings(self, length: str) -> settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()

    @pytest.fixture
    def proxies(self) -> Iterator[dict[str, NatsFaults]]:
        with ExitStack() as stack:
            found: dict[str, NatsFaults] = {}
            self.stack = stack
            yield found

    @pytest.fixture
    def fresh_settings(
        self, servers: Servers, proxies: dict[str, NatsFaults]
    ) -> Callable[[], Mapping[str, str]]:
        def fresh() -> Mapping[str, str]:
            # The proxy of the example before is not needed any more.
            self.stack.close()
            namespace = f"t{uuid4().hex[:12]}"
            faults = self.stack.enter_context(NatsFaults(servers.get("nats"), namespace))
            proxies[namespace] = faults
            made = servers.get("nats").settings(namespace=namespace, endpoints=faults.endpoint)
            return {**made}

        return fresh

    @pytest.fixture
    def fresh_faults(
        self, proxies: dict[str, NatsFaults]
    ) -> Callable[[Mapping[str, Any]], LinkFaults]:
        return lambda settings: proxies[settings["namespace"]]
