"""Three servers that keep each message three times, and lose the one that leads."""

import asyncio
import time
from collections.abc import Callable

import pytest

from asyncbackends import Guarantee, SubscribeOptions
from tests.faults.broker_load import PREFETCH, WINDOW, Publisher, Subscriber, consuming
from tests.faults.broker_products import stream_of
from tests.faults.broker_trials import BrokerTrial, RunBrokerTrial
from tests.servers.nats_cluster import NatsCluster

MESSAGES = {"ci": 10_000, "soak": 100_000}
FAIL_OVERS = {"ci": 1, "soak": 10}
ACK_WAIT = 2.0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["nats"])
@pytest.mark.promise("broker.cluster-loses-its-leader")
def test_leader_is_lost(
    run_alone: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_alone(leader_is_lost))


async def leader_is_lost(trial: BrokerTrial) -> str:
    messages, kills = MESSAGES[trial.length], FAIL_OVERS[trial.length]
    subscriber = Subscriber(messages)
    options = SubscribeOptions(prefetch=PREFETCH, ack_wait=ACK_WAIT)
    cluster = NatsCluster(accounts=True)
    await trial.fleet.do(cluster.__enter__)
    try:
        trial.secrets.add(cluster.settings()["password"])
        own = {"namespace": trial.namespace, "reconnect_max": 0.2, "link_timeout": 2.0}
        settings = cluster.settings(**own, replicas=3, outbox_messages=WINDOW)
        async with trial.open_with(settings) as broker:
            # What the dead leader took along is sent again after what its follower has taken.
            assert Guarantee.ORDERED_PER_PUBLISHER not in broker.guarantees
            await broker.create_exchange("events")
            stream = stream_of(trial.namespace, "events")
            publisher = Publisher(broker, "events", messages)
            async with (
                broker.subscribe("events", "work", options=options) as deliveries,
                consuming({deliveries: subscriber}),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(publisher.run())
                for number in range(1, kills + 1):
                    await publisher.reach(messages * number // (kills + 1))
                    leader = await trial.fleet.do(cluster.leader_of, stream)
                    await trial.fleet.do(cluster.members[leader].kill)
                    # What was confirmed before is still on its way.
                    await asyncio.sleep(0.1)
                    await publisher.first_after(time.monotonic())
                    await trial.fleet.do(cluster.start)
                    await trial.fleet.do(cluster.wait_for_copies, stream)
                async with asyncio.timeout(120):
                    await subscriber.complete.wait()
    finally:
        await trial.fleet.do(cluster.remove)
    disorder = len(subscriber.disorder(publisher.ids))
    return (
        f"{trial.engine}: {messages} messages over {kills} lost leaders of three: 0 lost, "
        f"{disorder} out of order, 0 errors, {subscriber.again} delivered again, the longest pause of confirms "
        f"{publisher.longest_pause:.1f} s"
    )
