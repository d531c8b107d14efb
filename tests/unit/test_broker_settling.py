"""Answers that outlive what they answer to, and many of them."""

import asyncio
import time

from asyncbackends.broker.flow import SeenIds
from asyncbackends.clock import ManualClock
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from tests.unit.scripted_wire import (
    ScriptedWire,
    incoming,
    running,
    turns,
    until,
)


async def test_a_rejected_message_is_settled_before_its_consumer_ends() -> None:
    wire = ScriptedWire()
    wire.options = QueueOptions(dead_letter="dead")
    wire.confirms = False
    async with running(wire) as broker:

        async def reject() -> None:
            async with broker.subscribe("e", "q") as subscription:
                wire.consumers[0].events.received([incoming("m"), incoming("n")])
                await (await subscription.get(5)).reject("no good")

        rejecting = asyncio.create_task(reject())
        await until(lambda: wire.publishing[0].sent)
        (consumer,) = wire.consumers
        await turns()
        assert wire.consumers == [consumer]
        wire.publishing[0].events.confirmed(1)
        await rejecting
        assert [(one.token, one.verdict) for one in consumer.answers] == [("m", "ack")]
        assert wire.consumers == []


async def test_a_copy_that_is_not_confirmed_holds_an_exit_up_for_the_timeout_alone() -> None:
    wire = ScriptedWire()
    wire.options = QueueOptions(dead_letter="dead")
    wire.confirms = False
    async with running(wire, operation_timeout=0.1) as broker:
        async with broker.subscribe("e", "q") as subscription:
            (consumer,) = wire.consumers
            consumer.events.received([incoming("m")])
            await (await subscription.get(5)).reject("no good")
            began = time.monotonic()
        assert 0.05 < time.monotonic() - began < 2
        assert consumer.answers == []
        assert wire.consumers == []


def test_seen_ids_are_forgotten_in_constant_time() -> None:
    clock = ManualClock()
    seen = SeenIds(3600, clock)
    began = time.process_time()
    for number in range(150_000):
        seen.add(str(number))
    assert time.process_time() - began < 3
    assert "149999" in seen
    assert "50000" in seen
    assert "49999" not in seen


async def test_overdue_deliveries_are_returned_in_linear_time() -> None:
    wire, clock = ScriptedWire(), ManualClock()
    wire.clock = clock
    options = SubscribeOptions(prefetch=65_000, max_processing=60.0)
    async with (
        running(wire) as broker,
        broker.subscribe("e", "q", options=options) as subscription,
    ):
        (consumer,) = wire.consumers
        consumer.events.received([incoming(str(number)) for number in range(40_000)])
        for number in range(40_000):
            if number % 20 == 0:
                clock.call_later(0, lambda: None)
                await clock.advance(0.001)
            await subscription.get(5)
        began = time.process_time()
        await clock.advance(70)
        assert len(consumer.answers) == 40_000
        assert time.process_time() - began < 4
