"""``process()``: settled by how the block ends."""

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import AlreadySettledError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import DeathReason, QueueOptions, SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeExchange
from asyncbackends.testing.message_broker.sample import (
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)
from asyncbackends.testing.message_broker.settling import SETTLINGS

__all__ = ("ProcessingConformance",)


class ProcessingConformance(BrokerFixtures):
    """``Delivery.process``."""

    async def test_block_that_ends_well_acks(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            async with delivery.process():
                await harness.sleep(0)
            with pytest.raises(AlreadySettledError):
                await delivery.ack()
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed)

    async def test_failure_ends_at_the_block_and_backs_off(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            began = harness.now()
            async with delivery.process():
                raise ValueError("on purpose")
            with pytest.raises(AlreadySettledError):
                await delivery.ack()
            (again,) = await take(feed, 1, harness)
            assert again.redelivered
            # Half of the 0.1 s of the first back-off, less what clocks are coarse by.
            assert (harness.now() - began).total_seconds() > 0.03
            await nothing_comes(feed, 0.15)

    async def test_failures_do_not_stop_the_others(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        done: list[int] = []
        tries: dict[int, int] = {}

        async def work(feed: Subscription) -> None:
            async for delivery in feed:
                async with delivery.process():
                    number = delivery["n"]
                    tries[number] = tries.get(number, 0) + 1
                    if number % 2 and tries[number] == 1:
                        raise RuntimeError("on purpose")
                    done.append(number)

        async def all_done() -> bool:
            return len(done) >= 10

        async with (
            broker.subscribe(exchange, queue) as feed,
            harness.background(work(feed)),
        ):
            await publish_numbers(broker, exchange, range(10))
            assert await harness.eventually(all_done)
        assert done[:5] == [0, 2, 4, 6, 8]
        assert sorted(done[5:]) == [1, 3, 5, 7, 9]
        assert tries == {number: number % 2 + 1 for number in range(10)}

    @pytest.mark.parametrize("settling", SETTLINGS)
    @pytest.mark.parametrize("fails", [False, True], ids=["ends well", "fails"])
    async def test_answer_by_hand_inside_counts(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        settling: str,
        fails: bool,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            async with delivery.process():
                await SETTLINGS[settling](delivery)
                if fails:
                    raise ValueError("on purpose")
            if settling == "nack":
                assert numbers_of(await take(feed, 1, harness)) == [1]
            await nothing_comes(feed, 0.15)

    async def test_cancellation_returns_the_message_at_once(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Not with the back-off of a failure, which would be seconds by then; and it goes on."""
        one = SubscribeOptions(prefetch=1)
        async with broker.subscribe(exchange, queue, options=one) as feed:
            await publish_numbers(broker, exchange, [1])
            for _ in range(5):
                (delivery,) = await harness.collect(aiter(feed), 1)
                await delivery.nack()
            (delivery,) = await harness.collect(aiter(feed), 1)
            reached: list[str] = []

            async def work() -> None:
                async with delivery.process():
                    reached.append("inside")
                    await harness.sleep(60)
                reached.append("after")

            began = harness.now()
            assert not await harness.cancel_at(work(), 1)
            assert reached == ["inside"]
            (again,) = await take(feed, 1, harness)
            assert again.redelivered
            assert (harness.now() - began).total_seconds() < 1.0
            with pytest.raises(AlreadySettledError):
                await delivery.ack()
            await nothing_comes(feed, 0.05)

    async def test_limit_ends_in_a_dead_letter(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        options = QueueOptions(max_deliveries=3, dead_letter=graves)
        await broker.create_queue(exchange, queue, options=options)
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            (sent,) = await publish_numbers(broker, exchange, [1])
            counts = [await _fail(feed, harness) for _ in range(3)]
            (letter,) = await take(dead, 1, harness)
            await nothing_comes(feed, 0.3)
            await nothing_comes(dead, 0.02)
        assert counts[0] == 1
        if Guarantee.EXACT_DELIVERY_COUNT in broker.guarantees:
            assert counts == [1, 2, 3]
        assert letter["n"] == 1
        assert letter.message_id == f"{sent}:{queue}"
        assert letter.exchange == graves
        death = letter.death
        assert death is not None
        assert death.reason is DeathReason.DELIVERY_LIMIT
        assert death.text == "ValueError: on purpose"
        assert (death.exchange, death.queue) == (exchange, queue)
        assert death.delivery_count == counts[-1] == 3
        assert abs((harness.now() - death.at).total_seconds()) < 30

    async def test_limit_of_one(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        options = QueueOptions(max_deliveries=1, dead_letter=graves)
        await broker.create_queue(exchange, queue, options=options)
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1, 2])
            assert await _fail(feed, harness) == 1
            assert numbers_of(await take(feed, 1, harness)) == [2]
            assert numbers_of(await take(dead, 1, harness)) == [1]

    async def test_limit_without_a_dead_letter_exchange_drops(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=2))
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            for _ in range(2):
                await _fail(feed, harness)
            await nothing_comes(feed, 0.4)

    async def test_block_outlives_its_subscription(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """What cannot be settled any more is delivered again, and that is no error."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(2))
            well, badly = await harness.collect(aiter(feed), 2)
        async with well.process():
            pass
        async with badly.process():
            raise ValueError("on purpose")
        async with broker.subscribe(exchange, queue) as feed:
            assert sorted(numbers_of(await take(feed, 2, harness))) == [0, 1]

    async def test_text_of_a_failure_is_one_line(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        options = QueueOptions(max_deliveries=1, dead_letter=graves)
        await broker.create_queue(exchange, queue, options=options)
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            async with delivery.process():
                raise ValueError("one\r\ntwo \x00 Grüße \u2028" + "x" * 5000)
            (letter,) = await take(dead, 1, harness)
            assert letter.death is not None
            assert letter.death.text.startswith("ValueError: one two")
            assert "Grüße" in letter.death.text
            assert letter.death.text.isprintable()
            assert len(letter.death.text) <= 500


async def _fail(feed: Subscription, harness: Harness) -> int:
    """Let the handler of the next delivery fail, and give its count."""
    found: list[Delivery] = await harness.collect(aiter(feed), 1)
    async with found[0].process():
        raise ValueError("on purpose")
    return found[0].delivery_count
