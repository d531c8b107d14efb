"""What a lost link had not answered is sent again: in order, with the same ids, ahead of the rest."""

from typing import Any

from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFaultFixtures
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    first_numbers,
    left_in,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("ReconnectingConformance",)

DOWN = ConnectionState.DISCONNECTED


class ReconnectingConformance(BrokerFaultFixtures):
    """Publishing across a loss of the link."""

    async def test_order_across_a_reconnect(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Sent and unanswered, not yet sent, and published while it was down."""
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(5))
        for number in range(5, 40):
            _ = broker.publish_nowait({"n": number}, exchange=exchange)
        # Some of it is on its way at that moment.
        await harness.sleep(0)
        faults.drop_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
        for number in range(40, 80):
            _ = broker.publish_nowait({"n": number}, exchange=exchange)
        faults.restore_connection()
        await broker.flush()
        await publish_numbers(broker, exchange, [80])
        async with broker.subscribe(exchange, queue) as feed:
            assert await first_numbers(feed, 80, harness) == [*range(81)]

    async def test_order_across_a_cut_at_every_moment(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """With messages sent into a link that is dead already, and others waiting behind them."""
        await broker.create_queue(exchange, queue)
        number = 0
        for moment in range(12):
            for step in range(20):
                _ = broker.publish_nowait({"n": number}, exchange=exchange)
                number += 1
                if step == moment and moment % 2:
                    faults.mute_publishing()
                if step == moment + 3:
                    faults.drop_publishing()
                if step % 3 == moment % 3:
                    await harness.sleep(0)
            await broker.flush()
        await publish_numbers(broker, exchange, [number])
        async with broker.subscribe(exchange, queue) as feed:
            assert await first_numbers(feed, number, harness) == [*range(number + 1)]

    async def test_lost_confirms_are_asked_for_again(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """What was stored and not confirmed is sent again, in order and with the same ids."""
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(3))
        faults.lose_confirms(5)
        receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(3, 20)]
        await harness.sleep(0.05)
        unconfirmed = {number for number, receipt in enumerate(receipts, 3) if not receipt.done()}
        assert unconfirmed
        faults.drop_publishing()
        receipts += [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(20, 25)]
        await broker.flush()
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, [25])
            taken: list[Any] = []
            while not taken or taken[-1]["n"] != 25:
                taken += await take(feed, 1, harness)
        assert [*dict.fromkeys(numbers_of(taken))] == [*range(26)]
        ids = {delivery["n"]: delivery.message_id for delivery in taken}
        assert len({(delivery["n"], delivery.message_id) for delivery in taken}) == 26
        assert [ids[number] for number in range(3, 25)] == [one.message_id for one in receipts]
        repeated = {n for n in range(26) if numbers_of(taken).count(n) > 1}
        assert repeated <= unconfirmed
        if Guarantee.SERVER_DEDUPE in broker.guarantees:
            assert repeated == set()

    async def test_messages_that_never_arrived_are_sent_again(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Ahead of what was published after them."""
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(3))
        faults.mute_publishing()
        receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(3, 10)]
        await harness.sleep(0.02)
        assert not any(receipt.done() for receipt in receipts)
        faults.drop_publishing()
        receipts += [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(10, 15)]
        await broker.flush()
        assert await left_in(broker, exchange, queue, 15, harness) == [*range(15)]
