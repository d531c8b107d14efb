"""Where messages may have been missed, a subscription says so before it goes on."""

import pytest

from asyncbackends.errors import DeliveryGapError
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    gap_of,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("GapsConformance",)


class GapsConformance(BrokerFixtures):
    """A queue that is deleted under its subscriptions, by another client."""

    async def test_gap_is_told_before_the_next_delivery(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        story: list[object] = []

        async def on_gap(gap: Gap) -> None:
            story.append("begins")
            await harness.sleep(0.05)
            story.append(gap.reason)

        async def follow(feed: Subscription) -> None:
            async for delivery in feed:
                story.append(delivery["n"])
                await delivery.ack()

        async with (
            broker.subscribe(exchange, queue, on_gap=on_gap) as feed,
            harness.background(follow(feed)),
        ):
            await publish_numbers(other, exchange, [1])
            assert await harness.eventually(as_condition(lambda: story == [1]))
            await other.delete_queue(queue)
            assert await harness.eventually(as_condition(lambda: feed.gaps == 1))
            await publish_numbers(other, exchange, [2, 3])
            assert await harness.eventually(as_condition(lambda: 3 in story))
            assert story == [1, "begins", "recreated", 2, 3]
            assert feed.gaps == 1

    async def test_gap_is_an_error_once_without_on_gap(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(other, exchange, [1])
            await take(feed, 1, harness)
            await other.delete_queue(queue)
            assert (await gap_of(feed, harness)).reason == "recreated"
            await publish_numbers(other, exchange, [2, 3])
            assert numbers_of(await take(feed, 2, harness)) == [2, 3]
            assert feed.gaps == 1
            await nothing_comes(feed, 0.05)

    async def test_gap_is_told_to_get(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await other.delete_queue(queue)
            with pytest.raises(DeliveryGapError):
                await feed.get(10)
            await publish_numbers(other, exchange, [1])
            delivery = await feed.get(10)
            assert delivery["n"] == 1

    async def test_every_gap_is_told(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        told: list[str] = []

        async def on_gap(gap: Gap) -> None:
            told.append(gap.reason)

        async with broker.subscribe(exchange, queue, on_gap=on_gap) as feed:
            for number in range(1, 4):
                await other.delete_queue(queue)
                assert await harness.eventually(as_condition(lambda n=number: feed.gaps == n))  # type: ignore[misc]  # binds now
                await publish_numbers(other, exchange, [number])
                assert numbers_of(await take(feed, 1, harness)) == [number]
        assert told == ["recreated"] * 3

    async def test_gap_is_told_once_to_several_tasks(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        story: list[object] = []

        async def on_gap(gap: Gap) -> None:
            await harness.sleep(0.05)
            story.append(gap.reason)

        async def follow(feed: Subscription) -> None:
            async for delivery in feed:
                story.append(delivery["n"])
                await delivery.ack()

        async with (
            broker.subscribe(exchange, queue, on_gap=on_gap) as feed,
            harness.background(follow(feed)),
            harness.background(follow(feed)),
            harness.background(follow(feed)),
        ):
            await other.delete_queue(queue)
            assert await harness.eventually(as_condition(lambda: feed.gaps == 1))
            await publish_numbers(other, exchange, range(5))
            assert await harness.eventually(as_condition(lambda: len(story) == 6))
        assert story[0] == "recreated"
        assert {*story[1:]} == {*range(5)}

    async def test_every_subscription_of_the_queue_is_told(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """Whichever of them makes the queue again."""
        told: list[int] = []

        async def hear(number: int) -> None:
            told.append(number)

        async with (
            broker.subscribe(exchange, queue, on_gap=lambda _: hear(1)) as one,
            broker.subscribe(exchange, queue, on_gap=lambda _: hear(2)) as two,
            other.subscribe(exchange, queue, on_gap=lambda _: hear(3)) as three,
        ):
            await other.delete_queue(queue)
            feeds = (one, two, three)
            assert await harness.eventually(
                as_condition(lambda: all(feed.gaps == 1 for feed in feeds))
            )
            for feed in feeds:
                await nothing_comes(feed, 0.02)
            assert sorted(told) == [1, 2, 3]

    async def test_deliveries_of_the_deleted_queue_are_stale(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """What waited in it is lost, and the gap says so."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(other, exchange, range(5))
            (held,) = await harness.collect(aiter(feed), 1)
            await other.delete_queue(queue)
            assert await harness.eventually(as_condition(lambda: feed.gaps == 1))
            async with held.process():
                pass
            await gap_of(feed, harness)
            await nothing_comes(feed, 0.05)

    async def test_other_queues_have_no_gap(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with (
            broker.subscribe(exchange, queue) as deleted,
            broker.subscribe(exchange) as private,
        ):
            await other.delete_queue(queue)
            assert await harness.eventually(as_condition(lambda: deleted.gaps == 1))
            await publish_numbers(other, exchange, [1])
            assert numbers_of(await take(private, 1, harness)) == [1]
            assert private.gaps == 0
