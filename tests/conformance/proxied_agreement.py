"""The machine of brokers on a real one: each example has a proxy and a namespace of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import settings

from asyncbackends.testing import LinkFaults
from asyncbackends.testing.message_broker_machine import MessageBrokerAgreement
from tests.servers.amqp_faults import AmqpFaults
from tests.servers.nats_faults import NatsFaults
from tests.servers.running import Servers

__all__ = ("ProxiedBrokerAgreement",)


class ProxiedBrokerAgreement(MessageBrokerAgreement):
    """A class per engine says which proxy, and how many examples at which length."""

    engine: ClassVar[str]
    proxy: ClassVar[type[AmqpFaults] | type[NatsFaults]]
    lengths: ClassVar[Mapping[str, int]]

    @pytest.fixture
    def machine_settings(self, length: str) -> settings:
        self.examples = self.lengths[length]
        self.derandomize = length == "ci"
        return self.as_settings()

    @pytest.fixture
    def proxies(self) -> Iterator[dict[str, LinkFaults]]:
        with ExitStack() as stack:
            found: dict[str, LinkFaults] = {}
            self.stack = stack
            yield found

    @pytest.fixture
    def fresh_settings(
        self, servers: Servers, proxies: dict[str, LinkFaults]
    ) -> Callable[[], Mapping[str, str]]:
        server: Any = servers.get(self.engine)

        def fresh() -> Mapping[str, str]:
            # The proxy of the example before is not needed any more.
            self.stack.close()
            namespace = f"t{uuid4().hex[:12]}"
            faults: AmqpFaults | NatsFaults = self.proxy(server, namespace)
            self.stack.enter_context(faults)
            proxies[namespace] = faults
            return {**server.settings(namespace=namespace, endpoints=faults.endpoint)}

        return fresh

    @pytest.fixture
    def fresh_faults(
        self, proxies: dict[str, LinkFaults]
    ) -> Callable[[Mapping[str, Any]], LinkFaults]:
        return lambda settings: proxies[settings["namespace"]]
