"""The pair ``consume`` and ``ack`` over one default subscription."""

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import (
    AlreadySettledError,
    DeliveryGapError,
    ExchangeNotFoundError,
    InvalidRequestError,
)
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("PollingConformance",)


class PollingConformance(BrokerFixtures):
    """``PollingConsumer``."""

    async def test_consume_and_ack(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker(exchange=exchange, queue=queue) as client:
            assert await client.consume() is None
            await publish_numbers(broker, exchange, range(5))
            polled = [await _poll(client, harness) for _ in range(5)]
            assert numbers_of(polled) == [*range(5)]
            assert {delivery.queue for delivery in polled} == {queue}
            for delivery in polled:
                await client.ack(delivery)
            with pytest.raises(AlreadySettledError):
                await client.ack(polled[0])
            assert await client.consume() is None
        async with open_broker(exchange=exchange, queue=queue) as client:
            await harness.sleep(0.05)
            assert await client.consume() is None

    async def test_consume_never_waits(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with open_broker(exchange=exchange, queue=queue) as client:
            began = harness.now()
            for _ in range(100):
                assert await client.consume() is None
            assert (harness.now() - began).total_seconds() < 2

    async def test_queue_is_opened_by_connect(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker(exchange=exchange, queue=queue):
            pass
        await publish_numbers(broker, exchange, [1])
        async with open_broker(exchange=exchange, queue=queue) as client:
            assert (await _poll(client, harness))["n"] == 1

    async def test_polled_and_unacked_message_comes_again(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker(exchange=exchange, queue=queue) as client:
            await publish_numbers(broker, exchange, [1])
            assert not (await _poll(client, harness)).redelivered
        async with broker.subscribe(exchange, queue) as feed:
            (again,) = await take(feed, 1, harness)
            assert again.redelivered

    async def test_without_a_queue_it_is_private_from_the_first_consume(
        self, open_broker: OpenBroker, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with open_broker(exchange=exchange) as client:
            await publish_numbers(broker, exchange, [1])
            assert await client.consume() is None
            await publish_numbers(broker, exchange, [2])
            delivery = await _poll(client, harness)
            assert (delivery["n"], delivery.queue) == (2, None)

    async def test_first_consumes_side_by_side(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker(exchange=exchange) as client:
            assert await harness.gather(*(client.consume() for _ in range(5))) == [None] * 5
            await publish_numbers(broker, exchange, range(3))
            polled = [await _poll(client, harness) for _ in range(3)]
            assert numbers_of(polled) == [0, 1, 2]

    async def test_without_the_option_exchange(self, broker: MessageBroker) -> None:
        with pytest.raises(InvalidRequestError, match="exchange"):
            await broker.consume()

    async def test_polling_an_exchange_that_is_not_there(
        self, open_broker: OpenBroker, queue: str
    ) -> None:
        async with open_broker(exchange=fresh_name()) as client:
            with pytest.raises(ExchangeNotFoundError):
                await client.consume()
            # Nor does that change by asking again.
            with pytest.raises(ExchangeNotFoundError):
                await client.consume()
        with pytest.raises(ExchangeNotFoundError):
            async with open_broker(exchange=fresh_name(), queue=queue):
                pass

    async def test_gap_is_told_to_consume_once(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        async with open_broker(exchange=exchange, queue=queue) as client:
            await broker.delete_queue(queue)
            with pytest.raises(DeliveryGapError) as told:
                await _poll(client, harness)
            assert told.value.gap.reason == "recreated"
            await publish_numbers(broker, exchange, [1])
            assert (await _poll(client, harness))["n"] == 1


async def _poll(client: MessageBroker, harness: Harness) -> Delivery:
    """Ask until there is a delivery."""
    found: list[Delivery] = []

    async def asked() -> bool:
        delivery = await client.consume()
        found.extend([delivery] if delivery is not None else [])
        return delivery is not None

    assert await harness.eventually(asked), "no delivery was there in time"
    return found[0]
