"""A broker that blocks publishers, or closes the link because of one message."""

import pytest

from asyncbackends.errors import (
    OperationTimeoutError,
    PublishRejectedError,
    PublishUnconfirmedError,
)
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import (
    BrokerFaultFixtures,
    MakeBroker,
    MakeExchange,
)
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import (
    as_condition,
    first_numbers,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("BlockingConformance", "CulpritsConformance")

BLOCKED = ConnectionState.BLOCKED


class BlockingConformance(BrokerFaultFixtures):
    """``ConnectionState.BLOCKED``."""

    async def test_blocked_publisher_waits(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            faults.block()
            receipts = [broker.publish_nowait({"n": n}, exchange=exchange) for n in range(10)]
            assert await harness.eventually(as_condition(lambda: broker.state is BLOCKED))
            with pytest.raises((OperationTimeoutError, PublishUnconfirmedError)):
                await broker.publish({"n": -1}, exchange=exchange, timeout=0.05)
            assert broker.pending == 10
            assert not any(receipt.done() for receipt in receipts)
            faults.unblock()
            await broker.flush()
            assert broker.state is ConnectionState.CONNECTED
            await publish_numbers(broker, exchange, [10])
            found = await first_numbers(feed, 10, harness)
            assert [number for number in found if number >= 0] == [*range(11)]

    async def test_blocked_broker_still_serves_consumers(
        self,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange, queue) as feed:
            await publish_numbers(broker, exchange, range(10))
            faults.block()
            receipt = broker.publish_nowait({"n": 10}, exchange=exchange)
            assert await harness.eventually(as_condition(lambda: broker.state is BLOCKED))
            assert numbers_of(await take(feed, 10, harness)) == [*range(10)]
            assert (await broker.server_info()).product
            faults.unblock()
            await receipt
            assert numbers_of(await take(feed, 1, harness)) == [10]

    async def test_shutdown_of_a_blocked_broker_ends(
        self,
        make_broker: MakeBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        client = make_broker()
        await client.connect()
        faults.block()
        _ = client.publish_nowait(b"", exchange=exchange)
        assert await harness.eventually(as_condition(lambda: client.state is BLOCKED))
        began = harness.now()
        await client.shutdown(grace=0.1)
        assert (harness.now() - began).total_seconds() < 2.1

    async def test_link_lost_while_blocked(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            faults.block()
            for number in range(5):
                _ = broker.publish_nowait({"n": number}, exchange=exchange)
            assert await harness.eventually(as_condition(lambda: broker.state is BLOCKED))
            faults.drop_publishing()
            await harness.sleep(0.05)
            _ = broker.publish_nowait({"n": 5}, exchange=exchange)
            faults.unblock()
            await broker.flush()
            assert await first_numbers(feed, 5, harness) == [*range(6)]


class CulpritsConformance(BrokerFaultFixtures):
    """A server that closes the link because of one message does not stop the others."""

    @pytest.mark.parametrize("culprits", [[0], [7], [19], [3, 4], [0, 10, 19]], ids=str)
    async def test_culprit_is_found(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
        culprits: list[int],
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            for number in culprits:
                faults.close_at(f"number-{number}")
            outcomes = await harness.outcomes(
                *(
                    broker.publish({"n": n}, exchange=exchange, message_id=f"number-{n}")
                    for n in range(20)
                )
            )
            refused = [n for n, (_, error) in enumerate(outcomes) if error is not None]
            assert refused == culprits
            assert all(isinstance(outcomes[n][1], PublishRejectedError) for n in culprits)
            await publish_numbers(broker, exchange, [20])
            found = await first_numbers(feed, 20, harness)
            assert found == [n for n in range(21) if n not in culprits]
            assert broker.pending == 0

    async def test_culprit_alone(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        faults.close_at("alone")
        for _ in range(2):
            with pytest.raises(PublishRejectedError) as refusal:
                await broker.publish(b"", exchange=exchange, message_id="alone", timeout=10)
            assert not refusal.value.maybe_applied
        assert await broker.publish(b"", exchange=exchange)

    async def test_culprit_among_exchanges(
        self,
        broker: MessageBroker,
        make_exchange: MakeExchange,
        harness: Harness,
        faults: LinkFaults,
    ) -> None:
        """Messages published while the culprit is looked for keep their order too."""
        one, two = await make_exchange(), await make_exchange()
        async with broker.subscribe(one) as here, broker.subscribe(two) as there:
            faults.close_at("culprit")
            culprit = broker.publish_nowait({"n": -1}, exchange=one, message_id="culprit")
            for number in range(15):
                _ = broker.publish_nowait({"n": number}, exchange=(one, two)[number % 2])
                await harness.sleep(0.002)
            with pytest.raises(PublishRejectedError):
                await culprit
            for number in range(15, 20):
                _ = broker.publish_nowait({"n": number}, exchange=(one, two)[number % 2])
            await broker.flush()
            assert await first_numbers(here, 18, harness) == [*range(0, 20, 2)]
            assert await first_numbers(there, 19, harness) == [*range(1, 20, 2)]
