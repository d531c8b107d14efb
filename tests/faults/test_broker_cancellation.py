"""Calls that are cancelled at any moment: nobody else hears of it, and nothing is left."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import psutil
import pytest

from asyncbackends import (
    ConnectionState,
    ConnectionStatus,
    MessageBroker,
    SubscribeOptions,
    Subscription,
)
from asyncbackends.errors import OperationTimeoutError
from asyncbackends_rabbitmq.asking import MOST_KEPT
from tests.faults.broker_trials import BrokerTrial, RunBrokerTrial, each_broker, numbers

CANCELLATIONS = {"ci": 2_000, "soak": 10_000}
SEED = 20_260
AT_ONCE = 5
IN_FLIGHT = 20
SPARE = {"rabbitmq": MOST_KEPT, "nats": 0}
"""So many channels an engine may keep for its next questions, more or fewer than before."""
LONGEST = {"rabbitmq": 0.03, "nats": 0.006}
"""About as long as the longest of the calls takes."""

pytestmark = [each_broker, pytest.mark.timeout(600)]


class Calls:
    """What is cancelled, and what became of the messages in it."""

    def __init__(self, broker: MessageBroker, deliveries: Subscription) -> None:
        self.broker = broker
        self.deliveries = deliveries
        self.stored: list[str] = []
        self.acked: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    async def publish(self) -> None:
        await self.broker.publish(b"cancelled", exchange="events")

    async def keep(self) -> None:
        self.stored.append(await self.broker.publish(b"kept", exchange="events"))

    async def take(self) -> None:
        delivery = await self.deliveries.get(10)
        async with delivery.process():
            await asyncio.sleep(0.0005)
        if delivery.body == b"kept":
            self.acked[str(delivery.message_id)] += 1

    async def nack(self) -> None:
        delivery = await self.deliveries.get(10)
        async with delivery.process():
            await asyncio.sleep(0)
            await delivery.nack()

    async def visit(self) -> None:
        """Come and go, with a queue of one's own."""
        async with self.broker.subscribe("events") as deliveries:
            await deliveries.get(10)

    async def compete(self) -> None:
        """Come and go, at a queue that stays."""
        async with self.broker.subscribe("others", "shared") as deliveries:
            await deliveries.get(10)

    async def create_queue(self, dice: random.Random) -> None:
        await self.broker.create_queue("others", f"queue-{dice.randrange(20)}")

    async def run(self, count: int, dice: random.Random, longest: float) -> None:
        """Begin so many calls, and cancel each after a while."""
        choices: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.publish,
            self.take,
            self.nack,
            self.visit,
            self.compete,
            partial(self.create_queue, dice),
        ]
        for _ in range(count):
            call = dice.choice(choices)
            task = asyncio.create_task(call())
            if dice.random() < 0.3:
                await self.keep()
            if dice.random() < 0.5:
                for _ in range(dice.randrange(8)):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(dice.random() * longest)
            task.cancel()
            await asyncio.wait({task})
            self.counts["cancelled" if task.cancelled() else "ended before"] += 1
            assert task.cancelled() or task.exception() is None


@pytest.mark.promise("broker.random-cancellations-harm-nobody", "broker.cancelling-is-safe")
def test_random_cancellations(
    run_alone: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_alone(random_cancellations))


async def random_cancellations(trial: BrokerTrial) -> str:
    cancellations, dice = CANCELLATIONS[trial.length], random.Random(SEED)
    states: list[ConnectionStatus] = []
    undisturbed: list[int] = []
    options = SubscribeOptions(prefetch=10, ack_wait=60)
    async with trial.open() as broker:
        for exchange in ("events", "others", "undisturbed"):
            await broker.create_exchange(exchange)
        await broker.create_queue("undisturbed", "proof")
        async with (
            broker.subscribe("events", "work", options=options) as deliveries,
            asyncio.TaskGroup() as group,
        ):
            calls = Calls(broker, deliveries)
            # What is made at the first time stays.
            await calls.keep()
            await calls.take()
            await broker.create_queue("others", "shared")
            watching = group.create_task(watch(broker, states))
            # What an engine opens to look after its queues is open by then.
            await asyncio.sleep(2.5)
            connections = await seen(trial)
            tasks, descriptors = asyncio.all_tasks(), psutil.Process().num_fds()
            publishing = group.create_task(publish_on(broker, undisturbed))
            async with asyncio.TaskGroup() as at_once:
                for _ in range(AT_ONCE):
                    run = calls.run(cancellations // AT_ONCE, dice, LONGEST[trial.engine])
                    at_once.create_task(run)
            publishing.cancel()
            await asyncio.wait({publishing})

            async def is_as_before() -> bool:
                now = await seen(trial)
                if connections.keys() != now.keys() or tasks != asyncio.all_tasks():
                    return False
                spare = SPARE[trial.engine]
                return all(abs(inside - connections[one]) <= spare for one, inside in now.items())

            try:
                await trial.settled(is_as_before, "not as before")
            except AssertionError:
                # What is different is worth more than that something is.
                assert tasks == asyncio.all_tasks()
                assert connections == await seen(trial)
                raise
            assert psutil.Process().num_fds() == descriptors
            assert [one.state for one in states] == [ConnectionState.CONNECTED]
            watching.cancel()
            await take_everything(calls)
            assert calls.acked == Counter(calls.stored)
        await broker.publish({"n": -1}, exchange="undisturbed")
        assert broker.pending == 0
        async with broker.subscribe("undisturbed", "proof") as proof:
            found = await numbers(proof, len(undisturbed))
            assert found == undisturbed
            rest = 0
            while (await numbers(proof, 1)) != [-1]:
                rest += 1
            # The last ones were cancelled with their publisher.
            assert rest <= IN_FLIGHT
    return (
        f"{trial.engine}: {cancellations} calls, {calls.counts['cancelled']} cancelled in the "
        f"middle (seed {SEED}): the same links, channels, tasks and descriptors as before, "
        f"{len(calls.stored)} messages acked once each, {len(undisturbed)} published beside them"
    )


async def seen(trial: BrokerTrial) -> dict[str, int]:
    """Count what is open in each connection that the server sees."""
    return {one.identity: one.inside for one in await trial.connections()}


async def take_everything(calls: Calls) -> None:
    with pytest.raises(OperationTimeoutError):
        while True:
            delivery = await calls.deliveries.get(1)
            await delivery.ack()
            if delivery.body == b"kept":
                calls.acked[str(delivery.message_id)] += 1


async def watch(broker: MessageBroker, states: list[ConnectionStatus]) -> None:
    async with broker.states() as changes:
        async for change in changes:
            states += [change]


async def publish_on(broker: MessageBroker, published: list[int]) -> None:
    """Publish beside the others, and be disturbed by none; an error ends the test."""
    while True:
        batch = range(len(published), len(published) + IN_FLIGHT)
        receipts = [
            broker.publish_nowait({"n": number}, exchange="undisturbed") for number in batch
        ]
        for receipt in receipts:
            await receipt
        published += batch
        await asyncio.sleep(0.002)
