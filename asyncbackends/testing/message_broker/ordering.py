"""The order of calls is the order of messages."""

from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange, OpenBroker
from asyncbackends.testing.message_broker.sample import numbers_of, publish_numbers, take

__all__ = ("OrderingConformance",)


class OrderingConformance(BrokerFixtures):
    """Order per publisher and exchange."""

    async def test_order_of_awaited_calls(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await publish_numbers(broker, exchange, range(50))
            assert numbers_of(await take(feed, 50, harness)) == [*range(50)]

    async def test_order_of_a_burst(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            for first in range(0, 1500, 500):
                for number in range(first, first + 500):
                    _ = broker.publish_nowait({"n": number}, exchange=exchange)
                await broker.flush()
            assert numbers_of(await take(feed, 1500, harness)) == [*range(1500)]

    async def test_order_of_calls_side_by_side(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await harness.gather(
                *(broker.publish({"n": number}, exchange=exchange) for number in range(200))
            )
            assert numbers_of(await take(feed, 200, harness)) == [*range(200)]

    async def test_order_of_both_ways_to_publish(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            for number in range(0, 60, 3):
                _ = broker.publish_nowait({"n": number}, exchange=exchange)
                await broker.publish({"n": number + 1}, exchange=exchange)
                _ = broker.publish_nowait({"n": number + 2}, exchange=exchange)
            assert numbers_of(await take(feed, 60, harness)) == [*range(60)]

    async def test_order_on_many_exchanges(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        exchanges = [await make_exchange() for _ in range(8)]
        queues = [f"{exchange}-queue" for exchange in exchanges]
        for exchange, queue in zip(exchanges, queues, strict=True):
            await broker.create_queue(exchange, queue)
        for number in range(40):
            for exchange in exchanges:
                _ = broker.publish_nowait({"n": number, "to": exchange}, exchange=exchange)
        await broker.flush()
        for exchange, queue in zip(exchanges, queues, strict=True):
            async with broker.subscribe(exchange, queue) as feed:
                taken = await take(feed, 40, harness)
                assert numbers_of(taken) == [*range(40)]
                assert {delivery["to"] for delivery in taken} == {exchange}

    async def test_order_of_waiting_for_room(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        """The outbox is far smaller than what is published."""
        async with (
            open_broker(outbox_messages=3) as small,
            small.subscribe(exchange) as feed,
        ):
            await harness.gather(
                *(small.publish({"n": number}, exchange=exchange) for number in range(100))
            )
            assert numbers_of(await take(feed, 100, harness)) == [*range(100)]

    async def test_order_of_big_and_small_bodies(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            for number in range(30):
                filling = "x" * (200_000 if number % 3 == 0 else 1)
                _ = broker.publish_nowait({"n": number, "filling": filling}, exchange=exchange)
            await broker.flush()
            assert numbers_of(await take(feed, 30, harness)) == [*range(30)]

    async def test_order_of_each_of_several_publishers(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async def publish(publisher: int, client: MessageBroker) -> None:
            for number in range(50):
                message = {"n": number, "publisher": publisher}
                await client.publish(message, exchange=exchange)

        async with broker.subscribe(exchange) as feed:
            await harness.gather(
                *(publish(number, (broker, other)[number % 2]) for number in range(6))
            )
            taken = await take(feed, 300, harness)
        for publisher in range(6):
            own = [delivery for delivery in taken if delivery["publisher"] == publisher]
            assert numbers_of(own) == [*range(50)]

    async def test_queues_hold_the_same_order(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        """For one publisher two queues never disagree."""
        async with broker.subscribe(exchange) as one, other.subscribe(exchange) as two:
            for number in range(200):
                _ = broker.publish_nowait({"n": number}, exchange=exchange)
            await broker.flush()
            first, second = await take(one, 200, harness), await take(two, 200, harness)
        assert numbers_of(first) == numbers_of(second) == [*range(200)]
