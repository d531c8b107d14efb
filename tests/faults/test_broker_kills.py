"""Brokers and consumers that are killed: nothing that was confirmed is lost, and it comes in order."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncbackends import SubscribeOptions
from asyncbackends.errors import OperationTimeoutError
from tests.faults.broker_load import PREFETCH, WINDOW, Publisher, Subscriber, consuming
from tests.faults.broker_trials import BrokerTrial, RunBrokerTrial, each_broker

ROOT = Path(__file__).parents[2]
MESSAGES = {"ci": 20_000, "soak": 100_000}
ROUNDS = {"ci": 3, "soak": 20}
KILLS = (0.3, 0.6)
ACK_WAIT = 2.0
HELD = 200
RESUMED = 1.0
"""Seconds until the first confirm after the port is back."""
READY = 0.2
"""Seconds after a client that did nothing but wait, where the server itself takes longer."""

pytestmark = [each_broker, pytest.mark.timeout(600)]


@pytest.mark.promise(
    "broker.confirmed-messages-survive-server-kill",
    "broker.no-confirmed-message-is-lost",
    "broker.order-across-reconnect",
)
def test_broker_killed(
    run_alone: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_alone(broker_killed))


async def broker_killed(trial: BrokerTrial) -> str:
    messages = MESSAGES[trial.length]
    subscribers = [Subscriber(messages), Subscriber(messages)]
    options = SubscribeOptions(prefetch=PREFETCH, ack_wait=ACK_WAIT)
    resumed: list[float] = []
    alone: list[float] = []
    async with trial.open(outbox_messages=WINDOW) as broker:
        await broker.create_exchange("events")
        publisher = Publisher(broker, "events", messages)
        async with (
            broker.subscribe("events", "one", options=options) as one,
            broker.subscribe("events", "two", options=options) as two,
            consuming(dict(zip((one, two), subscribers, strict=True))),
        ):
            await trial.let_queues_age()
            async with asyncio.TaskGroup() as group:
                group.create_task(publisher.run())
                for share in KILLS:
                    await publisher.reach(int(messages * share))
                    await trial.kill()
                    first = group.create_task(first_confirms(trial, publisher))
                    await trial.start()
                    ours, drivers = await first
                    resumed.append(ours)
                    alone.append(drivers)
            async with asyncio.timeout(60):
                await asyncio.gather(*(subscriber.complete.wait() for subscriber in subscribers))
            assert one.gaps == two.gaps == 0
    for subscriber in subscribers:
        subscriber.check(publisher.ids)
    again = sum(subscriber.again for subscriber in subscribers)
    assert again <= len(KILLS) * len(subscribers) * (PREFETCH + WINDOW)
    for seconds, driver in zip(resumed, alone, strict=True):
        assert seconds < max(RESUMED, driver + READY), (resumed, alone)
    return (
        f"{trial.engine}: {messages} messages to 2 queues over {len(KILLS)} times kill -9: 0 lost, "
        f"0 out of order, 0 errors, {again} delivered again, the first confirm "
        f"{max(resumed):.2f} s after the port is back (the driver alone: {max(alone):.2f} s)"
    )


async def first_confirms(trial: BrokerTrial, publisher: Publisher) -> tuple[float, float]:
    """Give the seconds from the port on until the publisher's, and until the bare driver's."""
    back = await trial.port_opens()
    alone = asyncio.create_task(trial.driver_confirmed("events"))
    return await publisher.first_after(back) - back, await alone


class Victim:
    """A consumer's process, and what it said before it was killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.got: set[int] = set()
        self.acked: set[int] = set()
        self._process = process

    async def hear(self, what: str, number: int) -> None:
        """Wait until it has said so often what it did."""
        assert self._process.stdout is not None
        while len(self.got if what == "got" else self.acked) < number:
            line = (await self._process.stdout.readline()).decode()
            assert line.endswith("\n"), "the process ended; its error is on stderr"
            self._note(line)

    async def kill(self) -> float:
        """End it as ``kill -9`` does, and give the time of it."""
        assert self._process.stdout is not None
        self._process.kill()
        killed = time.monotonic()
        rest = (await self._process.stdout.read()).decode()
        for line in rest.splitlines(keepends=True):
            # One that the kill cut off was not said.
            if line.endswith("\n"):
                self._note(line)
        await self._process.wait()
        return killed

    def _note(self, line: str) -> None:
        what, *number = line.split()
        if number:
            (self.got if what == "got" else self.acked).add(int(number[0]))


async def start_victim(trial: BrokerTrial, **order: Any) -> Victim:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.broker_process"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode({"settings": trial.settings(), **order}))
    process.stdin.close()
    return Victim(process)


@pytest.mark.promise("broker.killed-consumer-loses-nothing")
def test_consumer_killed(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(consumer_killed))


async def consumer_killed(trial: BrokerTrial) -> str:
    """A broker that sees the link end gives its messages to another at once, or after ack_wait."""
    bound = 1.0 if trial.engine == "rabbitmq" else ACK_WAIT + 1
    slowest = 0.0
    acked = again = 0
    options = SubscribeOptions(prefetch=HELD, ack_wait=ACK_WAIT)
    order = {"exchange": "events", "queue": "work", "prefetch": HELD, "hold": HELD}
    async with trial.open() as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "work", options=options):
            pass
        for _ in range(ROUNDS[trial.length]):
            for number in range(HELD):
                _ = broker.publish_nowait({"n": number}, exchange="events")
            await broker.flush()
            victim = await start_victim(trial, ack_wait=ACK_WAIT, **order)
            try:
                await victim.hear("acks", HELD // 4)
            finally:
                killed = await victim.kill()
            assert victim.got == {*range(HELD)}
            missing = {*range(HELD)} - victim.acked
            assert missing, "it had done everything before it was killed"
            found: set[int] = set()
            async with broker.subscribe("events", "work", options=options) as deliveries:
                while missing - found:
                    delivery = await deliveries.get(bound + 10)
                    assert delivery.redelivered
                    found.add(delivery["n"])
                    slowest = max(slowest, time.monotonic() - killed)
                    await delivery.ack()
                # What it had acked a moment before may come too.
                try:
                    while True:
                        await (await deliveries.get(0.1)).ack()
                        again += 1
                except OperationTimeoutError:
                    pass
            acked += len(victim.acked)
        await trial.is_drained("events", "work")
    assert slowest < bound, f"{slowest:.2f} s"
    return (
        f"{trial.engine}: {ROUNDS[trial.length]} consumers killed with {HELD} messages in hand, "
        f"{acked} acked: 0 lost, {again} acked again, all others after at most {slowest:.2f} s"
    )
