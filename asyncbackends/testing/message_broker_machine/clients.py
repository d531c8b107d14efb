"""A publisher and a consumer of the broker under test, in a loop of their own."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import (
    AlreadySettledError,
    BackendError,
    DeliveryGapError,
    OperationTimeoutError,
    StaleDeliveryError,
)
from asyncbackends.opening import open_message_broker
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import cut

__all__ = ("Clients", "Held", "Reader")

SHORT = 0.004
"""Seconds in which nothing is to come."""


class Held:
    """A delivery in hand."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.stale = False
        self.settled = False

    @property
    def is_open(self) -> bool:
        """Whether it may still be settled."""
        return not self.stale and not self.settled


class Reader:
    """A subscription, and what was handed out by it."""

    def __init__(
        self,
        queue: str,
        prefetch: int,
        block: AbstractAsyncContextManager[Subscription],
        feed: Subscription,
    ) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.block = block
        self.feed = feed
        self.held: list[Held] = []
        self.last_first = -1
        """The number of the last message that was delivered for the first time."""

    def room(self) -> int:
        """Give how many more it takes."""
        return self.prefetch - sum(one.is_open for one in self.held)


class Clients:
    """Two clients of one broker: one publishes, the other consumes."""

    def __init__(
        self, settings: Mapping[str, Any], faults: LinkFaults | None, patience: float
    ) -> None:
        self.faults = faults
        self.harness = AsyncioHarness(patience)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        try:
            self.publisher, self.consumer = self.run(self._open(settings))
        except BaseException:
            self._runner.close()
            raise

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._runner.run(call)

    async def _open(self, settings: Mapping[str, Any]) -> tuple[MessageBroker, MessageBroker]:
        opened: list[MessageBroker] = []
        async with AsyncExitStack() as stack:
            for _ in range(2):
                arguments: dict[str, Any] = {**settings}
                opened.append(await stack.enter_async_context(open_message_broker(**arguments)))
            self._stack = stack.pop_all()
        return opened[0], opened[1]

    def close(self) -> None:
        """Close both, and the loop."""
        try:
            if self.faults is not None:
                self.faults.clear()
            self.run(self._stack.aclose())
        finally:
            self._runner.close()

    async def error_of(self, call: Coroutine[Any, Any, object]) -> BackendError | None:
        """Give the error in which a call ends."""
        try:
            await call
        except BackendError as error:
            return error
        return None

    async def subscribe(self, exchange: str, queue: str, prefetch: int) -> Reader:
        """Begin to consume."""
        options = SubscribeOptions(prefetch=prefetch)
        block = self.consumer.subscribe(exchange, queue, options=options)
        return Reader(queue, prefetch, block, await block.__aenter__())

    async def leave(self, reader: Reader) -> None:
        """End a subscription; what it held is stale."""
        await reader.block.__aexit__(None, None, None)
        for one in reader.held:
            one.stale = True

    async def next(self, reader: Reader, *, surely: bool) -> Delivery | None:
        """Give the next delivery of a subscription; None if none comes."""
        seconds = self.harness.patience if surely else SHORT
        try:
            return await reader.feed.get(seconds)
        except OperationTimeoutError:
            return None

    async def answer(self, one: Held, word: str) -> None:
        """Settle a delivery, or have the answer refused that it deserves."""
        delivery = one.delivery
        try:
            match word:
                case "ack":
                    await delivery.ack()
                case "nack":
                    await delivery.nack()
                case _:
                    await delivery.reject(word)
        except AlreadySettledError:
            assert one.settled, f"{delivery!r} was never settled"
        except StaleDeliveryError:
            assert one.stale, f"the link of {delivery!r} is there"
        else:
            assert not one.settled, f"{delivery!r} was settled before"
            assert not one.stale, f"the link of {delivery!r} is gone"
            one.settled = True
        # A dead letter is stored, then acked.
        await self.consumer.flush()
        await self.harness.sleep(0.001)

    async def cut_consuming(self) -> None:
        """Break the consumer's link, and wait for the next one."""
        assert self.faults is not None
        await cut(self.consumer, self.harness, self.faults.drop_consuming)

    async def gap(self, reader: Reader) -> None:
        """Wait until a subscription tells of its gap."""
        for one in reader.held:
            one.stale = True
        reader.held.clear()
        try:
            async with self.harness.deadline(self.harness.patience):
                while True:
                    # What comes had come before its queue was seen to be gone.
                    await reader.feed.get(self.harness.patience)
        except DeliveryGapError:
            return
        except TimeoutError:
            raise AssertionError(f"{reader.queue} was deleted, and no gap is told") from None
