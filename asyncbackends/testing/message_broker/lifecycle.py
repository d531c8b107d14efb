"""Opening, closing, the state of the link, and what a closed broker answers."""

from typing import Any

import pytest

from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConfigurationError,
    PublishError,
)
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.every_call import EVERY_CALL
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, MakeBroker, OpenBroker
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("BrokerLifecycleConformance",)


class BrokerLifecycleConformance(BrokerFixtures):
    """``Backend``."""

    async def test_open_broker_tells_what_it_is(self, broker: MessageBroker) -> None:
        assert isinstance(broker.engine, str)
        assert broker.engine
        assert isinstance(broker.limits, Limits)
        assert broker.limits.message_bytes == 1_000_000
        assert all(isinstance(one, Guarantee) for one in broker.guarantees)
        assert broker.state is ConnectionState.CONNECTED
        assert broker.pending == 0

    async def test_server_info(self, broker: MessageBroker) -> None:
        info = await broker.server_info()
        assert info.product
        assert info.version

    @pytest.mark.parametrize("method", list(EVERY_CALL))
    async def test_call_before_connect_and_after_shutdown(
        self,
        make_broker: MakeBroker,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        method: str,
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            client, call = make_broker(exchange=exchange), EVERY_CALL[method]
            with pytest.raises(BackendClosedError):
                await call(client, exchange, delivery)
            await client.connect()
            await call(client, exchange, delivery)
            await client.shutdown()
            with pytest.raises(BackendClosedError):
                await call(client, exchange, delivery)

    async def test_state_follows_the_lifecycle(self, make_broker: MakeBroker) -> None:
        client = make_broker()
        seen = [client.state]
        await client.connect()
        seen.append(client.state)
        await client.shutdown()
        seen.append(client.state)
        closed = ConnectionState.CLOSED
        assert seen == [closed, ConnectionState.CONNECTED, closed]

    async def test_states_give_the_present_one_and_end_with_closed(
        self, make_broker: MakeBroker, harness: Harness
    ) -> None:
        client = make_broker()
        await client.connect()
        async with client.states() as states:
            (present,) = await harness.collect(states, 1)
            assert present.state is ConnectionState.CONNECTED
            assert abs((harness.now() - present.since).total_seconds()) < 60
            assert await harness.quiet(states, 0.05)
        async with client.states() as states, harness.background(_all(states)) as seen:
            await harness.sleep(0.01)
            await client.shutdown()
            async with harness.deadline(5):
                found = await seen.result()
        assert found[0].state is ConnectionState.CONNECTED
        assert found[-1].state is ConnectionState.CLOSED

    async def test_second_connect_is_an_error(self, make_broker: MakeBroker, exchange: str) -> None:
        client = make_broker()
        await client.connect()
        try:
            with pytest.raises(ConfigurationError):
                await client.connect()
            assert await client.publish(b"", exchange=exchange)
        finally:
            await client.shutdown()

    async def test_shutdown_is_idempotent(self, make_broker: MakeBroker) -> None:
        unconnected = make_broker()
        await unconnected.shutdown()
        client = make_broker()
        await client.connect()
        for _ in range(3):
            await client.shutdown(grace=0)

    async def test_shutdowns_side_by_side_all_end(
        self, make_broker: MakeBroker, exchange: str, harness: Harness
    ) -> None:
        client = make_broker()
        await client.connect()
        for _ in range(10):
            _ = client.publish_nowait(b"", exchange=exchange)
        async with harness.deadline(5):
            await harness.gather(*(client.shutdown() for _ in range(3)))
        assert client.state is ConnectionState.CLOSED

    async def test_shutdown_flushes(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        async with open_broker() as client:
            receipts = [client.publish_nowait({"n": n}, exchange=exchange) for n in range(200)]
        assert all(receipt.done() for receipt in receipts)
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 200, harness)) == [*range(200)]

    async def test_shutdown_sends_the_last_acks(
        self,
        open_broker: OpenBroker,
        broker: MessageBroker,
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(10))
        client = open_broker()
        opened = await client.__aenter__()
        async with opened.subscribe(exchange, queue) as feed:
            for delivery in await harness.collect(aiter(feed), 10):
                await delivery.ack()
            await client.__aexit__(None, None, None)
        async with broker.subscribe(exchange, queue) as feed:
            await nothing_comes(feed)

    async def test_shutdown_ends_what_waits(
        self, make_broker: MakeBroker, exchange: str, harness: Harness
    ) -> None:
        client = make_broker(exchange=exchange)
        await client.connect()

        async def wait(feed: Subscription) -> None:
            await anext(aiter(feed))

        async with client.subscribe(exchange, fresh_name()) as feed:
            waiting = harness.outcomes(wait(feed), wait(feed))
            async with harness.background(waiting) as running:
                await harness.sleep(0.01)
                await client.shutdown()
                async with harness.deadline(5):
                    outcomes = await running.result()
        assert [type(error) for _, error in outcomes] == [BackendClosedError] * 2

    async def test_calls_in_flight_end_with_the_shutdown(
        self, make_broker: MakeBroker, exchange: str, harness: Harness
    ) -> None:
        client = make_broker()
        await client.connect()
        calls = (client.publish(b"", exchange=exchange) for _ in range(20))
        async with harness.background(harness.outcomes(*calls)) as running:
            await client.shutdown()
            async with harness.deadline(5):
                outcomes = await running.result()
        # Each was done, or was refused: none hangs.
        errors = [error for _, error in outcomes if error is not None]
        assert all(isinstance(error, BackendClosedError | PublishError) for error in errors)

    async def test_wrong_parameter_names_the_nearest(
        self, make_broker: MakeBroker, open_broker: OpenBroker
    ) -> None:
        client = make_broker()
        with pytest.raises(ConfigurationError, match="outbox_messages"):
            await client.connect(outbox_mesages=5)
        with pytest.raises(ConfigurationError, match="outbox_messages"):
            async with open_broker(outbox_mesages=5):
                pass

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("outbox_messages", 0),
            ("outbox_bytes", 999_999),
            ("max_message_bytes", 1_000_001),
            ("max_message_bytes", 0),
            ("clock_skew", -1),
            ("operation_timeout", 0),
            ("operation_timeout", "soon"),
        ],
    )
    async def test_wrong_option_is_refused(
        self, open_broker: OpenBroker, option: str, value: Any
    ) -> None:
        with pytest.raises(ConfigurationError, match=option):
            async with open_broker(**{option: value}):
                pass

    async def test_parameters_of_connect_hold(self, make_broker: MakeBroker, exchange: str) -> None:
        client = make_broker()
        await client.connect(exchange=exchange)
        try:
            assert await client.publish(b"")
        finally:
            await client.shutdown()

    async def test_both_ends_in_different_tasks(
        self, make_broker: MakeBroker, exchange: str, harness: Harness
    ) -> None:
        client = make_broker()
        await harness.gather(client.connect())
        (sent,) = await harness.gather(client.publish(b"", exchange=exchange))
        assert sent
        await harness.gather(client.shutdown())

    async def test_subscription_begins_and_ends_in_different_tasks(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        block = broker.subscribe(exchange)

        async def enter() -> Subscription:
            return await block.__aenter__()

        async def leave() -> None:
            await block.__aexit__(None, None, None)

        (feed,) = await harness.gather(enter())
        await publish_numbers(broker, exchange, [1])
        assert numbers_of(await take(feed, 1, harness)) == [1]
        await harness.gather(leave())

    async def test_nothing_of_a_broker_is_left_running(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        before = harness.running()
        for _ in range(3):
            async with (
                open_broker(exchange=exchange) as client,
                client.subscribe(exchange) as feed,
                client.states(),
            ):
                await publish_numbers(client, exchange, [1])
                await take(feed, 1, harness)
                await client.consume()
        assert harness.running() == before

    async def test_guarantees_of_a_broker_can_be_required(
        self, broker: MessageBroker, open_broker: OpenBroker
    ) -> None:
        async with open_broker(require=", ".join(sorted(broker.guarantees))) as other:
            assert other.guarantees == broker.guarantees
        for guarantee in sorted({*Guarantee} - broker.guarantees):
            with pytest.raises(ConfigurationError, match=guarantee):
                async with open_broker(require=guarantee):
                    pass

    async def test_broker_opened_again_and_again(
        self, open_broker: OpenBroker, exchange: str
    ) -> None:
        for _ in range(5):
            async with open_broker() as client:
                assert await client.publish(b"", exchange=exchange)

    async def test_block_around_a_closed_broker_ends_quietly(
        self, make_broker: MakeBroker, exchange: str
    ) -> None:
        client = make_broker()
        await client.connect()
        async with client.subscribe(exchange, fresh_name()), client.subscribe(exchange):
            await client.shutdown()
        with pytest.raises(BackendError):
            await client.publish(b"", exchange=exchange)


async def _all(states: Any) -> list[Any]:
    return [status async for status in states]
