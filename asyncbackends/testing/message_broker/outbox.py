"""What waits for the broker's answer: bounded, in order, told of once."""

import pytest

from asyncbackends.errors import (
    BackendError,
    ExchangeNotFoundError,
    OutboxFullError,
)
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("OutboxConformance",)

HALF = 400_000


class OutboxConformance(BrokerFixtures):
    """``publish_nowait``, ``Receipt``, ``flush``, ``pending``."""

    async def test_receipt_tells_when_it_is_confirmed(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            receipt = broker.publish_nowait({"n": 1}, exchange=exchange)
            # Nobody can have answered yet: nothing was awaited since.
            assert (receipt.done(), broker.pending) == (False, 1)
            assert await receipt == receipt.message_id
            assert (receipt.done(), broker.pending) == (True, 0)
            assert await receipt == receipt.message_id
            (delivery,) = await take(feed, 1, harness)
            assert delivery.message_id == receipt.message_id

    async def test_receipt_of_a_failure_raises(
        self, broker: MessageBroker, harness: Harness
    ) -> None:
        receipt = broker.publish_nowait(b"", exchange=fresh_name("missing"))
        for _ in range(2):
            with pytest.raises(ExchangeNotFoundError):
                await receipt
        assert receipt.done()
        # It was told already.
        await broker.flush()

    async def test_receipt_may_be_awaited_by_several(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        receipt = broker.publish_nowait(b"", exchange=exchange)

        async def wait() -> str:
            return await receipt

        assert await harness.gather(*(wait() for _ in range(3))) == [receipt.message_id] * 3

    async def test_cancelled_wait_takes_nothing_back(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            receipt = broker.publish_nowait({"n": 1}, exchange=exchange)

            async def wait() -> None:
                await receipt

            await harness.cancel_at(wait(), 1)
            assert await receipt == receipt.message_id
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_outbox_has_a_number_of_messages(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with (
            open_broker(outbox_messages=10) as client,
            client.subscribe(exchange) as feed,
        ):
            for first in (0, 10):
                for number in range(first, first + 10):
                    _ = client.publish_nowait({"n": number}, exchange=exchange)
                with pytest.raises(OutboxFullError) as refusal:
                    _ = client.publish_nowait({"n": -1}, exchange=exchange)
                assert refusal.value.retryable
                assert not refusal.value.maybe_applied
                assert client.pending == 10
                await client.flush()
                assert client.pending == 0
            assert numbers_of(await take(feed, 20, harness)) == [*range(20)]
            await nothing_comes(feed, 0.05)

    async def test_outbox_has_a_number_of_bytes(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with (
            open_broker(outbox_bytes=1_000_000) as client,
            client.subscribe(exchange) as feed,
        ):
            for _ in range(2):
                _ = client.publish_nowait(b"x" * HALF, exchange=exchange)
            with pytest.raises(OutboxFullError):
                _ = client.publish_nowait(b"y" * HALF, exchange=exchange)
            # What still fits is taken.
            _ = client.publish_nowait(b"z", exchange=exchange)
            await client.flush()
            sizes = [len(delivery.body) for delivery in await take(feed, 3, harness)]
            assert sizes == [HALF, HALF, 1]

    async def test_publish_waits_for_room(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with (
            open_broker(outbox_messages=2) as client,
            client.subscribe(exchange) as feed,
        ):
            for number in range(2):
                _ = client.publish_nowait({"n": number}, exchange=exchange)
            await publish_numbers(client, exchange, [2])
            assert numbers_of(await take(feed, 3, harness)) == [0, 1, 2]

    async def test_flush_waits_for_all(
        self,
        broker: MessageBroker,
        other: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(300)]
        assert broker.pending == 300
        await broker.flush()
        assert broker.pending == 0
        assert all(receipt.done() for receipt in receipts)
        async with other.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 300, harness)) == [*range(300)]

    async def test_flush_of_nothing(self, broker: MessageBroker, harness: Harness) -> None:
        async with harness.deadline(1):
            await broker.flush()
            await harness.gather(*(broker.flush() for _ in range(5)))

    async def test_flush_tells_failures_once(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        missing = fresh_name("missing")
        async with broker.subscribe(exchange) as feed:
            for number in range(6):
                to = exchange if number % 2 else missing
                _ = broker.publish_nowait({"n": number}, exchange=to)
            with pytest.raises(ExceptionGroup) as told:
                await broker.flush()
            assert [type(error) for error in told.value.exceptions] == [ExchangeNotFoundError] * 3
            assert not any(
                error.maybe_applied
                for error in told.value.exceptions
                if isinstance(error, BackendError)
            )
            await broker.flush()
            assert numbers_of(await take(feed, 3, harness)) == [1, 3, 5]

    async def test_flush_leaves_out_what_was_awaited(
        self, broker: MessageBroker, harness: Harness
    ) -> None:
        missing = fresh_name("missing")
        receipts = [broker.publish_nowait(b"", exchange=missing) for _ in range(4)]
        with pytest.raises(ExchangeNotFoundError):
            await receipts[0]
        with pytest.raises(ExchangeNotFoundError):
            await broker.publish(b"", exchange=missing)
        with pytest.raises(ExceptionGroup) as told:
            await broker.flush()
        assert len(told.value.exceptions) == 3

    async def test_flush_keeps_a_bounded_number_of_failures(
        self, open_broker: OpenBroker, harness: Harness
    ) -> None:
        async with open_broker(outbox_messages=5) as client:
            missing = fresh_name("missing")
            for _ in range(4):
                receipts = [client.publish_nowait(b"", exchange=missing) for _ in range(5)]
                assert await harness.eventually(
                    as_condition(lambda last=receipts[-1]: last.done())  # type: ignore[misc]  # binds now
                )
            with pytest.raises(ExceptionGroup) as told:
                await client.flush()
            assert len(told.value.exceptions) == 5
            await client.flush()

    async def test_failure_does_not_hold_up_the_others(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            outcomes = await harness.outcomes(
                *(
                    broker.publish({"n": n}, exchange=exchange if n % 5 else fresh_name("missing"))
                    for n in range(50)
                )
            )
            failed = [n for n, (_, error) in enumerate(outcomes) if error is not None]
            assert failed == [*range(0, 50, 5)]
            expected = [n for n in range(50) if n % 5]
            assert numbers_of(await take(feed, 40, harness)) == expected

    async def test_errors_name_engine_and_operation(self, broker: MessageBroker) -> None:
        with pytest.raises(ExchangeNotFoundError) as refusal:
            await broker.publish(b"", exchange=fresh_name("missing"))
        assert (refusal.value.engine, refusal.value.operation) == (broker.engine, "publish")
