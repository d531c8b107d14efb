"""The fixtures of the tests of calls: a topic, a service with one server, and a client."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
import pytest_asyncio

from asyncbackends.errors import BackendError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import RpcClient
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import fresh_name
from asyncbackends.testing.rpc.sample import Service

__all__ = ("RpcFixtures",)


class RpcFixtures(BrokerFixtures):
    """Servers are on ``broker`` and clients on ``other``, unless a test says otherwise."""

    @pytest_asyncio.fixture
    async def topic(self, broker: MessageBroker) -> AsyncGenerator[str]:
        """Give a topic that nobody has; its exchanges are gone after the test."""
        topic = fresh_name("topic")
        yield topic
        for exchange in (topic, f"{topic}.fanout", f"{topic}.replies"):
            with suppress(BackendError):
                await broker.delete_exchange(exchange)

    @pytest.fixture
    def service(self, harness: Harness) -> Service:
        """Give the handlers of the server."""
        return Service(harness)

    @pytest_asyncio.fixture
    async def client(
        self, broker: MessageBroker, other: MessageBroker, topic: str, service: Service
    ) -> AsyncGenerator[RpcClient]:
        """Give a client of a topic that one server serves."""
        async with service.server(broker, topic), RpcClient(other, topic) as client:
            yield client
