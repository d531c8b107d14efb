"""Messages that nobody can process end where somebody can look at them."""

import pytest

from asyncbackends.errors import ExchangeNotFoundError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import DeathReason, QueueOptions, SubscribeOptions
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

__all__ = ("DeadLettersConformance",)

ONE = SubscribeOptions(prefetch=1)


class DeadLettersConformance(BrokerFixtures):
    """``reject``, ``max_deliveries`` and ``dead_letter``."""

    async def test_rejected_message_is_a_dead_letter(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            sent = await broker.publish(
                b"\x00body",
                exchange=exchange,
                headers={"tenant": "blue"},
                correlation_id="correlated",
                reply_to="here",
                expiration=300,
            )
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.reject("no such tenant")
            (letter,) = await take(dead, 1, harness)
            await nothing_comes(feed, 0.05)
            await nothing_comes(dead, 0.02)
        assert letter.body == b"\x00body"
        assert dict(letter.headers) == {"tenant": "blue"}
        assert (letter.correlation_id, letter.reply_to) == ("correlated", "here")
        assert (letter.message_id, letter.exchange) == (f"{sent}:{queue}", graves)
        assert letter.expires_at is None
        assert (letter.redelivered, letter.delivery_count) == (False, 1)
        assert delivery.death is None
        death = letter.death
        assert death is not None
        assert death.reason is DeathReason.REJECTED
        assert death.text == "no such tenant"
        assert (death.exchange, death.queue, death.delivery_count) == (exchange, queue, 1)
        assert abs((harness.now() - death.at).total_seconds()) < 30

    async def test_dead_letter_survives_the_rejecting_client(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves, crypt = await make_exchange("graves"), fresh_name("crypt")
        await broker.create_queue(graves, crypt)
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        await publish_numbers(broker, exchange, range(20))
        async with broker.subscribe(exchange, queue) as feed:
            for delivery in await harness.collect(aiter(feed), 20):
                await delivery.reject()
        # Rejected and left at once: each is a dead letter, or comes again, or both.
        async with (
            broker.subscribe(exchange, queue) as feed,
            broker.subscribe(graves, crypt) as dead,
        ):
            found: set[int] = set()

            async def all_found() -> bool:
                for one in (feed, dead):
                    while True:
                        try:
                            delivery = await one.get(0.02)
                        except TimeoutError:
                            break
                        found.add(delivery["n"])
                        await delivery.ack()
                return len(found) == 20

            assert await harness.eventually(all_found), found

    async def test_message_that_crashes_its_consumers(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        """Nobody ever says anything about it: they are gone."""
        graves = await make_exchange("graves")
        options = QueueOptions(max_deliveries=3, dead_letter=graves)
        await broker.create_queue(exchange, queue, options=options)
        (sent,) = await publish_numbers(broker, exchange, [1])
        async with broker.subscribe(graves) as dead:
            crashes = 0
            while True:
                async with broker.subscribe(exchange, queue, options=ONE) as feed:
                    try:
                        delivery = await feed.get(0.3)
                    except TimeoutError:
                        break
                    crashes += 1
                    assert delivery.delivery_count <= crashes <= 20
            (letter,) = await take(dead, 1, harness)
            await nothing_comes(dead, 0.02)
        assert crashes >= 3
        if Guarantee.EXACT_DELIVERY_COUNT in broker.guarantees:
            assert crashes == 3
        assert letter.message_id == f"{sent}:{queue}"
        death = letter.death
        assert death is not None
        assert death.reason is DeathReason.DELIVERY_LIMIT
        assert death.text
        assert (death.exchange, death.queue, death.delivery_count) == (exchange, queue, 3)

    async def test_poison_does_not_stop_the_others(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        options = QueueOptions(max_deliveries=2, dead_letter=graves)
        await broker.create_queue(exchange, queue, options=options)
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(5))
            done: list[int] = []

            async def work() -> None:
                async for delivery in feed:
                    if delivery["n"] == 2:
                        await delivery.nack()
                    else:
                        await delivery.ack()
                        done.append(delivery["n"])

            async with harness.background(work()):
                assert numbers_of(await take(dead, 1, harness)) == [2]
                assert await harness.eventually(as_condition(lambda: len(done) == 4))
            assert done == [0, 1, 3, 4]

    async def test_dead_letter_may_die_again(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        first, last = await make_exchange("first"), await make_exchange("last")
        between = fresh_name("between")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=first))
        await broker.create_queue(first, between, options=QueueOptions(dead_letter=last))
        async with (
            broker.subscribe(last) as dead,
            broker.subscribe(first, between) as dying,
            broker.subscribe(exchange, queue) as feed,
        ):
            sent = await broker.publish(b"", exchange=exchange, headers={"a": "b"})
            for one, text in ((feed, "first"), (dying, "second")):
                (delivery,) = await harness.collect(aiter(one), 1)
                await delivery.reject(text)
            (letter,) = await take(dead, 1, harness)
            assert letter.message_id == f"{sent}:{queue}:{between}"
            assert dict(letter.headers) == {"a": "b"}
            assert letter.death is not None
            assert (letter.death.text, letter.death.queue) == ("second", between)

    async def test_dead_letter_has_no_expiry(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves, crypt = await make_exchange("graves"), fresh_name("crypt")
        await broker.create_queue(graves, crypt)
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with broker.subscribe(exchange, queue) as feed:
            await broker.publish({"n": 1}, exchange=exchange, expiration=0.5)
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.reject()
            await broker.flush()
            await harness.sleep(1.7)
        async with broker.subscribe(graves, crypt) as dead:
            assert numbers_of(await take(dead, 1, harness)) == [1]

    async def test_biggest_message_may_die(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        async with broker.subscribe(graves) as dead, broker.subscribe(exchange, queue) as feed:
            body = b"x" * (broker.limits.message_bytes or 0)
            await broker.publish(body, exchange=exchange)
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.reject("t" * 500)
            (letter,) = await take(dead, 1, harness)
            assert letter.body == body
            assert letter.death is not None
            assert letter.death.text == "t" * 500

    async def test_dead_letter_that_cannot_be_published_is_not_lost(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        graves = await make_exchange("graves")
        await broker.create_queue(exchange, queue, options=QueueOptions(dead_letter=graves))
        await broker.delete_exchange(graves)
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            await delivery.reject()
            (again,) = await harness.collect(aiter(feed), 1)
            assert again.redelivered
            await broker.create_exchange(graves)
            async with broker.subscribe(graves) as dead:
                await again.reject()
                assert numbers_of(await take(dead, 1, harness)) == [1]
            await nothing_comes(feed, 0.15)

    async def test_dead_letter_exchange_must_be_there(
        self, broker: MessageBroker, exchange: str, queue: str
    ) -> None:
        options = QueueOptions(dead_letter=fresh_name("graves"))
        with pytest.raises(ExchangeNotFoundError):
            await broker.create_queue(exchange, queue, options=options)
        # It was not made: the default options are not in conflict.
        await broker.create_queue(exchange, queue)
