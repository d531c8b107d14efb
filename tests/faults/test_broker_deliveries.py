"""Messages that nobody can process, that are too large, or that somebody does not take."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest

from asyncbackends import Delivery, MessageBroker, QueueOptions, SubscribeOptions, Subscription
from asyncbackends.errors import (
    MessageTooLargeError,
    OperationTimeoutError,
    PublishRejectedError,
)
from asyncbackends.protocols.messages import DeathReason
from tests.faults.broker_products import fresh_arguments
from tests.faults.broker_trials import BrokerTrial, RunBrokerTrial, each_broker, numbers
from tests.faults.fleet import end
from tests.servers.proxy import Proxy

LIMIT = 3
ACK_WAIT = 1.0
REDELIVERIES = 50
LOST_LINKS = 25

pytestmark = [each_broker, pytest.mark.timeout(300)]


def kinds_of_queues(engine: str) -> tuple[str, ...]:
    return ("quorum", "classic") if engine == "rabbitmq" else ("quorum",)


@pytest.mark.promise("broker.poison-message-is-delivered-exactly-so-often")
def test_poison(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(poison))


async def poison(trial: BrokerTrial) -> str:
    """Others before and behind it are not disturbed, however its deliveries end."""
    ways = 0
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as broker,
        trial.open() as other,
    ):
        await other.create_exchange("graves")
        async with other.subscribe("graves", options=SubscribeOptions(ack_wait=ACK_WAIT)) as graves:
            for kind in kinds_of_queues(trial.engine):
                for way in ("nack", "failure", "lost link"):
                    # A classic queue only says that it is not the first time.
                    if (kind, way) != ("classic", "lost link"):
                        await poisoned(broker, kind, way, proxy, graves)
                        ways += 1
    return (
        f"{trial.engine}: {ways} times a message with max_deliveries = {LIMIT}: {LIMIT} deliveries "
        "each, then one dead letter with its reason and its count"
    )


async def poisoned(
    broker: MessageBroker, kind: str, way: str, proxy: Proxy, graves: Subscription
) -> None:
    exchange = queue = f"{kind}-{way.replace(' ', '-')}"
    await broker.create_exchange(exchange)
    await broker.create_queue(
        exchange,
        queue,
        options=QueueOptions(
            queue_type="classic" if kind == "classic" else "quorum",
            max_deliveries=LIMIT,
            dead_letter="graves",
        ),
    )
    options = SubscribeOptions(prefetch=1, ack_wait=ACK_WAIT)
    counts: list[int] = []
    good: list[int] = []
    async with broker.subscribe(exchange, queue, options=options) as deliveries:
        for number in range(5):
            await broker.publish({"n": number}, exchange=exchange)
        letter: Delivery | None = None
        while letter is None or len({*good}) < 4:
            if len(counts) == LIMIT and letter is None:
                # It may stand behind another one, which takes the one place of the prefetch.
                with suppress(OperationTimeoutError):
                    letter = await graves.get(10 if len({*good}) == 4 else 0.5)
                    await letter.ack()
                if letter is not None or len({*good}) == 4:
                    continue
            delivery = await deliveries.get(2 * 30)
            if delivery["n"] != 2:
                good.append(delivery["n"])
                await delivery.ack()
            else:
                counts.append(delivery.delivery_count)
                assert len(counts) <= LIMIT, f"delivered {len(counts)} times: {counts}"
                await let_down(delivery, way, proxy)
        with pytest.raises(OperationTimeoutError):
            await deliveries.get(0.5)
        with pytest.raises(OperationTimeoutError):
            await graves.get(0.2)
    assert counts == [*range(1, LIMIT + 1)]
    assert good == [0, 1, 3, 4] or way == "lost link"
    assert sorted({*good}) == [0, 1, 3, 4]
    death = letter.death
    assert letter["n"] == 2
    assert death is not None
    assert (death.reason, death.delivery_count) == (DeathReason.DELIVERY_LIMIT, LIMIT)
    assert (death.exchange, death.queue) == (exchange, queue)
    if way == "failure":
        assert "nobody knows how" in death.text


async def let_down(delivery: Delivery, way: str, proxy: Proxy) -> None:
    """End a delivery without success."""
    match way:
        case "nack":
            await delivery.nack()
        case "failure":
            async with delivery.process():
                raise ValueError("nobody knows how")
        case _:
            proxy.cut()


@pytest.mark.promise("broker.redeliveries-without-a-limit-lose-nothing")
def test_many_redeliveries(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(many_redeliveries))


async def many_redeliveries(trial: BrokerTrial) -> str:
    """A broker with a limit of its own would drop the message without a word."""
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as broker,
    ):
        for kind in kinds_of_queues(trial.engine):
            await broker.create_exchange(kind)
            options = QueueOptions(queue_type="classic" if kind == "classic" else "quorum")
            await broker.create_queue(kind, kind, options=options)
            patient = SubscribeOptions(ack_wait=ACK_WAIT)
            async with broker.subscribe(kind, kind, options=patient) as deliveries:
                for number in range(3):
                    await broker.publish({"n": number}, exchange=kind)
                for _ in range(REDELIVERIES):
                    for delivery in [await deliveries.get(60) for _ in range(3)]:
                        await delivery.nack()
                for _ in range(LOST_LINKS):
                    held = [await deliveries.get(60) for _ in range(3)]
                    assert {one["n"] for one in held} == {0, 1, 2}
                    proxy.cut()
                assert {*await numbers(deliveries, 3)} == {0, 1, 2}
            await trial.is_drained(kind, kind)
    return (
        f"{trial.engine}: {REDELIVERIES} nacks, then {LOST_LINKS} lost links, of the same 3 "
        f"messages in {' and '.join(kinds_of_queues(trial.engine))} queues: 0 lost"
    )


@pytest.mark.promise("broker.oversized-message-holds-up-nobody", "broker.culprit-is-found")
def test_oversized(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(oversized))


async def oversized(trial: BrokerTrial) -> str:
    """The server's limit is lower than ours: some close the link because of such a message."""
    name = "max_payload" if trial.engine == "nats" else "max_message_size"
    limited = fresh_arguments(trial.engine, **{name: "8192"})
    server = await trial.fleet.do(trial.fleet.fresh, trial.engine, **limited)
    small, large = bytes(1024), bytes(20_000)
    messages, culprits = 300, {50, 51, 180}
    refused: list[str] = []
    try:
        async with trial.open(server) as broker:
            await broker.create_exchange("events")
            async with broker.subscribe("events", "work") as deliveries:
                receipts = [
                    broker.publish_nowait(
                        large if number in culprits else small,
                        exchange="events",
                        message_id=f"m-{number}",
                    )
                    for number in range(messages)
                ]
                async with asyncio.timeout(60):
                    for number, receipt in enumerate(receipts):
                        if number not in culprits:
                            assert await receipt == f"m-{number}"
                            continue
                        with pytest.raises((PublishRejectedError, MessageTooLargeError)) as told:
                            await receipt
                        refused.append(type(told.value).__name__)
                    first: dict[str | None, None] = {}
                    while len(first) < messages - len(culprits):
                        delivery = await deliveries.get(10)
                        first[delivery.message_id] = None
                        await delivery.ack()
            expected = [f"m-{number}" for number in range(messages) if number not in culprits]
            assert [*first] == expected
    finally:
        await trial.fleet.do(end, server)
    return (
        f"{trial.engine}: {len(culprits)} messages over the server's limit among {messages} end "
        f"as {' and '.join(sorted({*refused}))}, all others confirmed and delivered in order"
    )


@pytest.mark.promise("broker.slow-consumer-stops-nobody")
def test_slow_consumer(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(slow_consumer))


async def slow_consumer(trial: BrokerTrial) -> str:
    """Ten subscriptions of one client share a link, and one takes nothing of what comes."""
    messages, body = 400, {"text": "x" * 16_000}
    options = SubscribeOptions(prefetch=50)
    async with trial.open() as broker, AsyncExitStack() as stack:
        await broker.create_exchange("events")
        subscriptions = [
            await stack.enter_async_context(
                broker.subscribe("events", f"queue-{number}", options=options)
            )
            for number in range(10)
        ]
        lazy, *others = subscriptions
        before = await trial.connections()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            taking = [group.create_task(numbers(one, messages, patience=60)) for one in others]
            for number in range(messages):
                await broker.publish({"n": number, **body}, exchange="events")
        for task in taking:
            assert task.result() == [*range(messages)]
        # What it has not taken is there, whole and in order, when it begins.
        assert await numbers(lazy, messages, patience=60) == [*range(messages)]
        after = {one.identity for one in await trial.connections()}
        assert after == {one.identity for one in before}
    return (
        f"{trial.engine}: 9 subscriptions get {messages} messages of 16 KB each beside one that "
        "takes none until they are done, all on one link"
    )
