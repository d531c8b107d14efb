"""Acked once and gone, or delivered again."""

from collections.abc import Awaitable, Callable

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import AlreadySettledError, BackendClosedError, StaleDeliveryError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("SETTLINGS", "SettlingConformance")

SETTLINGS: dict[str, Callable[[Delivery], Awaitable[None]]] = {
    "ack": lambda delivery: delivery.ack(),
    "nack": lambda delivery: delivery.nack(),
    "reject": lambda delivery: delivery.reject(),
}

ONE = SubscribeOptions(prefetch=1)


class SettlingConformance(BrokerFixtures):
    """``ack``, ``nack``, ``reject`` of a delivery."""

    async def test_acked_message_is_gone(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(20))
            await take(feed, 20, harness)
        async with other.subscribe(exchange, queue) as feed:
            await nothing_comes(feed)

    async def test_acks_in_any_order(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(10))
            held = await harness.collect(aiter(feed), 10)
            for number in (7, 2, 9, 0, 4):
                await held[number].ack()
        async with other.subscribe(exchange, queue) as feed:
            assert sorted(numbers_of(await take(feed, 5, harness))) == [1, 3, 5, 6, 8]
            await nothing_comes(feed, 0.05)

    async def test_broker_acks_a_delivery(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            await broker.ack(delivery)
            with pytest.raises(AlreadySettledError):
                await broker.ack(delivery)
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed)

    async def test_unacked_message_comes_again(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(3))
            first = await harness.collect(aiter(feed), 3)
            assert not any(delivery.redelivered for delivery in first)
        async with other.subscribe(exchange, queue) as feed:
            again = await take(feed, 3, harness)
            assert sorted(numbers_of(again)) == [0, 1, 2]
            assert all(delivery.redelivered for delivery in again)
            ids = {delivery.message_id for delivery in first}
            assert {delivery.message_id for delivery in again} == ids

    async def test_what_was_not_handed_out_comes_again(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """What a subscription held back when it ended goes to another, whole."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(10))
            await take(feed, 2, harness)
        async with other.subscribe(exchange, queue) as feed:
            assert sorted(numbers_of(await take(feed, 8, harness))) == [*range(2, 10)]
            await nothing_comes(feed, 0.05)

    async def test_unacked_messages_of_a_closed_client_come_again(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue, options=ONE) as feed:
            async with open_broker() as short, short.subscribe(exchange, queue) as doomed:
                await publish_numbers(broker, exchange, range(6))
                (held,) = await harness.collect(aiter(doomed), 1)
                assert held["n"] in range(6)
            assert sorted(numbers_of(await take(feed, 6, harness))) == [*range(6)]

    async def test_nacked_message_comes_again(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            sent = await publish_numbers(broker, exchange, [1])
            (first,) = await harness.collect(aiter(feed), 1)
            await first.nack()
            (second,) = await take(feed, 1, harness)
            assert second is not first
            assert second["n"] == 1
            assert (first.redelivered, second.redelivered) == (False, True)
            assert [first.message_id, second.message_id] == sent * 2
            await nothing_comes(feed, 0.05)

    async def test_nacked_message_goes_to_another_consumer(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with broker.subscribe(exchange, queue, options=ONE) as busy:
            await publish_numbers(broker, exchange, range(2))
            (first,) = await harness.collect(aiter(busy), 1)
            async with other.subscribe(exchange, queue) as feed:
                assert numbers_of(await take(feed, 1, harness)) == [1]
                await first.nack()
                found: list[int] = []

                async def both() -> bool:
                    for one in (busy, feed):
                        async with harness.background(take(one, 1, harness)) as taking:
                            try:
                                async with harness.deadline(0.1):
                                    found.extend(numbers_of(await taking.result()))
                            except TimeoutError:
                                continue
                    return bool(found)

                assert await harness.eventually(both)
                assert found == [0]

    async def test_nack_with_delay(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(2))
            (first,) = await harness.collect(aiter(feed), 1)
            began = harness.now()
            await first.nack(delay=0.3)
            # Meanwhile the others go on.
            assert numbers_of(await take(feed, 1, harness)) == [1]
            (again,) = await take(feed, 1, harness)
            assert again["n"] == 0
            assert again.redelivered
            # Clocks of brokers may be coarse.
            assert (harness.now() - began).total_seconds() > 0.2

    async def test_nacks_with_several_delays(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(3))
            held = await harness.collect(aiter(feed), 3)
            for delivery, delay in zip(held, (0.45, 0.05, 0.25), strict=True):
                await delivery.nack(delay=delay)
            assert numbers_of(await take(feed, 3, harness)) == [1, 2, 0]

    async def test_delayed_message_outlives_its_consumer(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (first,) = await harness.collect(aiter(feed), 1)
            await first.nack(delay=0.2)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]
            await nothing_comes(feed, 0.3)

    async def test_rejected_message_is_dropped(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """Without a dead letter exchange."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.reject("not wanted")
            await nothing_comes(feed, 0.05)
        async with other.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)

    @pytest.mark.parametrize("second", SETTLINGS)
    @pytest.mark.parametrize("first", SETTLINGS)
    async def test_second_answer_is_refused(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        first: str,
        second: str,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            await SETTLINGS[first](delivery)
            for _ in range(2):
                with pytest.raises(AlreadySettledError):
                    await SETTLINGS[second](delivery)
            # The first answer is the one that counts.
            if first == "nack":
                assert numbers_of(await take(feed, 1, harness)) == [1]
            await nothing_comes(feed, 0.05)

    @pytest.mark.parametrize("settling", SETTLINGS)
    async def test_answer_after_the_subscription_is_stale(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness, settling: str
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
        for _ in range(2):
            with pytest.raises(StaleDeliveryError):
                await SETTLINGS[settling](delivery)
        async with broker.subscribe(exchange, queue) as feed:
            (again,) = await take(feed, 1, harness)
            assert again["n"] == 1
            # Nor does the old one count for the new one.
            with pytest.raises(StaleDeliveryError):
                await SETTLINGS[settling](delivery)

    async def test_answer_after_the_shutdown_is_stale(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker() as client, client.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
        with pytest.raises(StaleDeliveryError):
            await delivery.ack()
        with pytest.raises(BackendClosedError):
            await client.ack(delivery)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_fifty_redeliveries_lose_nothing(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Without ``max_deliveries`` there is no limit, whatever the server's default is."""
        async with broker.subscribe(exchange, queue, options=ONE) as feed:
            await publish_numbers(broker, exchange, [1])
            counts: list[int] = []
            for _ in range(50):
                (delivery,) = await harness.collect(aiter(feed), 1)
                counts.append(delivery.delivery_count)
                assert delivery.redelivered is (len(counts) > 1)
                await delivery.nack()
            (last,) = await take(feed, 1, harness)
            counts.append(last.delivery_count)
            exact = [*range(1, 52)]
            if Guarantee.EXACT_DELIVERY_COUNT in broker.guarantees:
                assert counts == exact
            assert all(1 <= found <= most for found, most in zip(counts, exact, strict=True))
            await nothing_comes(feed, 0.05)
