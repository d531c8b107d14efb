"""Many publishers beside many consumers."""

from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange
from asyncbackends.testing.message_broker.sample import as_condition, fresh_name

__all__ = ("ConcurrencyConformance",)

PUBLISHERS, CONSUMERS, EACH = 20, 20, 25


class ConcurrencyConformance(BrokerFixtures):
    """20 publishers, 20 consumers: nothing is lost, nothing comes twice."""

    async def test_competing_consumers_share_all(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        taken: list[int] = []

        async def consume(client: MessageBroker, number: int) -> None:
            options = SubscribeOptions(prefetch=1 + number % 7)
            async with client.subscribe(exchange, queue, options=options) as feed:
                async for delivery in feed:
                    async with delivery.process():
                        await harness.sleep(0)
                        taken.append(delivery["n"])

        async def publish(client: MessageBroker, number: int) -> None:
            for step in range(EACH):
                message = {"n": number * EACH + step}
                if step % 3:
                    await client.publish(message, exchange=exchange)
                else:
                    _ = client.publish_nowait(message, exchange=exchange)

        clients = (broker, other)
        await broker.create_queue(exchange, queue)
        consumers = (consume(clients[number % 2], number) for number in range(CONSUMERS))
        async with harness.background(harness.gather(*consumers)):
            await harness.gather(
                *(publish(clients[number % 2], number) for number in range(PUBLISHERS))
            )
            await harness.gather(broker.flush(), other.flush())
            total = PUBLISHERS * EACH
            assert await harness.eventually(as_condition(lambda: len(taken) >= total))
            await harness.sleep(0.05)
        assert sorted(taken) == [*range(PUBLISHERS * EACH)]

    async def test_every_queue_gets_all_from_everybody(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        make_exchange: MakeExchange,
        harness: Harness,
    ) -> None:
        """And each publisher's in order, on each of several exchanges."""
        exchanges = [await make_exchange() for _ in range(4)]
        queues = [fresh_name("queue") for _ in exchanges]
        for exchange, queue in zip(exchanges, queues, strict=True):
            await broker.create_queue(exchange, queue)
        seen: dict[int, list[tuple[int, int]]] = {number: [] for number in range(CONSUMERS)}

        async def follow(number: int, feed: Subscription) -> None:
            async for delivery in feed:
                seen[number].append((delivery["publisher"], delivery["n"]))
                await delivery.ack()

        async def consume(number: int) -> None:
            client = (broker, other)[number % 2]
            # One queue of each exchange has a name, and all others are private.
            name = queues[number] if number < len(queues) else None
            async with client.subscribe(exchanges[number % 4], name) as feed:
                ready.append(number)
                await follow(number, feed)

        async def publish(number: int) -> None:
            client = (broker, other)[number % 2]
            for step in range(10):
                for exchange in exchanges:
                    message = {"publisher": number, "n": step}
                    await client.publish(message, exchange=exchange)

        ready: list[int] = []
        consumers = harness.gather(*(consume(number) for number in range(CONSUMERS)))
        async with harness.background(consumers):
            assert await harness.eventually(as_condition(lambda: len(ready) == CONSUMERS))
            await harness.gather(*(publish(number) for number in range(PUBLISHERS)))
            total = PUBLISHERS * 10
            assert await harness.eventually(
                as_condition(lambda: all(len(found) >= total for found in seen.values()))
            ), {number: len(found) for number, found in seen.items()}
        for found in seen.values():
            for publisher in range(PUBLISHERS):
                assert [n for one, n in found if one == publisher] == [*range(10)]

    async def test_clients_come_and_go(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Subscriptions that end at any moment lose nothing that they held."""
        taken: set[int] = set()

        async def visit(number: int) -> None:
            while len(taken) < 200:
                async with broker.subscribe(exchange, queue) as feed:
                    try:
                        for _ in range(1 + number % 3):
                            delivery = await feed.get(0.05)
                            taken.add(delivery["n"])
                            await delivery.ack()
                    except TimeoutError:
                        continue

        for number in range(200):
            _ = broker.publish_nowait({"n": number}, exchange=exchange)
        await broker.create_queue(exchange, queue)
        await broker.flush()
        for number in range(200):
            _ = broker.publish_nowait({"n": number}, exchange=exchange)
        async with harness.deadline(20):
            await harness.gather(*(visit(number) for number in range(8)))
        assert taken == {*range(200)}
