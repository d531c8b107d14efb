"""A call that is cancelled anywhere has done its work once or not at all, and harms no other."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Cancelling, Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    fresh_name,
    left_in,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("BrokerCancellationConformance",)

MOST_SUSPENSIONS = 100
HOW: list[Cancelling] = ["task", "late", "scope"]


class BrokerCancellationConformance(BrokerFixtures):
    """Cancelling every call at every suspension."""

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_publish_is_stored_once_or_not(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        await broker.create_queue(exchange, queue)
        for suspension in range(1, MOST_SUSPENSIONS):
            call = broker.publish({"n": suspension}, exchange=exchange)
            completed = await harness.cancel_at(call, suspension, how)
            assert await harness.eventually(as_condition(lambda: broker.pending == 0))
            found = await left_in(broker, exchange, queue, -1, harness)
            assert found in ([[suspension]] if completed else [[], [suspension]])
            if completed:
                assert suspension > 1, "publish never suspends: it starves the loop"
                return
        pytest.fail("publish did not end")

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_publish_leaves_the_others(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        """Those side by side are stored once each and in order."""
        async with broker.subscribe(exchange) as feed:
            for _ in range(5):
                calls = [
                    harness.cancel_at(
                        broker.publish({"n": number}, exchange=exchange),
                        1 if number % 3 == 0 else MOST_SUSPENSIONS,
                        how,
                    )
                    for number in range(30)
                ]
                done = await harness.gather(*calls)
                await publish_numbers(broker, exchange, [30])
                found: list[int] = []
                while 30 not in found:
                    found += numbers_of(await take(feed, 1, harness))
                assert found == sorted({*found})
                assert {n for n, completed in enumerate(done) if completed} <= {*found}
                assert broker.pending == 0

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_wait_for_room(
        self,
        open_broker: OpenBroker,
        exchange: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        async with (
            open_broker(outbox_messages=1) as client,
            client.subscribe(exchange) as feed,
        ):
            for suspension in range(1, MOST_SUSPENSIONS):
                _ = client.publish_nowait({"n": 0}, exchange=exchange)
                call = client.publish({"n": 1}, exchange=exchange)
                completed = await harness.cancel_at(call, suspension, how)
                await publish_numbers(client, exchange, [2])
                assert client.pending == 0
                found = numbers_of(await take(feed, 2, harness))
                if found[-1] != 2:
                    found += numbers_of(await take(feed, 1, harness))
                assert found in ([[0, 1, 2]] if completed else [[0, 2], [0, 1, 2]])
                if completed:
                    return
            pytest.fail("publish did not end")

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_get_loses_nothing(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            for suspension in range(1, MOST_SUSPENSIONS):
                handed: list[int] = []

                async def get(into: list[int] = handed) -> None:
                    delivery = await feed.get(10)
                    into.append(delivery["n"])
                    await delivery.ack()

                async with harness.background(harness.cancel_at(get(), suspension, how)) as getting:
                    await publish_numbers(broker, exchange, [suspension])
                    async with harness.deadline(10):
                        completed = await getting.result()
                if not handed:
                    handed += numbers_of(await take(feed, 1, harness))
                assert handed == [suspension]
                await nothing_comes(feed, 0.01)
                if completed:
                    return
            pytest.fail("get did not end")

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_handler_loses_nothing(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        """Receiving, working and acking, cancelled anywhere: done, or delivered again."""
        async with broker.subscribe(exchange, queue) as feed:
            for suspension in range(1, MOST_SUSPENSIONS):
                done: list[int] = []

                async def handle(into: list[int] = done) -> None:
                    async with (await anext(aiter(feed))).process():
                        await harness.sleep(0)
                        await harness.sleep(0.001)
                    into.append(1)

                await publish_numbers(broker, exchange, [suspension])
                completed = await harness.cancel_at(handle(), suspension, how)
                # Only at once is it sure to be in time: else what is waited for may come first.
                assert completed is bool(done) or how != "task"
                if not done:
                    assert numbers_of(await take(feed, 1, harness)) == [suspension]
                await nothing_comes(feed, 0.01)
                if completed:
                    return
            pytest.fail("the handler did not end")

    @pytest.mark.parametrize("how", HOW)
    @pytest.mark.parametrize("private", [False, True], ids=["named", "private"])
    async def test_cancelled_subscribe_leaves_no_consumer(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        private: bool,
        how: Cancelling,
    ) -> None:
        """One that stayed would take messages, and nobody would get them."""
        before = harness.running()

        async def subscribe() -> None:
            async with broker.subscribe(exchange, None if private else queue):
                await harness.sleep(0)

        await broker.create_queue(exchange, queue)
        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(subscribe(), suspension, how)
            await publish_numbers(broker, exchange, range(4))
            async with broker.subscribe(exchange, queue) as feed:
                assert sorted(numbers_of(await take(feed, 4, harness))) == [0, 1, 2, 3]
                await nothing_comes(feed, 0.005)
            if completed:
                assert await harness.eventually(as_condition(lambda: harness.running() == before))
                return
        pytest.fail("subscribe did not end")

    @pytest.mark.parametrize("how", HOW)
    async def test_cancelled_declaration_can_be_made_again(
        self, broker: MessageBroker, harness: Harness, how: Cancelling
    ) -> None:
        exchange, queue = fresh_name("exchange"), fresh_name("queue")
        steps: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: broker.create_exchange(exchange),
            lambda: broker.create_queue(exchange, queue),
            lambda: broker.delete_queue(queue),
            lambda: broker.server_info(),
            lambda: broker.flush(),
            lambda: broker.delete_exchange(exchange),
        ]
        for step in steps:
            for suspension in range(1, MOST_SUSPENSIONS):
                if await harness.cancel_at(step(), suspension, how):
                    break
            else:
                pytest.fail("a declaration did not end")
        await broker.create_exchange(exchange)
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]
        await broker.delete_exchange(exchange)

    async def test_cancelled_consume_loses_nothing(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        for suspension in range(1, MOST_SUSPENSIONS):
            await publish_numbers(broker, exchange, [suspension])
            async with open_broker(exchange=exchange, queue=queue) as client:
                handed: list[int] = []

                async def consume(into: list[int] = handed, client: MessageBroker = client) -> None:
                    delivery = await client.consume()
                    if delivery is not None:
                        into.append(delivery["n"])
                        await client.ack(delivery)

                completed = await harness.cancel_at(consume(), suspension)
            if not handed:
                assert await left_in(broker, exchange, queue, -1, harness) == [suspension]
            if completed:
                return
        pytest.fail("consume did not end")

    async def test_cancelled_open_leaves_nothing_of_a_broker(
        self, open_broker: OpenBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        before = harness.running()

        async def opened() -> None:
            async with open_broker(exchange=exchange, queue=queue) as client:
                await client.publish(b"")

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(opened(), suspension)
            assert await harness.eventually(as_condition(lambda: harness.running() == before))
            if completed:
                break
        async with open_broker() as client, client.subscribe(exchange, queue) as feed:
            await publish_numbers(client, exchange, [1])
            while numbers := (await take(feed, 1, harness))[0].body:
                if numbers == b'{"n":1}':
                    break

    async def test_many_cancelled_publishers_and_consumers(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """What was confirmed is handled at least once; nobody else is disturbed."""
        handled: list[int] = []
        confirmed: list[int] = []

        async def publish(number: int) -> None:
            await (broker, other)[number % 2].publish({"n": number}, exchange=exchange)
            confirmed.append(number)

        async with broker.subscribe(exchange, queue) as feed:

            async def handle() -> None:
                delivery = await feed.get(0.01)
                async with delivery.process():
                    await harness.sleep(0)
                    handled.append(delivery["n"])

            for first in range(0, 200, 20):
                numbers = range(first, first + 20)
                hows: list[Cancelling] = [HOW[number % 3] for number in numbers]
                await harness.gather(
                    *(
                        harness.cancel_at(publish(number), 1 + number % 4, how)
                        for number, how in zip(numbers, hows, strict=True)
                    )
                )
                await harness.outcomes(
                    *(
                        harness.cancel_at(handle(), 1 + number % 5, how)
                        for number, how in zip(numbers, hows, strict=True)
                    )
                )
            while {*confirmed} - {*handled}:
                handled += numbers_of(await take(feed, 1, harness))
        assert broker.pending == other.pending == 0
