"""Queues that hold a number of messages at most."""

import pytest

from asyncbackends.errors import PublishRejectedError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeLimited
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("LengthsConformance",)

REJECTING = QueueOptions(max_length=3, queue_type="classic")
DROPPING = QueueOptions(max_length=3, overflow="drop_oldest")
REPLICATED = QueueOptions(max_length=3)
LATE = 20
"""So many more than its length a queue may take that tells of it after its replicas agreed."""


class LengthsConformance(BrokerFixtures):
    """``max_length`` with both sorts of ``overflow``."""

    async def test_bounded_queues(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        """A queue of the default type stops taking messages, if not at the first too many."""
        if not await limited(REPLICATED):
            return
        refused: list[BaseException] = []
        stored = 0
        while not refused:
            _, error = (await harness.outcomes(broker.publish({"n": stored}, exchange=exchange)))[0]
            if error is None:
                stored += 1
                assert stored <= 3 + LATE
            else:
                refused.append(error)
        assert isinstance(refused[0], PublishRejectedError)
        assert stored >= 3
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, stored, harness)) == [*range(stored)]
            await nothing_comes(feed, 0.05)

    async def test_full_queue_rejects(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        if not await limited(REJECTING):
            return
        await publish_numbers(broker, exchange, range(3))
        with pytest.raises(PublishRejectedError) as refusal:
            await broker.publish({"n": 3}, exchange=exchange)
        assert not refusal.value.maybe_applied
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]
            # There is room again.
            await publish_numbers(broker, exchange, [4])
            assert numbers_of(await take(feed, 1, harness)) == [4]
            await nothing_comes(feed, 0.05)

    async def test_full_queue_rejects_one_of_a_burst(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        """Each message is answered for itself."""
        if not await limited(REJECTING):
            return
        outcomes = await harness.outcomes(
            *(broker.publish({"n": number}, exchange=exchange) for number in range(8))
        )
        errors = [type(error) for _, error in outcomes]
        assert errors == [type(None)] * 3 + [PublishRejectedError] * 5
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]
            await nothing_comes(feed, 0.05)

    async def test_full_queue_drops_the_oldest(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        if not await limited(DROPPING):
            return
        await publish_numbers(broker, exchange, range(8))
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 3, harness)) == [5, 6, 7]
            await nothing_comes(feed, 0.05)

    async def test_dropped_message_is_no_dead_letter(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        graves = fresh_name("graves")
        await broker.create_exchange(graves)
        options = QueueOptions(max_length=1, overflow="drop_oldest", dead_letter=graves)
        if not await limited(options):
            return
        async with broker.subscribe(graves) as dead:
            await publish_numbers(broker, exchange, range(3))
            async with broker.subscribe(exchange, queue) as feed:
                assert numbers_of(await take(feed, 1, harness)) == [2]
            await nothing_comes(dead, 0.05)
        await broker.delete_exchange(graves)

    @pytest.mark.parametrize("options", [REJECTING, DROPPING], ids=lambda options: options.overflow)
    async def test_deliveries_in_progress_are_not_counted(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
        options: QueueOptions,
    ) -> None:
        if not await limited(options):
            return
        two = SubscribeOptions(prefetch=2)
        async with broker.subscribe(exchange, queue, options=two) as feed:
            await publish_numbers(broker, exchange, range(2))
            held = await harness.collect(aiter(feed), 2)
            await publish_numbers(broker, exchange, range(2, 5))
            for delivery in held:
                await delivery.ack()
            assert numbers_of(await take(feed, 3, harness)) == [2, 3, 4]

    async def test_other_queues_keep_all(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        limited: MakeLimited,
        harness: Harness,
    ) -> None:
        roomy = fresh_name("roomy")
        if not await limited(DROPPING):
            return
        await broker.create_queue(exchange, roomy)
        await publish_numbers(broker, exchange, range(8))
        async with (
            broker.subscribe(exchange, queue) as small,
            broker.subscribe(exchange, roomy) as big,
        ):
            assert numbers_of(await take(small, 3, harness)) == [5, 6, 7]
            assert numbers_of(await take(big, 8, harness)) == [*range(8)]
