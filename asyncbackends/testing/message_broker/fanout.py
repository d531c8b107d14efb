"""Who gets a message: every queue of the exchange, and of each queue one consumer."""

import pytest

from asyncbackends.errors import InvalidRequestError, UnroutableError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("FanoutConformance",)


class FanoutConformance(BrokerFixtures):
    """Fanout, named queues, private queues."""

    async def test_every_queue_gets_every_message(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with (
            broker.subscribe(exchange, fresh_name()) as first,
            other.subscribe(exchange, fresh_name()) as second,
            broker.subscribe(exchange) as private,
            other.subscribe(exchange) as another,
        ):
            await publish_numbers(broker, exchange, range(5))
            await publish_numbers(other, exchange, range(5, 10))
            for feed in (first, second, private, another):
                assert sorted(numbers_of(await take(feed, 10, harness))) == [*range(10)]
                await nothing_comes(feed, 0.02)

    async def test_ten_queues_get_every_message(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        queues = [fresh_name() for _ in range(10)]
        for queue in queues:
            await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(3))
        for queue in queues:
            async with broker.subscribe(exchange, queue) as feed:
                assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]

    async def test_message_without_a_queue_is_dropped(
        self, broker: MessageBroker, exchange: str, queue: str
    ) -> None:
        assert await broker.publish(b"nobody hears", exchange=exchange)
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed)

    async def test_exchanges_are_apart(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        one, two = await make_exchange(), await make_exchange()
        async with broker.subscribe(one) as here, broker.subscribe(two) as there:
            await publish_numbers(broker, one, [1])
            await publish_numbers(broker, two, [2])
            assert numbers_of(await take(here, 1, harness)) == [1]
            assert numbers_of(await take(there, 1, harness)) == [2]
            await nothing_comes(here, 0.05)
            await nothing_comes(there, 0.05)

    async def test_queue_takes_messages_before_anybody_subscribes(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(3))
        async with other.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]

    async def test_named_queue_outlives_its_subscription(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue):
            pass
        await publish_numbers(broker, exchange, range(3))
        async with other.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]

    async def test_named_queue_outlives_its_client(
        self, open_broker: OpenBroker, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        queue = fresh_name()
        async with open_broker() as short, short.subscribe(exchange, queue):
            pass
        await publish_numbers(broker, exchange, [1])
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_consumers_of_one_queue_compete(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        taken: dict[str, list[int]] = {"first": [], "second": []}

        async def work(name: str, feed: Subscription) -> None:
            async for delivery in feed:
                taken[name].append(delivery["n"])
                await harness.sleep(0.001)
                await delivery.ack()

        async def all_taken() -> bool:
            return sum(map(len, taken.values())) >= 60

        async with (
            broker.subscribe(exchange, queue) as first,
            other.subscribe(exchange, queue) as second,
            harness.background(work("first", first)),
            harness.background(work("second", second)),
        ):
            await publish_numbers(broker, exchange, range(60))
            assert await harness.eventually(all_taken), taken
            await harness.sleep(0.05)
        assert sorted(taken["first"] + taken["second"]) == [*range(60)]
        assert taken["first"]
        assert taken["second"]

    async def test_private_queue_begins_empty(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as early:
            await publish_numbers(broker, exchange, [1])
            async with broker.subscribe(exchange) as late:
                await publish_numbers(broker, exchange, [2])
                assert numbers_of(await take(late, 1, harness)) == [2]
                assert numbers_of(await take(early, 2, harness)) == [1, 2]
                await nothing_comes(late, 0.05)

    async def test_private_queue_is_gone_afterwards(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await other.publish({"n": 1}, exchange=exchange, mandatory=True)
            assert numbers_of(await take(feed, 1, harness)) == [1]
        if Guarantee.MANDATORY_EXACT in broker.guarantees:
            with pytest.raises(UnroutableError):
                await other.publish({"n": 2}, exchange=exchange, mandatory=True)
        async with broker.subscribe(exchange) as feed:
            await nothing_comes(feed)

    async def test_subscription_and_delivery_tell_where_they_are_from(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with (
            broker.subscribe(exchange, queue) as named,
            broker.subscribe(exchange) as private,
        ):
            assert (named.queue, private.queue) == (queue, None)
            assert (named.gaps, private.gaps) == (0, 0)
            await publish_numbers(broker, exchange, [1])
            for feed, name in ((named, queue), (private, None)):
                (delivery,) = await take(feed, 1, harness)
                assert (delivery.exchange, delivery.queue) == (exchange, name)

    async def test_option_exchange_is_the_default(
        self, open_broker: OpenBroker, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with open_broker(exchange=exchange) as client, client.subscribe() as feed:
            await client.publish({"n": 1})
            await client.publish_nowait({"n": 2})
            await publish_numbers(broker, exchange, [3])
            taken = await take(feed, 3, harness)
            assert numbers_of(taken) == [1, 2, 3]
            assert {delivery.exchange for delivery in taken} == {exchange}

    async def test_without_the_option_an_exchange_is_named(self, broker: MessageBroker) -> None:
        with pytest.raises(InvalidRequestError, match="exchange"):
            await broker.publish(b"where to?")
        with pytest.raises(InvalidRequestError, match="exchange"):
            _ = broker.publish_nowait(b"where to?")
        with pytest.raises(InvalidRequestError, match="exchange"):
            async with broker.subscribe():
                pass
