"""Links that are lost and come back: order, confirms, iteration, state."""

import pytest

from asyncbackends.errors import (
    BackendClosedError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import (
    BrokerFaultFixtures,
    MakeBroker,
    OpenBroker,
)
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    cut,
    error_of,
    first_numbers,
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("OutagesConformance",)

DOWN = ConnectionState.DISCONNECTED
UP = ConnectionState.CONNECTED


class OutagesConformance(BrokerFaultFixtures):
    """The link goes, and comes back."""

    async def test_publisher_notices_nothing(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            faults.drop_connection()
            publishing = harness.gather(
                *(broker.publish({"n": number}, exchange=exchange) for number in range(10))
            )
            async with harness.background(publishing) as running:
                await harness.sleep(0.05)
                assert broker.pending == 10
                faults.restore_connection()
                async with harness.deadline(20):
                    assert len(await running.result()) == 10
            assert await first_numbers(feed, 9, harness) == [*range(10)]

    @pytest.mark.parametrize("private", [False, True], ids=["named", "private"])
    async def test_iteration_survives_an_outage(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        private: bool,
    ) -> None:
        async with broker.subscribe(exchange, None if private else queue) as feed:
            for number in range(4):
                async with harness.background(feed.get(30)) as getting:
                    await harness.sleep(0.01)
                    faults.drop_connection()
                    assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
                    _ = broker.publish_nowait({"n": number}, exchange=exchange)
                    faults.restore_connection()
                    delivery = await getting.result()
                    assert delivery["n"] == number
                    await delivery.ack()
                assert await harness.eventually(as_condition(lambda: broker.state is UP))
            # No message was lost, and nobody says so.
            assert feed.gaps == 0

    @pytest.mark.parametrize("private", [False, True], ids=["named", "private"])
    async def test_queue_keeps_messages_while_its_consumer_is_away(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
        private: bool,
    ) -> None:
        async with broker.subscribe(exchange, None if private else queue) as feed:
            found: dict[int, None] = {}
            for first in range(0, 30, 10):
                faults.drop_consuming()
                await publish_numbers(broker, exchange, range(first, first + 10))
                # Acks that were on their way may be lost, and the messages come again.
                found |= dict.fromkeys(await first_numbers(feed, first + 9, harness))
            assert [*found] == [*range(30)]
            assert feed.gaps == 0

    async def test_state_tells_of_the_outage(
        self, broker: MessageBroker, harness: Harness, faults: LinkFaults
    ) -> None:
        seen: list[ConnectionStatus] = []

        async def follow() -> None:
            async with broker.states() as states:
                while True:
                    seen.append(await anext(states))

        async with harness.background(follow()):
            await harness.sleep(0.01)
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
            await harness.sleep(0.02)
            faults.restore_connection()
            assert await harness.eventually(as_condition(lambda: broker.state is UP))
            await harness.sleep(0.02)
        assert seen[0].state is seen[-1].state is UP
        down = next(status for status in seen if status.state is DOWN)
        assert down.reason

    async def test_declaration_waits_for_the_link(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        faults.drop_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
        async with harness.background(broker.create_queue(exchange, queue)) as creating:
            await harness.sleep(0.05)
            faults.restore_connection()
            await creating.result()
        await broker.publish(b"", exchange=exchange, mandatory=True)

    async def test_declaration_gives_up(
        self,
        open_broker: OpenBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with open_broker(operation_timeout=0.5) as client:
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: client.state is DOWN))
            for call in (
                lambda: client.create_exchange(fresh_name()),
                lambda: client.create_queue(exchange, queue),
                lambda: client.delete_queue(queue),
                lambda: client.server_info(),
            ):
                with pytest.raises(ConnectionLostError) as lost:
                    await call()
                assert not lost.value.maybe_applied
                assert lost.value.retryable
            faults.restore_connection()
            assert await harness.eventually(as_condition(lambda: client.state is UP))
            await client.create_queue(exchange, queue)

    async def test_first_contact_fails_fast(
        self, open_broker: OpenBroker, harness: Harness, faults: LinkFaults
    ) -> None:
        before = harness.running()
        faults.drop_connection()
        async with harness.deadline(5):
            with pytest.raises(ConnectionFailedError):
                async with open_broker(connect_timeout=1):
                    pass
        faults.restore_connection()
        async with open_broker():
            pass
        assert await harness.eventually(as_condition(lambda: harness.running() <= before + 5))

    async def test_shutdown_while_the_link_is_down(
        self,
        make_broker: MakeBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        client = make_broker()
        await client.connect()
        async with client.subscribe(exchange, fresh_name()) as feed:
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: client.state is DOWN))
            receipt = client.publish_nowait({"n": 1}, exchange=exchange)
            waiting = error_of(client.publish({"n": 2}, exchange=exchange))
            async with harness.background(waiting) as running:
                began = harness.now()
                await client.shutdown(grace=0.2)
                assert (harness.now() - began).total_seconds() < 2.2
                error = await running.result()
            assert isinstance(error, BackendClosedError)
            # It was never sent.
            assert not error.maybe_applied
            with pytest.raises(BackendClosedError):
                await receipt
            with pytest.raises(BackendClosedError):
                await anext(aiter(feed))
        faults.restore_connection()

    async def test_subscribing_while_the_link_is_down(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        faults.drop_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is DOWN))

        async def follow() -> list[int]:
            async with broker.subscribe(exchange, queue) as feed:
                return numbers_of(await take(feed, 1, harness))

        async with harness.background(follow()) as following:
            await harness.sleep(0.02)
            faults.restore_connection()
            assert await harness.eventually(as_condition(lambda: broker.state is UP))
            await broker.create_queue(exchange, queue)
            await publish_numbers(broker, exchange, [1])
            assert await following.result() == [1]

    async def test_cancelled_subscribing_is_not_taken_up_again(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """By the next link: its consumer would take messages that nobody gets."""
        await broker.create_queue(exchange, queue)

        async def subscribe() -> None:
            async with broker.subscribe(exchange, queue):
                await harness.sleep(0)

        for suspension in range(1, 100):
            completed = await harness.cancel_at(subscribe(), suspension)
            await cut(broker, harness, faults.drop_consuming)
            await publish_numbers(broker, exchange, range(4))
            async with broker.subscribe(exchange, queue) as feed:
                assert sorted(numbers_of(await take(feed, 4, harness))) == [*range(4)]
            if completed:
                return
        pytest.fail("subscribe did not end")

    async def test_leaving_while_the_link_is_down(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """What was held goes to others, and no consumer is left behind."""
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(4))
            await harness.collect(aiter(feed), 2)
            faults.drop_connection()
            assert await harness.eventually(as_condition(lambda: broker.state is DOWN))
        faults.restore_connection()
        assert await harness.eventually(as_condition(lambda: broker.state is UP))
        async with broker.subscribe(exchange, queue) as feed:
            assert sorted(numbers_of(await take(feed, 4, harness))) == [*range(4)]
            await nothing_comes(feed, 0.05)
