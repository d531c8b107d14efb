"""Brokers that answer nothing, are gone or have no memory left: every call ends in time."""

import asyncio
import time
from collections.abc import Callable
from itertools import count

import psutil
import pytest

from asyncbackends import ConnectionState, Delivery, MessageBroker, SubscribeOptions, Subscription
from asyncbackends.errors import (
    OperationTimeoutError,
    OutboxFullError,
    PublishUnconfirmedError,
    StaleDeliveryError,
)
from tests.faults.broker_trials import BrokerTrial, Ending, RunBrokerTrial, each_broker, numbers
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMq

OUTAGES = {"ci": 15.0, "soak": 90.0}
LINK_TIMEOUT = 2.0
GRACE = 1.0
"""A call may end so many seconds after its deadline."""
ACK_WAIT = 2.0
ONE_BY_ONE = SubscribeOptions(prefetch=1)

pytestmark = pytest.mark.timeout(600)


async def publish(
    trial: BrokerTrial, broker: MessageBroker, number: int, timeout: float
) -> tuple[int, Ending]:
    call = broker.publish({"n": number}, exchange="events", timeout=timeout)
    return number, await trial.ending(call)


async def follow(deliveries: Subscription, seen: list[int]) -> None:
    async for delivery in deliveries:
        async with delivery.process():
            seen.append(delivery["n"])


@each_broker
@pytest.mark.promise("broker.frozen-broker-cancels-nobody")
def test_frozen(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(frozen))


async def frozen(trial: BrokerTrial) -> str:
    """In a task group that one spurious cancellation would end without a word."""
    seen: list[int] = []
    reached_the_end = False
    options = SubscribeOptions(ack_wait=ACK_WAIT)
    numbering = count()
    async with trial.open(link_timeout=LINK_TIMEOUT) as broker:
        await broker.create_exchange("events")
        async with (
            broker.subscribe("events", "work", options=options) as deliveries,
            asyncio.TaskGroup() as group,
        ):

            def publishing(how_many: int, timeout: float) -> list[asyncio.Task[tuple[int, Ending]]]:
                return [
                    group.create_task(publish(trial, broker, next(numbering), timeout))
                    for _ in range(how_many)
                ]

            following = group.create_task(follow(deliveries, seen))
            before = publishing(20, 20)
            await asyncio.wait(before)
            await trial.freeze()
            impatient, patient = publishing(20, LINK_TIMEOUT), publishing(20, 60)
            asking = group.create_task(trial.ending(broker.create_queue("events", "other")))
            noticed = await trial.in_state(
                broker, ConnectionState.DISCONNECTED, patience=2 * LINK_TIMEOUT + GRACE
            )
            # By then both links were given up, whichever was the first.
            await asyncio.sleep(2 * LINK_TIMEOUT + GRACE - noticed)
            late = publishing(20, GRACE)
            await asyncio.sleep(3 * LINK_TIMEOUT - (2 * LINK_TIMEOUT + GRACE))
            _, waiting = await asyncio.wait([*impatient, *late], timeout=GRACE)
            assert not waiting, f"{len(waiting)} publishes outlive their deadlines"
            await trial.thaw()
            after = publishing(20, 20)
            calls = [*before, *impatient, *patient, *late, *after]
            await asyncio.wait([*calls, asking])
            assert not [task for task in [*calls, asking, following] if task.cancelled()]
            endings = dict(task.result() for task in calls)
            confirmed = [number for number, ending in endings.items() if ending.error is None]

            async def all_came() -> bool:
                return {*confirmed} <= {*seen}

            await trial.settled(all_came, "confirmed messages did not come", patience=15)
            following.cancel()
            reached_the_end = True
    assert reached_the_end
    for task in [*before, *patient, *after]:
        assert task.result()[1].error is None
    for task in impatient:
        # It was sent: whether it is stored nobody can say.
        assert isinstance(task.result()[1].error, PublishUnconfirmedError | None)
    for task in late:
        number, ending = task.result()
        # It was never sent, and so it is nowhere.
        ending.failed(OperationTimeoutError)
        assert number not in seen
    unconfirmed = len(impatient) - sum(task.result()[1].error is None for task in impatient)
    first = [*dict.fromkeys(number for number in seen if number in {*confirmed})]
    assert first == sorted(first), "out of order"
    return (
        f"{trial.engine}: frozen for {3 * LINK_TIMEOUT:g} s under {len(endings)} publishes: "
        f"noticed after {noticed:.1f} s, {unconfirmed} unconfirmed, {len(late)} not sent, all "
        "others confirmed and delivered in order, 0 cancelled"
    )


@each_broker
@pytest.mark.promise("broker.outage-hands-out-nothing-stale")
def test_long_outage(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(long_outage))


async def long_outage(trial: BrokerTrial) -> str:
    """The broker is silent for the first half, and gone for the second."""
    seconds, prefetch, messages = OUTAGES[trial.length], 50, 300
    options = SubscribeOptions(prefetch=prefetch, ack_wait=ACK_WAIT)
    acked: list[int] = []
    stale: list[int] = []
    during: list[int] = []
    hands_full, is_down, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(deliveries: Subscription) -> None:
        async for delivery in deliveries:
            if is_down.is_set() and not go_on.is_set():
                during.append(delivery["n"])
            await acknowledge(delivery)
            if len(acked) == 10:
                # Its hands are full when the link goes, and its buffer too.
                held = [await anext(aiter(deliveries)) for _ in range(3)]
                hands_full.set()
                await is_down.wait()
                for one in held:
                    with pytest.raises(StaleDeliveryError):
                        await one.ack()

    async def acknowledge(delivery: Delivery) -> None:
        try:
            await delivery.ack()
        except StaleDeliveryError:
            stale.append(delivery["n"])
        else:
            acked.append(delivery["n"])

    async with trial.open(link_timeout=LINK_TIMEOUT) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "proof")
        async with broker.subscribe("events", "work", options=options) as deliveries:
            for number in range(messages):
                _ = broker.publish_nowait({"n": number}, exchange="events")
            await broker.flush()
            await trial.let_queues_age()
            async with asyncio.TaskGroup() as group:
                handling = group.create_task(handle(deliveries))
                began = time.monotonic()
                await hands_full.wait()
                # The buffer is filled up meanwhile.
                await asyncio.sleep(0.3)
                await trial.freeze()
                noticed = await trial.in_state(
                    broker, ConnectionState.DISCONNECTED, patience=2 * LINK_TIMEOUT + GRACE
                )
                # By then both links were given up, whichever was the first.
                await asyncio.sleep(2 * LINK_TIMEOUT + GRACE - noticed)
                is_down.set()
                await asyncio.sleep(began + seconds / 2 - time.monotonic())
                await trial.kill()
                await asyncio.sleep(began + seconds - time.monotonic())
                assert not during, "handed out while the link was down"
                assert not handling.done(), "the iteration has ended"
                go_on.set()
                await trial.start()
                back = await trial.in_state(broker, ConnectionState.CONNECTED, patience=20)

                async def all_came() -> bool:
                    return {*acked} == {*range(messages)}

                await trial.settled(all_came, "messages are missing", patience=20)
                handling.cancel()
            assert deliveries.gaps == 0
        await trial.is_drained("events", "work")
        async with broker.subscribe("events", "proof") as proof:
            assert sorted({*await numbers(proof, messages)}) == [*range(messages)]
    assert not stale, f"{len(stale)} stale deliveries were handed out"
    return (
        f"{trial.engine}: {seconds:.0f} s of outage with {prefetch} messages in the buffer: 0 "
        f"handed out meanwhile, 0 stale afterwards, 0 of {messages} lost, "
        f"{len(acked) - messages} twice, back after {back:.1f} s"
    )


@pytest.mark.parametrize("engine", ["rabbitmq"])
@pytest.mark.promise("broker.memory-alarm-stops-publishers-alone", "broker.blocked-broker")
def test_memory_alarm(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(memory_alarm))


async def memory_alarm(trial: BrokerTrial) -> str:
    server = trial.server
    assert isinstance(server, RabbitMq)
    async with trial.open(operation_timeout=2) as broker, trial.open() as other:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "work", options=ONE_BY_ONE) as deliveries:
            for number in range(20):
                _ = broker.publish_nowait({"n": number}, exchange="events")
                _ = other.publish_nowait({"n": number}, exchange="events")
            await asyncio.gather(broker.flush(), other.flush())
            assert len(await numbers(deliveries, 20)) == 20
            await trial.fleet.do(server.set_alarm)
            try:
                # It says so to who publishes, by an answer to nothing.
                waiting = asyncio.create_task(publish(trial, broker, 100, 60))
                blocked = await trial.in_state(broker, ConnectionState.BLOCKED)
                impatient = await asyncio.gather(
                    *(publish(trial, broker, 200 + number, 1.0) for number in range(10))
                )
                for _, ending in impatient:
                    assert isinstance(ending.error, OperationTimeoutError | PublishUnconfirmedError)
                    assert ending.seconds <= 1.0 + GRACE
                # Consumers and declarations have a link of their own.
                assert len(await numbers(deliveries, 10)) == 10
                declared = await trial.ending(broker.create_queue("events", "another"))
                assert isinstance(declared.error, OperationTimeoutError | None)
                assert len(await numbers(deliveries, 10)) == 10
                # They are taken off the queue, too: the server has heard of it.
                await trial.is_drained("events", "work")
                _ = other.publish_nowait({"n": 300}, exchange="events")
                await trial.in_state(other, ConnectionState.BLOCKED)
                began = time.monotonic()
                await other.shutdown(grace=1.0)
                ended = time.monotonic() - began
                assert ended <= 1.0 + 2
                assert not waiting.done()
            finally:
                await trial.fleet.do(server.clear_alarm)
            _, ending = await waiting
            assert ending.error is None
            await trial.in_state(broker, ConnectionState.CONNECTED)
            assert (await publish(trial, broker, 400, 5))[1].error is None
            found = [*await numbers(deliveries, 1)]
            while found[-1] != 400:
                found += await numbers(deliveries, 1)
            # The other client may have had its say in between.
            assert 100 in found
            own = [number for number in found if number != 300]
            assert own == sorted(own)
    return (
        f"{trial.engine}: BLOCKED after {blocked:.2f} s, publishes end by their deadlines, "
        f"consumers go on, shutdown with a grace of 1 s took {ended:.1f} s"
    )


@each_broker
@pytest.mark.promise("broker.outbox-is-flat-while-the-broker-is-down", "broker.outbox-is-bounded")
def test_outbox_bound(
    run_alone: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_alone(outbox_bound))


async def outbox_bound(trial: BrokerTrial) -> str:
    # Alone: what others keep in this process would count.
    room, offered = 500, {"ci": 50_000, "soak": 500_000}[trial.length]
    async with trial.open(outbox_messages=room) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "work")
        await trial.let_queues_age()
        await trial.kill()
        await trial.in_state(broker, ConnectionState.DISCONNECTED)
        receipts = [broker.publish_nowait({"n": n}, exchange="events") for n in range(room)]
        resident = psutil.Process().memory_info().rss
        for number in range(offered):
            body = bytes(1024) + str(number).encode()
            with pytest.raises(OutboxFullError):
                _ = broker.publish_nowait(body, exchange="events")
            if number % 500 == 0:
                await asyncio.sleep(0)
        assert broker.pending == room
        # Whoever waits for room waits as long as it said, and is no member of the outbox.
        for _ in range(3):
            calls = [
                trial.ending(broker.publish({"n": -1}, exchange="events", timeout=0.5))
                for _ in range(200)
            ]
            for ending in await asyncio.gather(*calls):
                ending.failed(OutboxFullError)
                assert 0.4 <= ending.seconds <= 0.5 + GRACE
        assert broker.pending == room
        grown = psutil.Process().memory_info().rss - resident
        assert grown < 16 * 2**20, f"{grown / 2**20:.0f} MiB more"
        await trial.start()
        async with asyncio.timeout(20):
            await asyncio.gather(*receipts)
        async with broker.subscribe("events", "work") as deliveries:
            assert await numbers(deliveries, room) == [*range(room)]
        await trial.is_drained("events", "work")
    return (
        f"{trial.engine}: {offered} messages of 1 KiB offered while the broker is down: {room} "
        f"kept and delivered in order, all others refused, {grown / 2**20:.1f} MiB more memory"
    )


@each_broker
@pytest.mark.promise("broker.fails-over")
def test_fail_over(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(fail_over))


async def fail_over(trial: BrokerTrial) -> str:
    """Two ways to one broker, of which first one ends, then the other."""
    seen: list[int] = []
    turns = 6
    slowest = 0.0
    options = SubscribeOptions(ack_wait=ACK_WAIT)
    async with (
        Proxy(trial.server.endpoint) as first,
        Proxy(trial.server.endpoint) as second,
        trial.open(endpoints=[first.endpoint, second.endpoint]) as broker,
    ):
        await broker.create_exchange("events")
        async with (
            broker.subscribe("events", "work", options=options) as deliveries,
            asyncio.TaskGroup() as group,
        ):
            following = group.create_task(follow(deliveries, seen))
            assert (first.connections, second.connections) == (2, 0)
            for turn in range(turns):
                dying, other = (first, second) if turn % 2 == 0 else (second, first)
                for number in range(turn * 50, turn * 50 + 25):
                    _ = broker.publish_nowait({"n": number}, exchange="events")
                other.refuse, dying.refuse = False, True
                dying.cut()
                for number in range(turn * 50 + 25, turn * 50 + 50):
                    _ = broker.publish_nowait({"n": number}, exchange="events")
                began = time.monotonic()
                await broker.flush(20)
                slowest = max(slowest, time.monotonic() - began)
                await trial.in_state(broker, ConnectionState.CONNECTED)
                assert (dying.connections, other.connections) == (0, 2)
            expected = [*range(turns * 50)]

            async def all_came() -> bool:
                return {*seen} == {*expected}

            await trial.settled(all_came, "messages are missing", patience=15)
            following.cancel()
            assert deliveries.gaps == 0
    assert [*dict.fromkeys(seen)] == expected, "out of order"
    return (
        f"{trial.engine}: {turns} fail-overs under {len(expected)} messages: 0 lost, in order, "
        f"confirmed at the other endpoint after at most {slowest:.2f} s"
    )
