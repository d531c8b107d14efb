"""The fixtures that every class of the kit builds on."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest
import pytest_asyncio

from asyncbackends.errors import BackendError, NotSupportedError
from asyncbackends.opening import open_message_broker
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.testing.harness import AsyncioHarness, Harness
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import fresh_name

__all__ = (
    "BrokerFaultFixtures",
    "BrokerFixtures",
    "MakeBroker",
    "MakeExchange",
    "MakeLimited",
    "OpenBroker",
)

OpenBroker = Callable[..., AbstractAsyncContextManager[MessageBroker]]
"""Takes options over those of ``settings``."""

MakeBroker = Callable[..., MessageBroker]
"""The same, and gives the broker unconnected."""

MakeExchange = Callable[..., Awaitable[str]]
"""Takes what ``create_exchange`` takes beside the name, which it gives."""


MakeLimited = Callable[[QueueOptions], Awaitable[bool]]
"""Takes the options of the queue of the test."""


@pytest.mark.asyncio
class BrokerFixtures:
    """What a class of the kit opens, and how; ``settings`` is the only one to be overridden.

    Over synchronous twins ``harness``, ``open_broker`` and ``make_broker`` are, too.
    """

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """Keyword arguments of ``open_message_broker``; what the broker holds already stays."""
        message = "override the fixture `settings`: keyword arguments of open_message_broker"
        raise NotImplementedError(message)

    @pytest.fixture
    def harness(self) -> Harness:
        """Give what the tests use for time and concurrency."""
        return AsyncioHarness()

    @pytest.fixture
    def open_broker(self, settings: Mapping[str, Any]) -> OpenBroker:
        """Open the broker; every time another client of it."""

        def opened(**options: Any) -> AbstractAsyncContextManager[MessageBroker]:
            merged: dict[str, Any] = {**settings, **options}
            return open_message_broker(**merged)

        return opened

    @pytest.fixture
    def make_broker(self, settings: Mapping[str, Any]) -> MakeBroker:
        """Make a client that is not connected."""

        def made(**options: Any) -> MessageBroker:
            merged: dict[str, Any] = {**settings, **options}
            broker: MessageBroker = open_message_broker(**merged).resolved.backend()
            return broker

        return made

    @pytest_asyncio.fixture
    async def broker(self, open_broker: OpenBroker) -> AsyncGenerator[MessageBroker]:
        """Give an open client."""
        async with open_broker() as broker:
            yield broker

    @pytest_asyncio.fixture
    async def other(
        self,
        broker: MessageBroker,  # it is closed after this one
        open_broker: OpenBroker,
    ) -> AsyncGenerator[MessageBroker]:
        """Give a second client of the same broker."""
        async with open_broker() as other:
            yield other

    @pytest_asyncio.fixture
    async def make_exchange(self, broker: MessageBroker) -> AsyncGenerator[MakeExchange]:
        """Give what makes an exchange with a fresh name; they are gone after the test."""
        names: list[str] = []

        async def make_exchange(word: str = "exchange", **properties: Any) -> str:
            names.append(fresh_name(word))
            await broker.create_exchange(names[-1], **properties)
            return names[-1]

        yield make_exchange
        for name in names:
            with suppress(BackendError):
                await broker.delete_exchange(name)

    @pytest_asyncio.fixture
    async def exchange(self, make_exchange: MakeExchange) -> str:
        """Give the name of an exchange without queues."""
        return await make_exchange()

    @pytest.fixture
    def queue(self) -> str:
        """Give the name of a queue that is not there yet."""
        return fresh_name("queue")

    @pytest.fixture
    def limited(self, broker: MessageBroker, exchange: str, queue: str) -> MakeLimited:
        """Give what makes the queue; False: the engine has refused a length, as it declares."""

        async def limited(options: QueueOptions) -> bool:
            if Guarantee.BOUNDED_QUEUES in broker.guarantees:
                await broker.create_queue(exchange, queue, options=options)
                return True
            with pytest.raises(NotSupportedError) as refusal:
                await broker.create_queue(exchange, queue, options=options)
            assert refusal.value.feature == "max_length"
            # It was not made: other options are not in conflict.
            await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=5))
            return False

        return limited


class BrokerFaultFixtures(BrokerFixtures):
    """The same for an engine whose suite can break links: it overrides ``link_faults``, too."""

    @pytest.fixture
    def link_faults(self) -> LinkFaults:
        """Give the hand that breaks what is between the clients and the broker."""
        message = "override the fixture `link_faults`: see LinkFaults"
        raise NotImplementedError(message)

    @pytest.fixture
    def faults(
        self,
        exchange: str,  # it is deleted when the faults have ended
        link_faults: LinkFaults,
    ) -> Generator[LinkFaults]:
        """Give the faults, which end with the test."""
        yield link_faults
        link_faults.clear()
