"""Exchanges of kind ``direct``: where the engine has them, and how it says that it has not."""

from typing import Any

import pytest

from asyncbackends.errors import NotSupportedError, UnroutableError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    take,
)

__all__ = ("RoutingConformance",)


class RoutingConformance(BrokerFixtures):
    """``kind``, ``routing_keys``, ``routing_key``."""

    async def test_routing_is_refused_where_there_is_none(
        self, broker: MessageBroker, make_exchange: MakeExchange, exchange: str, queue: str
    ) -> None:
        async def make_direct() -> None:
            await make_exchange(kind="direct")

        async def create_queue() -> None:
            await broker.create_queue(exchange, queue, routing_keys=["red"])

        async def subscribe() -> None:
            async with broker.subscribe(exchange, queue, routing_keys=["red"]):
                pass

        for call in (make_direct, create_queue, subscribe):
            if Guarantee.DIRECT_ROUTING in broker.guarantees:
                await call()
                continue
            with pytest.raises(NotSupportedError) as refusal:
                await call()
            assert refusal.value.feature == "routing"

    async def test_message_goes_to_the_queues_with_its_key(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        make_exchange: MakeExchange,
        harness: Harness,
    ) -> None:
        exchange = await _direct(broker, make_exchange)
        if exchange is None:
            return
        async with (
            broker.subscribe(exchange, fresh_name(), routing_keys=["red"]) as red,
            other.subscribe(exchange, routing_keys=["red", "blue"]) as both,
            broker.subscribe(exchange) as none,
        ):
            for number, key in enumerate(["red", "blue", "green", "", "red"]):
                await broker.publish({"n": number}, exchange=exchange, routing_key=key)
            taken = await take(red, 2, harness)
            assert numbers_of(taken) == [0, 4]
            assert {delivery.routing_key for delivery in taken} == {"red"}
            taken = await take(both, 3, harness)
            assert numbers_of(taken) == [0, 1, 4]
            assert [delivery.routing_key for delivery in taken] == ["red", "blue", "red"]
            for feed in (red, both, none):
                await nothing_comes(feed, 0.03)

    async def test_keys_are_compared_exactly(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        exchange = await _direct(broker, make_exchange)
        if exchange is None:
            return
        keys = ["a", "A", "a.b", "a/b", "a-b", "a_b", "a:b", "a.b.c", ".", "a@", "k" * 200]
        queues = [fresh_name() for _ in keys]
        for key, queue in zip(keys, queues, strict=True):
            await broker.create_queue(exchange, queue, routing_keys=[key])
        for number, key in enumerate(keys):
            await broker.publish({"n": number}, exchange=exchange, routing_key=key)
        for number, (key, queue) in enumerate(zip(keys, queues, strict=True)):
            async with broker.subscribe(exchange, queue) as feed:
                (delivery,) = await take(feed, 1, harness)
                assert (delivery["n"], delivery.routing_key) == (number, key)
                await nothing_comes(feed, 0.02)

    async def test_keys_are_added(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        make_exchange: MakeExchange,
        harness: Harness,
    ) -> None:
        exchange, queue = await _direct(broker, make_exchange), fresh_name()
        if exchange is None:
            return
        await broker.create_queue(exchange, queue, routing_keys=["a"])
        await other.create_queue(exchange, queue, routing_keys=["b", "a"])
        async with other.subscribe(exchange, queue, routing_keys=["c"]) as feed:
            for number, key in enumerate("abcd"):
                await broker.publish({"n": number}, exchange=exchange, routing_key=key)
            # Each once, however often its key was given.
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]
            await nothing_comes(feed, 0.05)

    async def test_order_holds_over_keys(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        exchange = await _direct(broker, make_exchange)
        if exchange is None:
            return
        async with broker.subscribe(exchange, routing_keys=["0", "1", "2"]) as feed:
            for number in range(90):
                key = str(number % 3)
                _ = broker.publish_nowait({"n": number}, exchange=exchange, routing_key=key)
            await broker.flush()
            assert numbers_of(await take(feed, 90, harness)) == [*range(90)]

    async def test_mandatory_looks_at_the_key(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        exchange = await _direct(broker, make_exchange)
        if exchange is None:
            return
        arguments: dict[str, Any] = {"exchange": exchange, "mandatory": True}
        async with broker.subscribe(exchange, routing_keys=["red"]) as feed:
            if Guarantee.MANDATORY_EXACT in broker.guarantees:
                for key in ("blue", ""):
                    with pytest.raises(UnroutableError):
                        await broker.publish({"n": 0}, routing_key=key, **arguments)
            await broker.publish({"n": 1}, routing_key="red", **arguments)
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_fanout_takes_no_notice_of_keys(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        if Guarantee.DIRECT_ROUTING not in broker.guarantees:
            async with broker.subscribe(exchange) as feed:
                await broker.publish({"n": 1}, exchange=exchange, routing_key="red")
                assert numbers_of(await take(feed, 1, harness)) == [1]
            return
        async with (
            broker.subscribe(exchange, queue, routing_keys=["red"]) as keyed,
            broker.subscribe(exchange) as plain,
        ):
            for number, key in enumerate(["red", "blue", ""]):
                await broker.publish({"n": number}, exchange=exchange, routing_key=key)
            for feed in (keyed, plain):
                taken = await take(feed, 3, harness)
                assert numbers_of(taken) == [0, 1, 2]
                assert [delivery.routing_key for delivery in taken] == ["red", "blue", ""]

    async def test_dead_letter_keeps_its_key(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await _direct(broker, make_exchange)
        if graves is None:
            return
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with (
            broker.subscribe(graves, routing_keys=["red"]) as red,
            broker.subscribe(graves, routing_keys=["blue"]) as blue,
            broker.subscribe(exchange, queue) as feed,
        ):
            for number, key in enumerate(["red", "blue"]):
                await broker.publish({"n": number}, exchange=exchange, routing_key=key)
            for delivery in await harness.collect(aiter(feed), 2):
                await delivery.reject()
            for dead, number, key in ((red, 0, "red"), (blue, 1, "blue")):
                (letter,) = await take(dead, 1, harness)
                assert (letter["n"], letter.routing_key) == (number, key)

    async def test_many_clients_on_one_exchange(
        self, broker: MessageBroker, make_exchange: MakeExchange, harness: Harness
    ) -> None:
        """As replies are: each gets its own and nobody else's."""
        exchange = await _direct(broker, make_exchange)
        if exchange is None:
            return

        async def client(number: int) -> list[int]:
            async with broker.subscribe(exchange, routing_keys=[f"client-{number}"]) as feed:
                for step in range(3):
                    message = {"n": number * 10 + step}
                    key = f"client-{number}"
                    await broker.publish(message, exchange=exchange, routing_key=key)
                return numbers_of(await take(feed, 3, harness))

        found = await harness.gather(*(client(number) for number in range(30)))
        assert found == [[number * 10 + step for step in range(3)] for number in range(30)]


async def _direct(broker: MessageBroker, make_exchange: MakeExchange) -> str | None:
    """Give an exchange of kind direct; None where there is none, which is tested by itself."""
    if Guarantee.DIRECT_ROUTING not in broker.guarantees:
        return None
    return await make_exchange(kind="direct")
