"""A message broker whose server is disturbed by the memory engine's switchboard."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from asyncbackends import ConnectionState, MessageBroker, open_message_broker
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendClosedError,
    ConfigurationError,
    ConnectionFailedError,
    DeliveryGapError,
    OperationTimeoutError,
    PublishRejectedError,
    PublishUnconfirmedError,
    StaleDeliveryError,
)
from asyncbackends.opening import Opener
from asyncbackends.protocols.message_broker import Subscription
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.protocols.values import Gap
from asyncbackends_memory import BrokerFaults, broker_faults

ENDPOINT = "disturbed"


@pytest.fixture
def faults() -> Generator[BrokerFaults]:
    yield broker_faults(ENDPOINT)
    broker_faults(ENDPOINT).clear()


def opened(**options: Any) -> Opener[MessageBroker]:
    return open_message_broker(engine="memory", endpoints=ENDPOINT, **options)


async def ids(subscription: Subscription, count: int) -> list[str | None]:
    """Ack so many deliveries and give their ids."""
    found: list[str | None] = []
    for _ in range(count):
        delivery = await subscription.get(5)
        found.append(delivery.message_id)
        await delivery.ack()
    return found


async def quiet(subscription: Subscription) -> bool:
    try:
        await subscription.get(0.05)
    except OperationTimeoutError:
        return True
    return False


async def until(broker: MessageBroker, state: ConnectionState) -> None:
    async with asyncio.timeout(5), broker.states() as states:
        async for status in states:
            if status.state is state:
                return


async def test_messages_keep_their_order_and_come_once_over_lost_links(
    faults: BrokerFaults,
) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            sent: list[str] = []
            for round_ in range(10):
                sent += [broker.publish_nowait(b"", exchange="e").message_id for _ in range(20)]
                await asyncio.sleep(0)
                (faults.drop_publishing if round_ % 2 else faults.drop_connection)()
                faults.restore_connection()
            await broker.flush()
            found: list[str | None] = []
            while len(set(found)) < len(sent):
                found += await ids(subscription, 1)
            firsts = [one for one in dict.fromkeys(found) if one in sent]
            assert firsts == sent
            # Only deliveries come twice, whose answers were lost; nothing is stored twice.
            assert await quiet(subscription)


async def test_lost_confirms_are_made_good_by_sending_again(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            faults.lose_confirms(2)
            receipts = [broker.publish_nowait(b"", exchange="e") for _ in range(4)]
            await asyncio.sleep(0.05)
            assert [receipt.done() for receipt in receipts] == [False, False, True, True]
            assert broker.pending == 2
            faults.drop_publishing()
            await broker.flush()
            assert await ids(subscription, 4) == [receipt.message_id for receipt in receipts]
            assert await quiet(subscription)


async def test_a_confirm_that_does_not_come_leaves_the_message_unconfirmed(
    faults: BrokerFaults,
) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            faults.hold_confirms()
            with pytest.raises(PublishUnconfirmedError) as raised:
                await broker.publish(b"", exchange="e", message_id="held", timeout=0.1)
            assert raised.value.message_id == "held"
            faults.release_confirms()
            assert await broker.publish(b"", exchange="e", message_id="held") == "held"
            assert await ids(subscription, 1) == ["held"]
            assert await quiet(subscription)


async def test_the_message_that_closes_the_link_is_found_and_the_others_are_stored(
    faults: BrokerFaults,
) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            faults.close_at("3")
            receipts = [
                broker.publish_nowait(b"", exchange="e", message_id=str(one)) for one in range(6)
            ]
            with pytest.raises(PublishRejectedError):
                async with asyncio.timeout(5):
                    await receipts[3]
            await broker.flush()
            assert await ids(subscription, 5) == ["0", "1", "2", "4", "5"]
            assert await quiet(subscription)


async def test_a_refused_message_is_rejected(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        faults.refuse_next()
        with pytest.raises(PublishRejectedError):
            await broker.publish(b"", exchange="e")
        await broker.publish(b"", exchange="e")


async def test_a_blocked_broker_shows_it_and_takes_nothing(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            await broker.publish(b"", exchange="e", message_id="a")
            faults.block("no memory")
            await until(broker, ConnectionState.BLOCKED)
            with pytest.raises(OperationTimeoutError):
                await broker.publish(b"", exchange="e", message_id="b", timeout=0.1)
            receipt = broker.publish_nowait(b"", exchange="e", message_id="c")
            assert await ids(subscription, 1) == ["a"]
            faults.unblock()
            await receipt
            assert broker.state is ConnectionState.CONNECTED
            assert await ids(subscription, 1) == ["c"]


async def test_deliveries_of_a_lost_link_are_stale_and_come_again(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            await broker.publish(b"", exchange="e", message_id="a")
            stale = await subscription.get(5)
            faults.drop_consuming()
            await until(broker, ConnectionState.DISCONNECTED)
            with pytest.raises(StaleDeliveryError):
                await stale.ack()
            again = await subscription.get(5)
            assert (again.message_id, again.delivery_count, again.redelivered) == ("a", 2, True)
            await again.ack()
            assert subscription.gaps == 0


async def test_a_link_that_is_lost_amid_acks_redelivers_the_rest(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            for one in "abcd":
                await broker.publish(b"", exchange="e", message_id=one)
            deliveries = [await subscription.get(5) for _ in "abcd"]
            faults.drop_in_settle(1)
            for delivery in deliveries:
                await delivery.ack()
            assert await ids(subscription, 3) == ["b", "c", "d"]
            assert await quiet(subscription)


async def test_lost_answers_come_again_with_the_next_link(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        async with broker.subscribe("e", "q") as subscription:
            await broker.publish(b"", exchange="e", message_id="a")
            faults.lose_settles(1)
            assert await ids(subscription, 1) == ["a"]
            assert await quiet(subscription)
            faults.drop_consuming()
            assert await ids(subscription, 1) == ["a"]


@pytest.mark.parametrize("how", ["remake_queue", "delete_queue"])
async def test_a_queue_that_is_gone_is_a_gap(faults: BrokerFaults, how: str) -> None:
    gaps: list[Gap] = []

    async def on_gap(gap: Gap) -> None:
        gaps.append(gap)

    async with opened() as broker:
        await broker.create_exchange("e")
        async with (
            broker.subscribe("e", "q", on_gap=on_gap) as told,
            broker.subscribe("e") as other,
        ):
            await broker.publish(b"", exchange="e", message_id="a")
            assert await ids(told, 1) == ["a"]
            getattr(faults, how)("q")
            await asyncio.sleep(0.1)
            await broker.publish(b"", exchange="e", message_id="b")
            assert await ids(told, 1) == ["b"]
            assert (gaps, told.gaps) == ([Gap("recreated")], 1)
            assert await ids(other, 2) == ["a", "b"]
            assert other.gaps == 0


async def test_a_restart_loses_what_is_not_durable_and_says_so(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("hard")
        await broker.create_exchange("soft", durable=False)
        await broker.create_queue("hard", "kept", options=QueueOptions(max_deliveries=9))
        await broker.publish(b"", exchange="hard", message_id="a")
        async with broker.subscribe("soft", "lost") as lost, broker.subscribe("hard") as private:
            faults.restart()
            await broker.publish(b"", exchange="hard", message_id="b")
            await broker.publish(b"", exchange="soft", message_id="c")
            async with broker.subscribe("hard", "kept") as kept:
                assert await ids(kept, 2) == ["a", "b"]
            assert await ids(private, 1) == ["b"]
            with pytest.raises(DeliveryGapError):
                await lost.get(5)


async def test_first_contact_fails_as_the_switchboard_says(faults: BrokerFaults) -> None:
    faults.drop_connection()
    with pytest.raises(ConnectionFailedError):
        await opened().__aenter__()
    faults.restore_connection()
    faults.fail_next(AuthenticationFailedError("who are you"), "open_publishing")
    with pytest.raises(AuthenticationFailedError):
        await opened().__aenter__()
    faults.delay(10)
    with pytest.raises(ConnectionFailedError, match="did not answer within"):
        await opened(connect_timeout=0.05).__aenter__()
    faults.clear()
    async with opened() as broker:
        await broker.server_info()


async def test_the_data_outlives_the_loss_of_all_links_and_no_close(faults: BrokerFaults) -> None:
    async with opened() as broker:
        await broker.create_exchange("e")
        await broker.create_queue("e", "q")
        await broker.publish(b"", exchange="e", message_id="a")
        faults.drop_connection()
        await until(broker, ConnectionState.DISCONNECTED)
        faults.restore_connection()
        async with broker.subscribe("e", "q") as subscription:
            assert (await subscription.get(5)).message_id == "a"
    async with opened() as broker:
        await broker.create_exchange("e", durable=False)
        async with broker.subscribe("e", "q") as subscription:
            assert await quiet(subscription)
    with pytest.raises(BackendClosedError):
        await broker.publish(b"", exchange="e")


async def test_a_broker_is_open_in_one_loop_at_a_time(faults: BrokerFaults) -> None:
    def open_elsewhere() -> None:
        async def open_it() -> None:
            async with opened():
                pass

        asyncio.run(open_it())

    async with opened():
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(open_elsewhere)
    await asyncio.to_thread(open_elsewhere)


async def test_lost_messages_are_a_gap_before_what_comes_after() -> None:
    gaps: list[Gap] = []

    async def note(gap: Gap) -> None:
        gaps.append(gap)

    async with open_message_broker(engine="memory", endpoints="loses") as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "work")
        await broker.publish({"number": 1}, exchange="events")
        broker_faults("loses").lose_messages("work")
        async with broker.subscribe("events", "work", on_gap=note) as deliveries:
            await broker.publish({"number": 2}, exchange="events")
            delivery = await deliveries.get(5)
            assert delivery["number"] == 2
            broker_faults("loses").lose_messages("work")
            await broker.publish({"number": 3}, exchange="events")
            later = await deliveries.get(5)
            assert (later["number"], gaps, deliveries.gaps) == (3, [Gap("overflow")], 1)
            await delivery.ack()
            await later.ack()
