"""Messages that are too old reach nobody, and are no dead letters."""

from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("ExpiryConformance",)


class ExpiryConformance(BrokerFixtures):
    """``expiration`` and ``message_ttl``; consumers allow for no skew of the clocks."""

    async def test_expired_message_is_not_delivered(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client:
            await client.create_queue(exchange, queue)
            await client.publish({"n": 0}, exchange=exchange, expiration=0.05)
            await client.publish({"n": 1}, exchange=exchange, expiration=600)
            await client.publish({"n": 2}, exchange=exchange, expiration=0.05)
            await publish_numbers(client, exchange, [3])
            await harness.sleep(0.15)
            async with client.subscribe(exchange, queue) as feed:
                assert numbers_of(await take(feed, 2, harness)) == [1, 3]
                await nothing_comes(feed, 0.05)

    async def test_message_is_delivered_before_it_expires(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client, client.subscribe(exchange) as feed:
            await client.publish({"n": 1}, exchange=exchange, expiration=30)
            (delivery,) = await take(feed, 1, harness)
            assert delivery.expires_at is not None
            assert delivery.expires_at > harness.now()

    async def test_message_that_expires_behind_others_is_not_handed_out(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Also when it waits at the consumer already."""
        async with open_broker(clock_skew=0) as client, client.subscribe(exchange, queue) as feed:
            await publish_numbers(client, exchange, [1])
            await client.publish({"n": 2}, exchange=exchange, expiration=0.1)
            await publish_numbers(client, exchange, [3])
            assert numbers_of(await take(feed, 1, harness)) == [1]
            await harness.sleep(0.2)
            assert numbers_of(await take(feed, 1, harness)) == [3]
        async with (
            open_broker(clock_skew=3600) as client,
            client.subscribe(exchange, queue) as feed,
        ):
            await nothing_comes(feed, 0.05)

    async def test_expired_message_does_not_come_again(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client, client.subscribe(exchange, queue) as feed:
            await client.publish({"n": 1}, exchange=exchange, expiration=0.2)
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.nack(delay=0.3)
            await nothing_comes(feed, 0.5)

    async def test_expired_message_is_no_dead_letter(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client:
            graves = fresh_name("graves")
            await client.create_exchange(graves)
            options = QueueOptions(dead_letter=graves, message_ttl=0.1)
            await client.create_queue(exchange, queue, options=options)
            async with client.subscribe(graves) as dead:
                await client.publish({"n": 1}, exchange=exchange, expiration=0.05)
                await publish_numbers(client, exchange, [2])
                await harness.sleep(0.2)
                async with client.subscribe(exchange, queue) as feed:
                    await nothing_comes(feed, 0.05)
                await nothing_comes(dead, 0.05)
            await client.delete_exchange(graves)

    async def test_message_ttl_is_the_queues(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client:
            short, long = fresh_name("short"), fresh_name("long")
            options = QueueOptions(message_ttl=0.1)
            await client.create_queue(exchange, short, options=options)
            await client.create_queue(exchange, long)
            await publish_numbers(client, exchange, [1])
            await harness.sleep(0.2)
            await publish_numbers(client, exchange, [2])
            async with (
                client.subscribe(exchange, short) as here,
                client.subscribe(exchange, long) as there,
            ):
                assert numbers_of(await take(here, 1, harness)) == [2]
                assert numbers_of(await take(there, 2, harness)) == [1, 2]
                await nothing_comes(here, 0.05)

    async def test_shorter_of_both_times_counts(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with open_broker(clock_skew=0) as client:
            options = QueueOptions(message_ttl=0.3)
            await client.create_queue(exchange, queue, options=options)
            await client.publish({"n": 1}, exchange=exchange, expiration=0.05)
            await client.publish({"n": 2}, exchange=exchange, expiration=600)
            await harness.sleep(0.15)
            async with client.subscribe(exchange, queue) as feed:
                (delivery,) = await harness.collect(aiter(feed), 1)
                assert delivery["n"] == 2
            await harness.sleep(0.3)
            async with client.subscribe(exchange, queue) as feed:
                await nothing_comes(feed, 0.05)

    async def test_expired_messages_do_not_stand_in_the_way(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """They do not use up what a consumer may hold."""
        async with open_broker(clock_skew=0) as client:
            await client.create_queue(exchange, queue)
            for number in range(20):
                _ = client.publish_nowait({"n": number}, exchange=exchange, expiration=0.05)
            await publish_numbers(client, exchange, [20])
            await harness.sleep(0.15)
            options = SubscribeOptions(prefetch=2)
            async with client.subscribe(exchange, queue, options=options) as feed:
                assert numbers_of(await take(feed, 1, harness)) == [20]

    async def test_clock_skew_is_allowed_for(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """The clocks of this kit's clients are one: what is far past its time is dropped."""
        await broker.create_queue(exchange, queue)
        await broker.publish({"n": 1}, exchange=exchange, expiration=0.05)
        await publish_numbers(broker, exchange, [2])
        await harness.sleep(1.2)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [2]
            await nothing_comes(feed, 0.05)
