"""What is gone after an outage is made again, and a Gap says that messages may be missing."""

import random

import pytest

from asyncbackends.errors import StaleDeliveryError
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFaultFixtures, OpenBroker
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    cut,
    fresh_name,
    gap_of,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

DOWN = ConnectionState.DISCONNECTED

__all__ = ("LossesConformance",)


class LossesConformance(BrokerFaultFixtures):
    """Restarts, deletions behind one's back, and all of it at random."""

    async def test_restart_keeps_what_is_durable(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(30))
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 10, harness)) == [*range(10)]
            await harness.sleep(0.02)
            await cut(broker, harness, faults.restart)
            assert numbers_of(await take(feed, 20, harness)) == [*range(10, 30)]
            await nothing_comes(feed, 0.05)
            assert feed.gaps == 0

    async def test_queue_that_is_not_durable_is_made_again_with_a_gap(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        await broker.create_queue(exchange, queue, options=QueueOptions(durable=False))
        story: list[object] = []

        async def on_gap(gap: Gap) -> None:
            await harness.sleep(0.02)
            story.append(gap.reason)

        async def follow(feed: Subscription) -> None:
            async for delivery in feed:
                story.append(delivery["n"])
                await delivery.ack()

        async with (
            broker.subscribe(exchange, queue, on_gap=on_gap) as feed,
            harness.background(follow(feed)),
        ):
            await publish_numbers(broker, exchange, [1])
            assert await harness.eventually(as_condition(lambda: story == [1]))
            await cut(broker, harness, faults.restart)
            await publish_numbers(broker, exchange, [2])
            assert await harness.eventually(as_condition(lambda: 2 in story))
        assert story == [1, "recreated", 2]
        assert feed.gaps == 1

    async def test_exchange_is_made_again_after_a_loss(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """By the client that created it; what was published meanwhile is stored then."""
        async with broker.subscribe(exchange, queue) as feed:
            faults.drop_connection()
            faults.delete_exchange(exchange)
            _ = broker.publish_nowait({"n": 1}, exchange=exchange)
            faults.restore_connection()
            assert (await gap_of(feed, harness)).reason == "recreated"
            await broker.flush()
            # Whether the first came before the queue was there again, nobody knows.
            await publish_numbers(broker, exchange, [2])
            found = numbers_of(await take(feed, 1, harness))
            if found == [1]:
                found = numbers_of(await take(feed, 1, harness))
            assert found == [2]

    async def test_exchange_that_is_not_durable_is_made_again(
        self,
        broker: MessageBroker,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        exchange = fresh_name("fleeting")
        await broker.create_exchange(exchange, durable=False)
        await cut(broker, harness, faults.restart)
        assert await broker.publish(b"", exchange=exchange)
        await broker.create_exchange(exchange, durable=False)
        await broker.delete_exchange(exchange)

    async def test_deleted_exchange_is_not_made_again(
        self,
        broker: MessageBroker,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """The client that created it deleted it, too."""
        exchange = fresh_name("deleted")
        await broker.create_exchange(exchange)
        await broker.delete_exchange(exchange)
        faults.drop_publishing()
        await cut(broker, harness, faults.drop_consuming)
        await broker.create_exchange(exchange, durable=False)
        await broker.delete_exchange(exchange)

    async def test_queue_deleted_while_the_link_is_down(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(3))
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
            faults.delete_queue(queue)
            faults.restore_connection()
            assert (await gap_of(feed, harness)).reason == "recreated"
            await publish_numbers(broker, exchange, [3])
            assert numbers_of(await take(feed, 1, harness)) == [3]
            assert feed.gaps == 1

    async def test_queue_deleted_by_a_third_party(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            faults.delete_queue(queue)
            await gap_of(feed, harness)
            await publish_numbers(broker, exchange, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_detected_losses(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        one = SubscribeOptions(prefetch=1)
        async with broker.subscribe(exchange, queue, options=one) as feed:
            await publish_numbers(broker, exchange, range(5))
            (held,) = await harness.collect(aiter(feed), 1)
            faults.lose_messages(queue)
            if Guarantee.DETECTED_LOSSES in broker.guarantees:
                await gap_of(feed, harness)
                assert feed.gaps == 1
            else:
                await nothing_comes(feed, 0.05)
            # What was in hand is as good as before.
            await held.ack()
            await publish_numbers(broker, exchange, [5])
            assert numbers_of(await take(feed, 1, harness)) == [5]
            await nothing_comes(feed, 0.05)

    @pytest.mark.parametrize("seed", range(4))
    async def test_no_confirmed_message_is_lost(
        self,
        open_broker: OpenBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
        seed: int,
    ) -> None:
        """Under random faults: all that was confirmed comes, first in the order of publishing."""
        chance = random.Random(seed)  # noqa: S311  # it is to be repeated, not to be safe
        queues = [fresh_name("queue") for _ in range(2)]
        confirmed: list[int] = []
        seen: dict[str, dict[int, None]] = {queue: {} for queue in queues}
        total = 400

        async def publish(client: MessageBroker) -> None:
            for number in range(total):
                if number % 4:
                    _ = client.publish_nowait({"n": number}, exchange=exchange)
                else:
                    await client.publish({"n": number}, exchange=exchange)
                confirmed.append(number)
                if chance.random() < 0.1:
                    await harness.sleep(0.001)
            await client.flush()

        async def consume(client: MessageBroker, queue: str) -> None:
            async with client.subscribe(exchange, queue) as feed:
                async for delivery in feed:
                    if chance.random() < 0.05:
                        await harness.sleep(0)
                    seen[queue].setdefault(delivery["n"])
                    try:
                        await delivery.ack()
                    except StaleDeliveryError:
                        continue

        async def disturb(*clients: MessageBroker) -> None:
            def is_up() -> bool:
                return all(client.state is ConnectionState.CONNECTED for client in clients)

            while len(confirmed) < total:
                match chance.randrange(7):
                    case 6:
                        faults.mute_publishing()
                        await harness.sleep(0.005)
                        faults.drop_publishing()
                    case 0:
                        faults.drop_publishing()
                    case 1:
                        faults.drop_consuming()
                    case 2:
                        # What is held back is lost with the link.
                        faults.hold_confirms()
                        await harness.sleep(0.005)
                        faults.drop_publishing()
                        faults.release_confirms()
                    case 3:
                        faults.drop_in_settle(chance.randrange(3))
                    case 4:
                        faults.restart()
                    case _:
                        faults.drop_connection()
                        await harness.sleep(0.005)
                        faults.restore_connection()
                if chance.random() < 0.7:
                    # Where links take long to come back, some shall be up for a while.
                    await harness.eventually(as_condition(is_up))
                await harness.sleep(chance.random() * 0.08)

        async with open_broker(outbox_messages=50) as publisher, open_broker() as consumer:
            for queue in queues:
                await publisher.create_queue(exchange, queue)
            consuming = harness.gather(*(consume(consumer, queue) for queue in queues))
            disturbing = disturb(publisher, consumer)
            async with harness.background(consuming), harness.background(disturbing):
                async with harness.deadline(40):
                    await publish(publisher)
                assert await harness.eventually(
                    as_condition(lambda: all(len(found) == total for found in seen.values()))
                ), {queue: sorted({*range(total)} - {*found}) for queue, found in seen.items()}
            if Guarantee.ORDERED_PER_PUBLISHER in publisher.guarantees:
                assert [[*found] for found in seen.values()] == [[*range(total)]] * 2
