"""Deliveries of a link that is gone are stale: never handed out, never settled."""

import pytest

from asyncbackends.errors import StaleDeliveryError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFaultFixtures, MakeExchange
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    cut,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)
from asyncbackends.testing.message_broker.settling import SETTLINGS

__all__ = ("FencingConformance",)


class FencingConformance(BrokerFaultFixtures):
    """Settling across a loss of the link."""

    @pytest.mark.parametrize("settling", SETTLINGS)
    async def test_answer_to_a_delivery_of_a_dead_link_is_stale(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        settling: str,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (old,) = await harness.collect(aiter(feed), 1)
            await cut(broker, harness, faults.drop_consuming)
            for _ in range(2):
                with pytest.raises(StaleDeliveryError):
                    await SETTLINGS[settling](old)
            (again,) = await harness.collect(aiter(feed), 1)
            assert again["n"] == 1
            assert again.redelivered
            # Nor does the old one answer for the new one.
            with pytest.raises(StaleDeliveryError):
                await SETTLINGS[settling](old)
            await again.ack()
            await nothing_comes(feed, 0.05)

    async def test_block_of_a_dead_link_ends_quietly(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (old,) = await harness.collect(aiter(feed), 1)
            async with old.process():
                await cut(broker, harness, faults.drop_consuming)
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_what_a_dead_link_left_is_not_handed_out(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """It waits in this process, and somebody else may have it by now."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(20))
            (old,) = await harness.collect(aiter(feed), 1)
            # Time for the others to arrive behind it.
            await harness.sleep(0.05)
            faults.drop_connection()
            assert await harness.eventually(
                as_condition(lambda: broker.state.value == "disconnected")
            )
            await nothing_comes(feed, 0.05)
            faults.restore_connection()
            # Each of these can be settled: it is of the present link.
            taken = await take(feed, 20, harness)
            assert sorted(numbers_of(taken)) == [*range(20)]
            assert old not in taken
            await nothing_comes(feed, 0.05)
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)

    async def test_another_consumer_takes_over(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Then the first one cannot ack what is the other's."""
        one = SubscribeOptions(prefetch=1)
        async with broker.subscribe(exchange, queue, options=one) as feed:
            await publish_numbers(broker, exchange, [1])
            (old,) = await harness.collect(aiter(feed), 1)
        async with other.subscribe(exchange, queue, options=one) as feed:
            (theirs,) = await harness.collect(aiter(feed), 1)
            with pytest.raises(StaleDeliveryError):
                await old.ack()
            await cut(other, harness, faults.drop_consuming)
            with pytest.raises(StaleDeliveryError):
                await theirs.ack()
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_acks_cut_off_in_the_middle(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Each message is done with, or comes again; none is lost."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(10))
            first = await harness.collect(aiter(feed), 10)
            faults.drop_in_settle(4)
            for delivery in first:
                await delivery.ack()
            await harness.sleep(0.1)
            await publish_numbers(broker, exchange, [10])
            again: list[int] = []
            while 10 not in again:
                (delivery,) = await take(feed, 1, harness)
                again.append(delivery["n"])
                assert delivery.redelivered or delivery["n"] == 10
            await nothing_comes(feed, 0.05)
            assert 6 <= len({*again} - {10}) < 10
            assert len(again) == len({*again})

    async def test_lost_acks_mean_redelivery(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(3))
            first = await harness.collect(aiter(feed), 3)
            faults.lose_settles(2)
            for delivery in first:
                await delivery.ack()
            await harness.sleep(0.02)
            await cut(broker, harness, faults.drop_consuming)
            again = await take(feed, 2, harness)
            assert numbers_of(again) == [0, 1]
            assert all(delivery.redelivered for delivery in again)
            await nothing_comes(feed, 0.05)

    async def test_dedupe_window_knows_what_was_acked(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        options = SubscribeOptions(dedupe_window=60)
        async with broker.subscribe(exchange, queue, options=options) as feed:
            await publish_numbers(broker, exchange, range(3))
            first = await harness.collect(aiter(feed), 3)
            faults.lose_settles(2)
            for delivery in first[:2]:
                await delivery.ack()
            await harness.sleep(0.02)
            await cut(broker, harness, faults.drop_consuming)
            # Only what was never acked.
            assert numbers_of(await take(feed, 1, harness)) == [2]
            await nothing_comes(feed, 0.05)
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)

    async def test_count_goes_on_across_links(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        one, counts = SubscribeOptions(prefetch=1), list[int]()
        async with broker.subscribe(exchange, queue, options=one) as feed:
            await publish_numbers(broker, exchange, [1])
            for _ in range(5):
                (delivery,) = await harness.collect(aiter(feed), 1)
                counts.append(delivery.delivery_count)
                await cut(broker, harness, faults.drop_consuming)
            (delivery,) = await take(feed, 1, harness)
            counts.append(delivery.delivery_count)
        if Guarantee.EXACT_DELIVERY_COUNT in broker.guarantees:
            assert counts == [*range(1, 7)]
        assert all(1 <= count <= most for most, count in enumerate(counts, 1))

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_dead_letter_across_a_cut(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        when: str,
    ) -> None:
        """It may be there twice, with one id; it is never lost."""
        graves = await make_exchange("graves")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            sent = await publish_numbers(broker, exchange, range(5))
            first = await harness.collect(aiter(feed), 5)
            if when == "after":
                faults.hold_confirms()
            for delivery in first:
                await delivery.reject(f"number {delivery['n']}")
            await harness.sleep(0 if when == "before" else 0.02)
            faults.drop_publishing()
            faults.release_confirms()
            letters: dict[str | None, int] = {}
            while len(letters) < 5:
                (letter,) = await take(dead, 1, harness)
                assert letter.death is not None
                assert letter.death.text == f"number {letter['n']}"
                letters[letter.message_id] = letter["n"]
            assert letters == {f"{one}:{queue}": n for n, one in enumerate(sent)}
            await broker.flush()
            await nothing_comes(feed, 0.05)

    async def test_rejected_while_the_link_goes(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """The original is acked only after its copy is confirmed: else it comes again."""
        graves = await make_exchange("graves")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            faults.drop_connection()
            try:
                await delivery.reject()
            except StaleDeliveryError:
                assert broker.state.value == "disconnected"
            await cut(broker, harness, faults.restore_connection)
            (again,) = await harness.collect(aiter(feed), 1)
            assert again.redelivered
            await again.reject()
            assert numbers_of(await take(dead, 1, harness)) == [1]
