"""How a publish ends when the broker does not answer: in exactly one of the documented ways."""

from typing import Any

import pytest

from asyncbackends.errors import (
    BackendClosedError,
    OperationTimeoutError,
    OutboxFullError,
    PublishRejectedError,
    PublishUnconfirmedError,
)
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import Receipt
from asyncbackends.testing.harness import Cancelling, Harness
from asyncbackends.testing.message_broker.fixtures import (
    BrokerFaultFixtures,
    MakeBroker,
    OpenBroker,
)
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    error_of,
    first_numbers,
    left_in,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("DeadlinesConformance",)

DOWN = ConnectionState.DISCONNECTED


class DeadlinesConformance(BrokerFaultFixtures):
    """Deadlines, cancellations and bounds while nothing is confirmed."""

    async def test_outbox_bound_holds_while_the_link_is_down(
        self,
        open_broker: OpenBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with open_broker(outbox_messages=10) as client:
            await client.create_queue(exchange, queue)
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: client.state is DOWN))
            for number in range(10):
                _ = client.publish_nowait({"n": number}, exchange=exchange)
            with pytest.raises(OutboxFullError):
                _ = client.publish_nowait({"n": -1}, exchange=exchange)
            with pytest.raises(OutboxFullError) as refusal:
                await client.publish({"n": -1}, exchange=exchange, timeout=0.05)
            assert not refusal.value.maybe_applied
            assert client.pending == 10
            waiting = harness.gather(
                *(client.publish({"n": n}, exchange=exchange) for n in range(10, 15))
            )
            async with harness.background(waiting) as running:
                await harness.sleep(0.02)
                assert client.pending == 10
                faults.restore_connection()
                await running.result()
            assert await left_in(client, exchange, queue, 15, harness) == [*range(15)]

    async def test_deadline_before_it_was_sent(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Taken out of the outbox, not stored, also not later."""
        await broker.create_queue(exchange, queue)
        faults.drop_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
        _ = broker.publish_nowait({"n": 1}, exchange=exchange)
        for _ in range(2):
            with pytest.raises(OperationTimeoutError) as late:
                await broker.publish({"n": -1}, exchange=exchange, timeout=0.05)
            assert not late.value.maybe_applied
            assert late.value.retryable
        _ = broker.publish_nowait({"n": 2}, exchange=exchange)
        assert broker.pending == 2
        faults.restore_connection()
        await broker.flush()
        assert await left_in(broker, exchange, queue, 3, harness) == [1, 2]

    async def test_deadline_after_it_was_sent(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """It may be stored; it is never sent again, and may be published again with its id."""
        await broker.create_queue(exchange, queue)
        faults.hold_confirms()
        arguments: dict[str, Any] = {"exchange": exchange, "message_id": "uncertain"}
        with pytest.raises(PublishUnconfirmedError) as unknown:
            await broker.publish({"n": 1}, timeout=0.05, **arguments)
        error = unknown.value
        assert error.message_id == "uncertain"
        assert error.maybe_applied
        assert error.retryable
        assert broker.pending == 0
        faults.drop_publishing()
        faults.release_confirms()
        found = await left_in(broker, exchange, queue, 2, harness)
        assert found in ([], [1])
        assert await broker.publish({"n": 1}, **arguments) == "uncertain"
        again = await left_in(broker, exchange, queue, 3, harness)
        assert again in ([], [1])
        assert found or again
        if Guarantee.SERVER_DEDUPE in broker.guarantees:
            assert found + again == [1]

    async def test_others_do_not_wait_for_one_without_an_answer(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        await broker.create_queue(exchange, queue)
        faults.lose_confirms(1)
        first = error_of(broker.publish({"n": 0}, exchange=exchange, timeout=0.3))
        async with harness.background(first) as waiting:
            async with harness.deadline(0.25):
                await publish_numbers(broker, exchange, range(1, 5))
            error = await waiting.result()
        assert isinstance(error, PublishUnconfirmedError)
        assert await left_in(broker, exchange, queue, 5, harness) == [*range(5)]

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_cancelled_before_it_was_sent(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        how: Cancelling,
    ) -> None:
        await broker.create_queue(exchange, queue)
        faults.drop_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
        _ = broker.publish_nowait({"n": 0}, exchange=exchange)
        call = broker.publish({"n": -1}, exchange=exchange)
        assert not await harness.cancel_at(call, 1, how)
        _ = broker.publish_nowait({"n": 1}, exchange=exchange)
        assert broker.pending == 2
        faults.restore_connection()
        await broker.flush()
        assert await left_in(broker, exchange, queue, 2, harness) == [0, 1]

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_cancelled_after_it_was_sent(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        how: Cancelling,
    ) -> None:
        """Nobody knows whether it is stored, and it is not sent again."""
        await broker.create_queue(exchange, queue)
        faults.hold_confirms()

        async def publish() -> None:
            async with harness.deadline(0.05):
                await broker.publish({"n": 1}, exchange=exchange)

        if how == "task":
            with pytest.raises(TimeoutError):
                await publish()
        else:
            assert not await harness.cancel_at(broker.publish({"n": 1}, exchange=exchange), 1, how)
        assert broker.pending == 0
        receipt = broker.publish_nowait({"n": 2}, exchange=exchange)
        await harness.sleep(0.02)
        faults.drop_publishing()
        faults.release_confirms()
        await receipt
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [3])
            assert await first_numbers(feed, 3, harness) in ([1, 2, 3], [2, 3])

    async def test_cancelled_wait_for_a_receipt_takes_nothing_back(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            faults.hold_confirms()
            receipt = broker.publish_nowait({"n": 1}, exchange=exchange)
            assert not await harness.cancel_at(_awaited(receipt), 1)
            assert (receipt.done(), broker.pending) == (False, 1)
            faults.release_confirms()
            assert await receipt == receipt.message_id
            assert numbers_of(await take(feed, 1, harness)) == [1]

    async def test_flush_gives_up_and_keeps(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        await broker.create_queue(exchange, queue)
        faults.drop_connection()
        receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(3)]
        with pytest.raises(OperationTimeoutError):
            await broker.flush(0.05)
        assert broker.pending == 3
        assert not any(receipt.done() for receipt in receipts)
        faults.restore_connection()
        await broker.flush()
        assert await left_in(broker, exchange, queue, 3, harness) == [0, 1, 2]

    async def test_close_before_the_answer(
        self,
        make_broker: MakeBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Sent and unanswered: the error says that it may be stored."""
        client = make_broker()
        await client.connect()
        faults.hold_confirms()
        receipt = client.publish_nowait({"n": 1}, exchange=exchange)
        waiting = error_of(client.publish({"n": 2}, exchange=exchange))
        async with harness.background(waiting) as running:
            await harness.sleep(0.02)
            began = harness.now()
            await client.shutdown(grace=0.1)
            assert (harness.now() - began).total_seconds() < 2.1
            error = await running.result()
        assert isinstance(error, BackendClosedError)
        assert error.maybe_applied
        with pytest.raises(BackendClosedError) as closed:
            await receipt
        assert closed.value.maybe_applied

    async def test_refused_message_is_not_stored(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        await broker.create_queue(exchange, queue)
        faults.refuse_next()
        with pytest.raises(PublishRejectedError) as refusal:
            await broker.publish({"n": -1}, exchange=exchange)
        assert not refusal.value.maybe_applied
        receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(3)]
        await harness.gather(*(_awaited(receipt) for receipt in receipts))
        assert await left_in(broker, exchange, queue, 3, harness) == [0, 1, 2]

    async def test_refused_one_of_a_burst(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            faults.refuse_next()
            calls = (broker.publish({"n": n}, exchange=exchange) for n in range(10))
            outcomes = await harness.outcomes(*calls)
            refused = [n for n, (_, error) in enumerate(outcomes) if error is not None]
            assert len(refused) == 1
            assert isinstance(outcomes[refused[0]][1], PublishRejectedError)
            expected = [n for n in range(10) if n not in refused]
            assert numbers_of(await take(feed, 9, harness)) == expected


async def _awaited(receipt: Receipt) -> None:
    await receipt
