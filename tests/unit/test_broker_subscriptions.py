"""Subscriptions that are opened, left and failing while links go down and come up."""

import asyncio
import time

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import (
    BackendClosedError,
    ConnectionLostError,
    ExchangeNotFoundError,
    InvalidRequestError,
    QueueNotFoundError,
    StaleDeliveryError,
)
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.protocols.values import Gap
from tests.unit.scripted_wire import (
    DriverError,
    ScriptedWire,
    incoming,
    opened,
    running,
    turns,
    until,
)

# Waiters.


async def test_a_wait_that_is_cancelled_as_a_message_comes_is_a_cancellation() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        one = asyncio.create_task(subscription.get(5))
        two = asyncio.create_task(subscription.get(5))
        await turns()
        one.cancel()
        wire.consumers[0].events.received([incoming("m")])
        await asyncio.wait({one, two})
        assert one.cancelled()
        assert (await two).message_id == "m"


async def test_several_waits_that_are_cancelled_as_messages_come_lose_none() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        for round_ in range(4):
            tasks = [asyncio.create_task(subscription.get(5)) for _ in range(6)]
            await turns()
            if round_ % 2:
                wire.consumers[0].events.received([incoming(f"{n}") for n in range(4)])
            tasks[0].cancel()
            tasks[2].cancel()
            if not round_ % 2:
                wire.consumers[0].events.received([incoming(f"{n}") for n in range(4)])
            done, _ = await asyncio.wait(tasks)
            found = {task.result().message_id for task in done if not task.cancelled()}
            assert found == {"0", "1", "2", "3"}


# Left, while it is attached.


@pytest.mark.parametrize("at", ["declare_queue", "consume", "consumed"])
@pytest.mark.parametrize("how", ["link", "queue"])
@pytest.mark.parametrize("queue", ["q", None])
async def test_no_consumer_is_left_by_one_that_leaves_while_it_is_attached_again(
    at: str, how: str, queue: str | None
) -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        go_on = asyncio.Event()
        async with broker.subscribe("e", queue), broker.subscribe("e", "other"):
            wire.script(at, go_on)
            if how == "link":
                wire.consuming[0].lose()
            else:
                wire.queues.clear()
                (consumer,) = [one for one in wire.consumers if one.queue != "other"]
                wire.consuming[0].consumers.pop(consumer)
                consumer.events.cancelled()
            count = len(wire.calls)
            await until(lambda: at in wire.calls[count:])
        go_on.set()
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        await turns()
        assert wire.consumers == []
        if queue is None:
            await until(lambda: not set(wire.queues) - {"other"})


async def test_no_consumer_is_left_by_an_exit_that_is_cancelled() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        leave, go_on = asyncio.Event(), asyncio.Event()

        async def consume() -> None:
            async with broker.subscribe("e", None):
                await leave.wait()

        task = asyncio.create_task(consume())
        await until(lambda: wire.consumers)
        wire.script("close_consumer", go_on)
        leave.set()
        await until(lambda: "close_consumer" in wire.calls)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        go_on.set()
        await until(lambda: not wire.consumers and not wire.queues)


# Ended by an error, and gone at the wrong moment.


async def test_a_subscription_that_failed_is_not_consumed_again() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        wire.script("declare_queue", ExchangeNotFoundError("no exchange e"))
        wire.consuming[0].lose()
        with pytest.raises(ExchangeNotFoundError):
            await subscription.get(5)
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        wire.consuming[-1].lose()
        await until(lambda: len(wire.consuming) == 3)
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        assert wire.consumers == []
        with pytest.raises(ExchangeNotFoundError):
            await subscription.get(5)


async def test_a_failure_that_is_raised_often_does_not_grow() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        wire.script("declare_queue", ExchangeNotFoundError("no exchange e"))
        wire.consuming[0].lose()
        depths: list[int] = []
        for _ in range(5):
            with pytest.raises(ExchangeNotFoundError) as raised:
                await subscription.get(5)
            depths.append(len(raised.traceback))
        assert depths[1] == depths[-1]


@pytest.mark.parametrize(
    "error", [QueueNotFoundError("gone"), DriverError(QueueNotFoundError("gone"))]
)
async def test_a_queue_that_vanishes_while_the_link_comes_up_is_declared_again(
    error: Exception,
) -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        wire.script("consume", error, error)
        wire.consuming[0].lose()
        await until(lambda: wire.consumers)
        wire.consumers[0].events.received([incoming("m")])
        assert (await subscription.get(5)).message_id == "m"


async def test_a_consumer_that_is_cancelled_as_it_begins_is_attached_again() -> None:
    wire = ScriptedWire()
    gaps: list[Gap] = []

    async def on_gap(gap: Gap) -> None:
        gaps.append(gap)

    def cancel() -> None:
        (consumer,) = wire.consumers
        consumer.link.consumers.clear()
        consumer.events.cancelled()

    async with running(wire) as broker:
        wire.on_step["consumed"] = cancel
        async with broker.subscribe("e", "q", on_gap=on_gap) as subscription:
            await until(lambda: wire.consumers)
            wire.consumers[0].events.received([incoming("m")])
            assert (await subscription.get(5)).message_id == "m"
            gaps.clear()
            wire.on_step["consumed"] = cancel
            wire.consuming[0].lose()
            await until(lambda: len(wire.consuming) == 2 and wire.consumers)
            await until(lambda: wire.calls.count("consume") == 4)
            wire.consumers[0].events.received([incoming("n")])
            assert (await subscription.get(5)).message_id == "n"
            assert gaps == [Gap("recreated")]


async def test_a_queue_that_was_perhaps_made_anew_is_a_gap() -> None:
    wire = ScriptedWire()
    gaps: list[Gap] = []

    async def on_gap(gap: Gap) -> None:
        gaps.append(gap)

    async with running(wire) as broker, broker.subscribe("e", None, on_gap=on_gap) as subscription:
        wire.queues.clear()
        # It is made, and the link is lost before the answer comes.
        wire.script("declare_queue", ConnectionLostError("lost", maybe_applied=True))
        wire.consuming[0].lose()
        await until(lambda: wire.consumers)
        wire.consumers[0].events.received([incoming("m")])
        assert (await subscription.get(5)).message_id == "m"
        assert gaps == [Gap("recreated")]


async def test_a_consumer_whose_queue_is_still_there_is_no_gap() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q") as subscription:
        (consumer,) = wire.consumers
        consumer.events.received([incoming("m")])
        stale = await subscription.get(5)
        consumer.link.consumers.clear()
        consumer.events.cancelled(queue_gone=False)
        with pytest.raises(StaleDeliveryError):
            await stale.ack()
        await until(lambda: wire.consumers)
        wire.consumers[0].events.received([incoming("m", 2)])
        assert (await subscription.get(5)).delivery_count == 2
        assert subscription.gaps == 0


async def test_a_failed_default_subscription_is_told_once_and_opened_again() -> None:
    wire = ScriptedWire()
    async with running(wire, exchange="e", queue="q") as broker:
        wire.script("declare_queue", ExchangeNotFoundError("no exchange e"))
        wire.consuming[0].lose()
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        with pytest.raises(ExchangeNotFoundError):
            await broker.consume()
        assert await broker.consume() is None
        wire.consumers[0].events.received([incoming("m")])
        delivery = await broker.consume()
        assert delivery is not None
        await broker.ack(delivery)


# Gaps.


async def test_a_gap_whose_telling_fails_or_is_cancelled_is_told_again_before_what_follows() -> (
    None
):
    wire = ScriptedWire()
    told: list[Gap] = []
    waiting = asyncio.Event()

    async def on_gap(gap: Gap) -> None:
        told.append(gap)
        if len(told) == 1:
            raise ValueError(gap)
        if len(told) == 2:
            await waiting.wait()

    async with (
        running(wire) as broker,
        broker.subscribe("e", "q", on_gap=on_gap) as subscription,
    ):
        tasks = [asyncio.create_task(subscription.get(5)) for _ in range(3)]
        await turns()
        events = wire.consumers[0].events
        events.gap(Gap("overflow"))
        events.gap(Gap("overflow"))
        events.received([incoming("a"), incoming("b")])
        await turns()
        failed = [task for task in tasks if task.done()]
        assert [type(task.exception()) for task in failed] == [ValueError]
        assert len(told) == 2
        # Another one tells now, and the third waits until it has.
        telling, other = [task for task in tasks if not task.done()]
        telling.cancel()
        await turns()
        last = await asyncio.gather(telling, other, return_exceptions=True)
        assert sum(isinstance(one, asyncio.CancelledError) for one in last) == 1
        assert {one.message_id for one in last if isinstance(one, Delivery)} == {"a"}
        assert (await subscription.get(5)).message_id == "b"
        assert (len(told), subscription.gaps) == (3, 2)


# Arguments.


@pytest.mark.parametrize(
    "options",
    [
        SubscribeOptions(prefetch=0),
        SubscribeOptions(ack_wait=-1.0),
        SubscribeOptions(dedupe_window=float("nan")),
    ],
)
async def test_subscribe_options_out_of_bounds_are_refused(options: SubscribeOptions) -> None:
    async with running(ScriptedWire()) as broker:
        with pytest.raises(InvalidRequestError):
            broker.subscribe("e", "q", options=options)


@pytest.mark.parametrize(
    "options",
    [
        QueueOptions(max_deliveries=0),
        QueueOptions(max_length=-1),
        QueueOptions(message_ttl=0.0),
        QueueOptions(dead_letter="no name"),
        QueueOptions(overflow="block"),  # type: ignore[arg-type]  # checked at run time too
    ],
)
async def test_queue_options_out_of_bounds_are_refused(options: QueueOptions) -> None:
    async with running(ScriptedWire()) as broker:
        with pytest.raises(InvalidRequestError):
            await broker.create_queue("e", "q", options=options)


async def test_a_block_is_not_entered_after_the_end() -> None:
    wire = ScriptedWire()
    broker = await opened(wire)
    block = broker.subscribe("e", "q")
    await broker.shutdown()
    began = time.monotonic()
    with pytest.raises(BackendClosedError):
        await block.__aenter__()
    assert time.monotonic() - began < 1
