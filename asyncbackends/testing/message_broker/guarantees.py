"""One test, or more, per guarantee: it holds where it is declared; else its lack shows."""

from typing import Any

import pytest

from asyncbackends.errors import NotSupportedError, UnroutableError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("BrokerGuaranteesConformance",)


class BrokerGuaranteesConformance(BrokerFixtures):
    """``Guarantee``: those of a broker within one process."""

    async def test_ordered_per_publisher(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        """First deliveries are in the order of publishing, also where some come again."""
        async with broker.subscribe(exchange, fresh_name()) as feed:
            for number in range(150):
                for client in (broker, other):
                    message = {"n": number, "publisher": id(client)}
                    _ = client.publish_nowait(message, exchange=exchange)
            await harness.gather(broker.flush(), other.flush())
            first: dict[int, list[int]] = {id(broker): [], id(other): []}
            done = 0
            while done < 300:
                (delivery,) = await harness.collect(aiter(feed), 1)
                if delivery.redelivered:
                    await delivery.ack()
                    done += 1
                    continue
                first[delivery["publisher"]].append(delivery["n"])
                if delivery["n"] % 10 == 3:
                    await delivery.nack()
                else:
                    await delivery.ack()
                    done += 1
        if Guarantee.ORDERED_PER_PUBLISHER in broker.guarantees:
            assert first == {publisher: [*range(150)] for publisher in first}
        assert all(sorted(numbers) == [*range(150)] for numbers in first.values())

    async def test_redelivers_unacked(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """What nobody acked comes again, to another consumer, however the first one went."""
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(9))
        async with open_broker() as short, short.subscribe(exchange, queue) as feed:
            held = await harness.collect(aiter(feed), 6)
            for delivery in held[:3]:
                await delivery.ack()
        assert Guarantee.REDELIVERS_UNACKED in broker.guarantees, "at-least-once is for all"
        async with broker.subscribe(exchange, queue) as feed:
            again = await take(feed, 6, harness)
            assert sorted(numbers_of(again)) == [*range(3, 9)]
            assert {one["n"] for one in again if one.redelivered} >= {3, 4, 5}
            await nothing_comes(feed, 0.05)

    async def test_server_dedupe(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        """A message id that comes again is stored once, whoever publishes it."""
        async with broker.subscribe(exchange) as feed:
            for client in (broker, other, broker):
                arguments: dict[str, Any] = {"exchange": exchange, "message_id": "the-same"}
                assert await client.publish({"n": 1}, **arguments) == "the-same"
                assert await client.publish_nowait({"n": 1}, **arguments) == "the-same"
            await publish_numbers(broker, exchange, [2])
            dedupes = Guarantee.SERVER_DEDUPE in broker.guarantees
            expected = [1, 2] if dedupes else [1] * 6 + [2]
            assert numbers_of(await take(feed, len(expected), harness)) == expected
            await nothing_comes(feed, 0.05)

    async def test_exact_delivery_count(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        one = SubscribeOptions(prefetch=1)
        counts: list[int] = []
        for number in range(12):
            client = (broker, other)[number % 2]
            async with client.subscribe(exchange, queue, options=one) as feed:
                if number == 0:
                    await publish_numbers(broker, exchange, [1])
                (delivery,) = await harness.collect(aiter(feed), 1)
                counts.append(delivery.delivery_count)
                assert delivery.redelivered is (number > 0)
                if number % 3 == 1:
                    await delivery.nack()
                    (delivery,) = await harness.collect(aiter(feed), 1)
                    counts.append(delivery.delivery_count)
                # Left without an answer otherwise.
                if number == 11:
                    await delivery.ack()
        exact = [*range(1, 17)]
        assert len(counts) == 16
        if Guarantee.EXACT_DELIVERY_COUNT in broker.guarantees:
            assert counts == exact
        assert all(1 <= found <= most for found, most in zip(counts, exact, strict=True))

    async def test_mandatory_exact(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """UnroutableError if, and only if, no queue took it."""
        exact = Guarantee.MANDATORY_EXACT in broker.guarantees
        for client, name in ((broker, queue), (other, f"{queue}-2")):
            outcomes = await harness.outcomes(
                *(broker.publish(b"", exchange=exchange, mandatory=True) for _ in range(3))
            )
            errors = {type(error) for _, error in outcomes}
            assert errors == ({UnroutableError} if exact else {type(None)}) or not exact
            assert not any(getattr(error, "maybe_applied", False) for _, error in outcomes)
            # One that is not mandatory is no error, beside one that is.
            assert await broker.publish(b"", exchange=exchange)
            await client.create_queue(exchange, name)
            assert await broker.publish({"n": 1}, exchange=exchange, mandatory=True)
            await broker.delete_queue(name)
        async with other.subscribe(exchange, queue) as feed:
            await nothing_comes(feed, 0.05)
            await broker.publish({"n": 2}, exchange=exchange, mandatory=True)
            assert numbers_of(await take(feed, 1, harness)) == [2]

    async def test_direct_routing(
        self, broker: MessageBroker, other: MessageBroker, harness: Harness
    ) -> None:
        """Exactly the queues with that key, and no others."""
        exchange = fresh_name("direct")
        if Guarantee.DIRECT_ROUTING not in broker.guarantees:
            with pytest.raises(NotSupportedError) as refusal:
                await broker.create_exchange(exchange, kind="direct")
            assert refusal.value.feature == "routing"
            return
        await broker.create_exchange(exchange, kind="direct")
        keys = {"none": [], "even": ["0", "2"], "odd": ["1", "3"], "low": ["0", "1"]}
        queues = {word: fresh_name(word) for word in keys}
        for word, queue in queues.items():
            await other.create_queue(exchange, queue, routing_keys=keys[word])
        for number in range(20):
            key = str(number % 4)
            _ = broker.publish_nowait({"n": number}, exchange=exchange, routing_key=key)
        await broker.flush()
        for word, queue in queues.items():
            expected = [number for number in range(20) if str(number % 4) in keys[word]]
            async with broker.subscribe(exchange, queue) as feed:
                assert numbers_of(await take(feed, len(expected), harness)) == expected
                await nothing_comes(feed, 0.02)
        await broker.delete_exchange(exchange)
