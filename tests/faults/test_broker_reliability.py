"""Messages outlive the broker's restarts and callers that are cancelled at any moment."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from asyncbackends import MessageBroker, Subscription, open_message_broker
from asyncbackends_memory import broker_faults

MESSAGES = {"ci": 20_000, "soak": 100_000}
CANCELLATIONS = {"ci": 2_000, "soak": 10_000}
PREFETCH = 100
WINDOW = 500


class Subscriber:
    """Acks everything, and notes in which order it came first and how often again."""

    def __init__(self, expected: int) -> None:
        self.first: list[str] = []
        self.copies: Counter[str] = Counter()
        self.unflagged = 0
        self._expected = expected
        self.complete = asyncio.Event()

    async def consume(self, deliveries: Subscription) -> None:
        async for delivery in deliveries:
            assert delivery.message_id is not None
            if delivery.message_id not in self.copies:
                self.first.append(delivery.message_id)
            elif not delivery.redelivered:
                self.unflagged += 1
            self.copies[delivery.message_id] += 1
            async with delivery.process():
                # The handler is in the middle when the link goes, now and then.
                if len(self.first) % 50 == 0:
                    await asyncio.sleep(0)
            if len(self.first) == self._expected:
                self.complete.set()


@pytest.mark.timeout(120)
@pytest.mark.promise(
    "broker.no-confirmed-message-is-lost", "broker.order-across-reconnect", engines=["memory"]
)
async def test_restarts_lose_no_confirmed_message_and_keep_the_order(
    length: str, figure: Callable[[str], None]
) -> None:
    messages, body = MESSAGES[length], b"x" * 1024
    faults = broker_faults("restarts")
    restart_at = {messages * 3 // 10, messages * 6 // 10}
    confirmed = 0

    def restart() -> None:
        faults.restart()
        faults.release_confirms()

    async def publish(broker: MessageBroker, window: asyncio.Semaphore, number: int) -> None:
        nonlocal confirmed
        await broker.publish(body, exchange="events", message_id=f"m-{number}")
        window.release()
        confirmed += 1
        if confirmed in restart_at:
            # Stored, and the confirms go down with the broker.
            faults.hold_confirms()
            asyncio.get_running_loop().call_later(0.02, restart)

    async with open_message_broker(engine="memory", endpoints="restarts") as broker:
        await broker.create_exchange("events")
        subscribers = [Subscriber(messages), Subscriber(messages)]
        window = asyncio.Semaphore(WINDOW)
        async with (
            broker.subscribe("events", "one") as one,
            broker.subscribe("events", "two") as two,
        ):
            consuming = [
                asyncio.create_task(subscriber.consume(deliveries))
                for subscriber, deliveries in zip(subscribers, (one, two), strict=True)
            ]
            async with asyncio.TaskGroup() as group:
                for number in range(messages):
                    await window.acquire()
                    group.create_task(publish(broker, window, number))
            async with asyncio.timeout(60):
                await asyncio.gather(*(subscriber.complete.wait() for subscriber in subscribers))
            for task in consuming:
                task.cancel()
            await asyncio.wait(consuming)
    expected = [f"m-{number}" for number in range(messages)]
    again = [sum(each.copies.values()) - messages for each in subscribers]
    for subscriber in subscribers:
        assert subscriber.first == expected
        assert subscriber.unflagged == 0
    assert sum(again) <= len(restart_at) * len(subscribers) * (PREFETCH + WINDOW)
    figure(
        f"{messages} messages to 2 queues over {len(restart_at)} restarts: 0 lost, 0 out of order, "
        f"{sum(again)} delivered again"
    )


@pytest.mark.timeout(120)
@pytest.mark.promise("broker.cancelling-is-safe", engines=["memory"])
async def test_random_cancellations_harm_nobody_else(
    length: str, figure: Callable[[str], None]
) -> None:
    cancellations, dice = CANCELLATIONS[length], random.Random(20_260)
    stored: list[str] = []
    acked: Counter[str] = Counter()

    async def publish(broker: MessageBroker) -> None:
        await broker.publish(b"cancelled", exchange="events")

    async def take(deliveries: Subscription) -> None:
        delivery = await deliveries.get(5)
        async with delivery.process():
            await asyncio.sleep(0)
        if delivery.body == b"kept":
            acked[str(delivery.message_id)] += 1

    async def visit(broker: MessageBroker) -> None:
        async with broker.subscribe("events") as deliveries:
            await deliveries.get(5)

    async with open_message_broker(engine="memory", endpoints="cancels") as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "work")
        before = len(asyncio.all_tasks())
        async with broker.subscribe("events", "work") as deliveries:
            calls: list[Callable[[], Coroutine[Any, Any, None]]] = [
                partial(publish, broker),
                partial(take, deliveries),
                partial(visit, broker),
            ]
            for _ in range(cancellations):
                task = asyncio.create_task(dice.choice(calls)())
                if dice.random() < 0.3:
                    stored.append(await broker.publish(b"kept", exchange="events"))
                for _ in range(dice.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                assert task.cancelled() or task.exception() is None
            assert len(asyncio.all_tasks()) == before
            assert broker.pending == 0
            while len(acked) < len(stored):
                await take(deliveries)
        assert acked == Counter(stored)
    figure(f"{cancellations} cancellations, {len(stored)} messages acked once each")
