"""How one subscription consumes: its bounds, its waits, its ends."""

import pytest

from asyncbackends.errors import BackendClosedError, OperationTimeoutError, StaleDeliveryError
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import (
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("ConsumingConformance",)


class ConsumingConformance(BrokerFixtures):
    """``Subscription`` and ``SubscribeOptions``."""

    async def test_prefetch_bounds_what_is_unsettled(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        options = SubscribeOptions(prefetch=3)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            await publish_numbers(broker, exchange, range(6))
            held = await harness.collect(aiter(feed), 3)
            await nothing_comes(feed)
            await held[1].ack()
            held += await harness.collect(aiter(feed), 1)
            await nothing_comes(feed)
            assert numbers_of(held) == [0, 1, 2, 3]
            for delivery in (held[0], held[2], held[3]):
                await delivery.ack()
            assert numbers_of(await take(feed, 2, harness)) == [4, 5]

    async def test_rest_waits_at_the_broker(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """For whoever has time."""
        options = SubscribeOptions(prefetch=2)
        async with broker.subscribe(exchange, queue, options=options) as busy:
            await publish_numbers(broker, exchange, range(10))
            assert numbers_of(await harness.collect(aiter(busy), 2)) == [0, 1]
            async with other.subscribe(exchange, queue) as idle:
                assert numbers_of(await take(idle, 8, harness)) == [*range(2, 10)]

    async def test_nack_makes_room(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        options = SubscribeOptions(prefetch=1)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            await publish_numbers(broker, exchange, range(2))
            for _ in range(6):
                (delivery,) = await harness.collect(aiter(feed), 1)
                await delivery.nack()
            assert sorted(numbers_of(await take(feed, 2, harness))) == [0, 1]

    async def test_get_waits_for_a_message(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            async with harness.background(feed.get(10)) as getting:
                await harness.sleep(0.02)
                await publish_numbers(broker, exchange, [1])
                delivery = await getting.result()
            assert delivery["n"] == 1
            await delivery.ack()

    async def test_get_gives_up(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            began = harness.now()
            with pytest.raises(OperationTimeoutError):
                await feed.get(0.1)
            assert 0.09 < (harness.now() - began).total_seconds() < 5
            await publish_numbers(broker, exchange, [1])
            delivery = await feed.get(5)
            assert delivery["n"] == 1

    async def test_tasks_share_one_subscription(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        taken: list[int] = []

        async def work(feed: Subscription) -> None:
            async for delivery in feed:
                taken.append(delivery["n"])
                await harness.sleep(0)
                await delivery.ack()

        async def all_taken() -> bool:
            return len(taken) >= 50

        async with (
            broker.subscribe(exchange) as feed,
            harness.background(work(feed)),
            harness.background(work(feed)),
            harness.background(work(feed)),
        ):
            await publish_numbers(broker, exchange, range(50))
            assert await harness.eventually(all_taken)
            await harness.sleep(0.02)
        assert sorted(taken) == [*range(50)]

    async def test_iteration_is_over_with_the_block(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(3))
            await take(feed, 1, harness)
        for _ in range(2):
            with pytest.raises(BackendClosedError):
                await anext(aiter(feed))
            with pytest.raises(BackendClosedError):
                await feed.get(1)

    async def test_waiting_ends_with_the_block(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            waiting = harness.background(harness.outcomes(feed.get(60), feed.get(60)))
            running = await waiting.__aenter__()
            await harness.sleep(0.01)
        async with harness.deadline(5):
            outcomes = await running.result()
        await waiting.__aexit__(None, None, None)
        assert [type(error) for _, error in outcomes] == [BackendClosedError] * 2

    async def test_two_subscriptions_of_one_client_compete(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        one = SubscribeOptions(prefetch=1)
        async with (
            broker.subscribe(exchange, queue, options=one) as first,
            broker.subscribe(exchange, queue, options=one) as second,
        ):
            await publish_numbers(broker, exchange, range(2))
            held = [
                (await harness.collect(aiter(first), 1))[0],
                (await harness.collect(aiter(second), 1))[0],
            ]
            assert sorted(numbers_of(held)) == [0, 1]

    async def test_error_in_the_block_ends_the_subscription(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        with pytest.raises(RuntimeError, match="on purpose"):
            async with broker.subscribe(exchange, queue) as feed:
                await publish_numbers(broker, exchange, [1])
                await harness.collect(aiter(feed), 1)
                raise RuntimeError("on purpose")
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_processing_has_a_limit(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        options = SubscribeOptions(max_processing=0.2)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            await publish_numbers(broker, exchange, range(2))
            slow, fast = await harness.collect(aiter(feed), 2)
            await fast.ack()
            (again,) = await harness.collect(aiter(feed), 1)
            assert again["n"] == 0
            assert again.redelivered
            with pytest.raises(StaleDeliveryError):
                await slow.ack()
            async with slow.process():
                pass
            await again.ack()
            await nothing_comes(feed, 0.4)

    async def test_processing_may_take_long_otherwise(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Longer than ``ack_wait``: the engine keeps the delivery alive."""
        options = SubscribeOptions(ack_wait=1)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            await nothing_comes(feed, 2.2)
            await delivery.ack()
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)

    async def test_dedupe_window(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """An id that was acked is not delivered again; one that was not acked is."""
        options = SubscribeOptions(dedupe_window=60)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            for number in (1, 2):
                await broker.publish({"n": number}, exchange=exchange, message_id=f"m{number}")
            first, second = await harness.collect(aiter(feed), 2)
            await first.ack()
            await second.nack()
            for number in (1, 3):
                await broker.publish({"n": number}, exchange=exchange, message_id=f"m{number}")
            assert sorted(numbers_of(await take(feed, 2, harness))) == [2, 3]
            await nothing_comes(feed, 0.05)
        # It was acked, not held back.
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)
