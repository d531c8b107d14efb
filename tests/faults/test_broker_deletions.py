"""What somebody else deletes behind our back: made again and told, or missing by name."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from asyncbackends import Gap, Guarantee, MessageBroker, SubscribeOptions, Subscription
from asyncbackends.errors import ExchangeNotFoundError, NotFoundError, PublishRejectedError
from tests.faults.broker_trials import BrokerTrial, RunBrokerTrial, each_broker, numbers

SOON = 5.0

pytestmark = [each_broker, pytest.mark.timeout(200)]


class Follower:
    """Consumes on, and notes messages, gaps and the end."""

    def __init__(self) -> None:
        self.story: list[int | str] = []
        self.gap_at: float | None = None
        self.missing: NotFoundError | None = None

    @property
    def heard(self) -> bool:
        """Whether it knows that something may be missing."""
        return self.gap_at is not None or self.missing is not None

    def numbers(self, broker: MessageBroker) -> list[int]:
        """Give what came, in order; once what was sent again because it was not confirmed in time."""
        found = [one for one in self.story if isinstance(one, int)]
        if Guarantee.SERVER_DEDUPE in broker.guarantees:
            assert len(found) == len({*found})
        return list(dict.fromkeys(found))

    async def on_gap(self, gap: Gap) -> None:
        self.gap_at = time.monotonic()
        self.story.append(gap.reason)

    async def follow(self, deliveries: Subscription) -> None:
        try:
            async for delivery in deliveries:
                self.story.append(delivery["n"])
                await delivery.ack()
        except NotFoundError as error:
            self.missing = error


@asynccontextmanager
async def following(
    broker: MessageBroker, exchange: str, queue: str | None
) -> AsyncGenerator[Follower]:
    follower = Follower()
    options = SubscribeOptions(ack_wait=2.0)
    async with (
        broker.subscribe(exchange, queue, options=options, on_gap=follower.on_gap) as deliveries,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(follower.follow(deliveries))
        yield follower
        task.cancel()


async def hears(trial: BrokerTrial, follower: Follower) -> float:
    """Wait until a subscriber knows of its loss, and give the seconds it took."""

    async def heard() -> bool:
        return follower.heard

    return await trial.settled(heard, "the loss is not told", patience=SOON)


async def has(trial: BrokerTrial, follower: Follower, number: int) -> None:
    async def came() -> bool:
        return number in follower.story

    await trial.settled(came, f"{number} did not come: {follower.story}", patience=SOON)


@pytest.mark.promise("broker.deleted-by-others-is-told", "broker.gap-is-told")
def test_queue_is_deleted(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(queue_is_deleted))


async def queue_is_deleted(trial: BrokerTrial) -> str:
    """With one subscriber, idle or busy, and with two that compete."""
    slowest = 0.0
    # What a deleted queue never confirms is sent again after twice this.
    soon = {"link_timeout": 2.0}
    async with trial.open(**soon) as broker, trial.open(**soon) as other:
        await broker.create_exchange("events")
        async with (
            following(broker, "events", "work") as follower,
            following(broker, "events", "bystander") as bystander,
        ):
            await broker.publish({"n": 1}, exchange="events")
            await has(trial, follower, 1)
            await trial.delete_queue("events", "work")
            slowest = max(slowest, await hears(trial, follower))
            await broker.publish({"n": 2}, exchange="events")
            await has(trial, follower, 2)
            assert follower.story == [1, "recreated", 2]
            # In the middle of messages.
            for number in range(100, 600):
                _ = broker.publish_nowait({"n": number}, exchange="events")
                if number == 300:
                    follower.gap_at = None
                    await trial.delete_queue("events", "work")
                    slowest = max(slowest, await hears(trial, follower))
            try:
                await broker.flush()
            except* PublishRejectedError:
                # RabbitMQ says so of what the deleted queue would have had; the others have it.
                assert trial.engine == "rabbitmq"
            await has(trial, follower, 599)
            numbers_of = follower.numbers(broker)
            assert numbers_of == sorted(numbers_of)
            assert follower.story.count("recreated") == 2
            async with following(other, "events", "work") as rival:
                follower.gap_at = None
                await trial.delete_queue("events", "work")
                slowest = max(slowest, await hears(trial, follower), await hears(trial, rival))
                for number in range(1000, 1050):
                    await broker.publish({"n": number}, exchange="events")

                async def all_came() -> bool:
                    return {*range(1000, 1050)} <= {*follower.story} | {*rival.story}

                await trial.settled(all_came, "messages of competitors are missing")
            await has(trial, bystander, 1049)
            assert "recreated" not in bystander.story
            assert bystander.numbers(broker) == [1, 2, *range(100, 600), *range(1000, 1050)]
    return (
        f"{trial.engine}: a queue deleted under idle, busy and competing consumers is made again, "
        f"a Gap told after at most {slowest:.2f} s, other queues not disturbed"
    )


@pytest.mark.promise("broker.deleted-by-others-is-told")
def test_exchange_is_deleted(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(exchange_is_deleted))


async def exchange_is_deleted(trial: BrokerTrial) -> str:
    """By whom it was made, and by whom it was not; nothing is confirmed that a subscriber misses.

    A broker that tells consumers nothing of an exchange lets its publishers find out.
    """
    told: list[str] = []
    slowest = 0.0
    async with trial.open() as maker, trial.open() as user:
        for publisher, exchange in ((maker, "made"), (user, "used")):
            await maker.create_exchange(exchange)
            async with following(publisher, exchange, f"queue-{exchange}") as follower:
                await publisher.publish({"n": 1}, exchange=exchange)
                await has(trial, follower, 1)
                await trial.delete_exchange(exchange)
                began = time.monotonic()
                ending = await trial.ending(
                    publisher.publish({"n": 2}, exchange=exchange, timeout=SOON)
                )
                if ending.error is None:
                    # Whoever was subscribed has it, or knows that something is missing.
                    async def is_known(follower: Follower = follower) -> bool:
                        return follower.heard or 2 in follower.story

                    await trial.settled(is_known, "it was confirmed and is lost", patience=SOON)
                    told.append("made again")
                else:
                    ending.failed(ExchangeNotFoundError)
                    assert exchange in str(ending.error)
                    told.append("told as missing")
                slowest = max(slowest, time.monotonic() - began)
                # Whoever makes it again goes on.
                await maker.create_exchange(exchange)
            async with publisher.subscribe(exchange, f"queue-{exchange}") as deliveries:
                await publisher.publish({"n": 3}, exchange=exchange)
                found = [0]
                while found[-1] != 3:
                    found += await numbers(deliveries, 1, patience=SOON)
    return (
        f"{trial.engine}: a deleted exchange is {told[0]} for its maker, {told[1]} for others, "
        f"after at most {slowest:.2f} s"
    )


@pytest.mark.promise("broker.deleted-by-others-is-told")
def test_private_queue_is_deleted(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(everything_is_deleted))


async def everything_is_deleted(trial: BrokerTrial) -> str:
    """An exchange with the queues of two subscribers, one private: both hear of it."""
    async with trial.open() as broker:
        await broker.create_exchange("events")
        async with (
            following(broker, "events", "work") as named,
            following(broker, "events", None) as private,
        ):
            await broker.publish({"n": 1}, exchange="events")
            await asyncio.gather(has(trial, named, 1), has(trial, private, 1))
            # As a client of ours deletes it: with its queues.
            async with trial.open() as other:
                await other.delete_exchange("events")
            seconds = max(await asyncio.gather(hears(trial, named), hears(trial, private)))
        await broker.create_exchange("events")
        async with broker.subscribe("events", "work") as deliveries:
            await broker.publish({"n": 2}, exchange="events")
            found = [0]
            while found[-1] != 2:
                found += await numbers(deliveries, 1, patience=SOON)
    return f"{trial.engine}: subscribers of a deleted exchange know after {seconds:.2f} s"
