"""Exchanges and queues: made once, as they are, until they are deleted."""

from typing import Any

import pytest

from asyncbackends.errors import (
    DeclarationConflictError,
    ExchangeNotFoundError,
    NotSupportedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("DeclarationsConformance",)

OTHERWISE: dict[str, Any] = {
    "durable": False,
    "queue_type": "classic",
    "max_length": 5,
    "overflow": "drop_oldest",
    "message_ttl": 60.0,
    "max_deliveries": 5,
}


class DeclarationsConformance(BrokerFixtures):
    """``Exchanges`` and ``Queues``."""

    async def test_exchange_is_made_once(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, [1])
        await broker.create_exchange(exchange)
        await other.create_exchange(exchange)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_exchange_made_side_by_side(
        self, broker: MessageBroker, other: MessageBroker, harness: Harness
    ) -> None:
        exchange, queue = fresh_name("exchange"), fresh_name("queue")
        await harness.gather(
            *(client.create_exchange(exchange) for client in (broker, other) for _ in range(5))
        )
        await harness.gather(
            *(client.create_queue(exchange, queue) for client in (broker, other) for _ in range(5))
        )
        async with other.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]
        await broker.delete_exchange(exchange)

    async def test_exchange_with_another_durability(
        self, broker: MessageBroker, other: MessageBroker, make_exchange: MakeExchange
    ) -> None:
        for durable in (True, False):
            exchange = await make_exchange(durable=durable)
            with pytest.raises(DeclarationConflictError, match=exchange) as refusal:
                await other.create_exchange(exchange, durable=not durable)
            error = refusal.value
            assert (error.name, error.expected, error.actual) == (exchange, not durable, durable)
            await other.create_exchange(exchange, durable=durable)

    async def test_exchange_of_another_kind(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        make_exchange: MakeExchange,
    ) -> None:
        if Guarantee.DIRECT_ROUTING not in broker.guarantees:
            # Then there is one kind.
            await other.create_exchange(exchange, kind="fanout")
            return
        with pytest.raises(DeclarationConflictError) as refusal:
            await other.create_exchange(exchange, kind="direct")
        error = refusal.value
        assert (error.name, error.expected, error.actual) == (exchange, "direct", "fanout")
        with pytest.raises(DeclarationConflictError):
            await other.create_exchange(await make_exchange(kind="direct"))

    async def test_queue_is_made_once(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        options = QueueOptions(max_deliveries=5, message_ttl=60.0)
        await broker.create_queue(exchange, queue, options=options)
        await publish_numbers(broker, exchange, [1])
        await broker.create_queue(exchange, queue, options=options)
        await other.create_queue(exchange, queue, options=options)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 1, harness)) == [1]

    @pytest.mark.parametrize("option", [*OTHERWISE, "dead_letter"])
    async def test_queue_with_another_option(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        option: str,
    ) -> None:
        value: Any = OTHERWISE[option] if option in OTHERWISE else await make_exchange("graves")
        plain, special = QueueOptions(), QueueOptions(**{option: value})
        if option == "max_length" and Guarantee.BOUNDED_QUEUES not in broker.guarantees:
            with pytest.raises(NotSupportedError):
                await broker.create_queue(exchange, "bounded", options=special)
            return
        for there, asked in ((plain, special), (special, plain)):
            queue = fresh_name("queue")
            await broker.create_queue(exchange, queue, options=there)
            with pytest.raises(DeclarationConflictError, match=option) as refusal:
                await other.create_queue(exchange, queue, options=asked)
            error = refusal.value
            assert (error.name, error.expected) == (queue, getattr(asked, option))
            assert error.actual == getattr(there, option)
            await other.create_queue(exchange, queue, options=there)

    async def test_queue_belongs_to_one_exchange(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        elsewhere = await make_exchange()
        await broker.create_queue(exchange, queue)
        with pytest.raises(DeclarationConflictError) as refusal:
            await other.create_queue(elsewhere, queue)
        error = refusal.value
        assert (error.name, error.expected, error.actual) == (queue, elsewhere, exchange)
        with pytest.raises(DeclarationConflictError):
            async with other.subscribe(elsewhere, queue):
                pass
        # Once it is deleted, its name is free.
        await broker.delete_queue(queue)
        async with other.subscribe(elsewhere, queue) as feed:
            await publish_numbers(broker, elsewhere, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_subscription_takes_a_queue_as_it_is(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=1))
        async with other.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            # Its limit holds, and it has no dead letter exchange.
            await delivery.nack()
            await nothing_comes(feed)

    async def test_subscription_makes_a_queue_with_default_options(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, queue: str
    ) -> None:
        async with other.subscribe(exchange, queue):
            pass
        await broker.create_queue(exchange, queue, options=QueueOptions())
        with pytest.raises(DeclarationConflictError):
            await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=5))

    async def test_deleted_queue_is_gone_with_its_messages(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=5))
        await publish_numbers(broker, exchange, range(3))
        await other.delete_queue(queue)
        for client in (broker, other):
            await client.delete_queue(queue)
        await publish_numbers(broker, exchange, [3])
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [4])
            assert numbers_of(await take(feed, 1, harness)) == [4]
            await nothing_comes(feed, 0.05)

    async def test_deleted_exchange_takes_its_queues_along(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=5))
        await publish_numbers(broker, exchange, range(3))
        await other.delete_exchange(exchange)
        for client in (broker, other):
            await client.delete_exchange(exchange)
        await broker.create_exchange(exchange)
        # With other options it would be in conflict if it were still there.
        await broker.create_queue(exchange, queue)
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [4])
            assert numbers_of(await take(feed, 1, harness)) == [4]
            await nothing_comes(feed, 0.05)

    async def test_exchange_that_is_not_there(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        missing = fresh_name("missing")
        with pytest.raises(ExchangeNotFoundError, match=missing) as refusal:
            await broker.publish(b"", exchange=missing)
        assert not refusal.value.maybe_applied
        receipt = broker.publish_nowait(b"", exchange=missing)
        with pytest.raises(ExchangeNotFoundError):
            await receipt
        with pytest.raises(ExchangeNotFoundError):
            await broker.create_queue(missing, queue)
        for name in (queue, None):
            with pytest.raises(ExchangeNotFoundError):
                async with broker.subscribe(missing, name):
                    pass
        # Everything else goes on.
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_exchange_deleted_under_a_publisher(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        await broker.publish(b"", exchange=exchange)
        await other.delete_exchange(exchange)
        with pytest.raises(ExchangeNotFoundError):
            await broker.publish(b"", exchange=exchange)
        await other.create_exchange(exchange)
        await broker.publish(b"", exchange=exchange)

    async def test_exchange_deleted_under_a_subscription(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """It hears of it, instead of waiting for ever."""
        async with other.subscribe(exchange, queue) as feed:
            await broker.delete_exchange(exchange)
            async with harness.deadline(10):
                with pytest.raises(ExchangeNotFoundError):
                    await anext(aiter(feed))
        assert await harness.eventually(as_condition(lambda: other.pending == 0))

    async def test_names_with_every_character(
        self, broker: MessageBroker, other: MessageBroker, harness: Harness
    ) -> None:
        """None is taken for another, however a broker writes it."""
        stem = fresh_name("x")
        signs = ["", ".", "-", "_", ":", "/", "@", "_.", "A", "a", "--", ".x", "/x", "0"]
        names = [f"{stem}{sign}" for sign in signs]
        names.append(stem + "n" * (200 - len(stem)))
        for name in names:
            await broker.create_exchange(name)
            await broker.create_queue(name, name)
        for number, name in enumerate(names):
            await other.publish({"n": number}, exchange=name, mandatory=True)
        for number, name in enumerate(names):
            async with other.subscribe(name, name) as feed:
                (delivery,) = await take(feed, 1, harness)
                assert (delivery["n"], delivery.exchange) == (number, name)
                assert delivery.queue == name
            await broker.delete_exchange(name)
