"""Where the outbox's bookkeeping could go wrong: two things that happen in one turn of the loop."""

import asyncio
import gc
import time
from typing import Self

import pytest

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.errors import (
    ConnectionLostError,
    OperationTimeoutError,
    OutboxFullError,
    PublishRejectedError,
    PublishUnconfirmedError,
)
from tests.unit.test_broker_outbox import Bench, message, turns

GONE = ConnectionLostError("gone")


async def test_one_let_in_and_cancelled_in_the_same_turn_is_answered_once() -> None:
    bench = Bench(messages=1)
    link = bench.link()
    first, second = bench.publish("m0"), bench.publish("m1")
    await turns()
    bench.outbox.confirmed(1)
    second.cancel()
    await turns()
    assert second.cancelled()
    assert await first == "m0"
    assert link.sent == ["m0", "m1"]
    bench.outbox.confirmed(2)
    assert len(bench.outbox) == 0
    third = bench.publish("m2")
    await turns()
    bench.outbox.confirmed(3)
    assert await third == "m2"


class Body(bytes):
    """Counts how many there are."""

    there = 0

    def __new__(cls) -> Self:
        cls.there += 1
        return super().__new__(cls)

    def __del__(self) -> None:
        type(self).there -= 1


async def test_messages_that_gave_up_in_an_outage_leave_nothing_behind() -> None:
    bench = Bench(messages=10)

    async def publish(name: str) -> None:
        outgoing = OutgoingMessage("e", "", Body(), False, {}, name, None, None, 0.0, None, False)
        with pytest.raises(OperationTimeoutError):
            await bench.outbox.publish(outgoing, 1, 1)

    for round_ in range(100):
        tasks = [asyncio.create_task(publish(f"{round_}-{one}")) for one in range(10)]
        await turns()
        await bench.clock.advance(1)
        await asyncio.gather(*tasks)
        del tasks
    gc.collect()
    assert Body.there < 100
    assert bench.link().sent == []


async def test_a_search_goes_on_when_the_suspect_on_its_way_is_given_up() -> None:
    bench = Bench()
    bench.link()
    slow = bench.publish("slow", timeout=5)
    await turns()
    behind = bench.put("behind")
    await turns()
    bench.outbox.search_culprit(GONE)
    bench.outbox.detach()
    link = bench.link()
    await turns()
    assert link.sent == ["slow"]
    await bench.clock.advance(5)
    with pytest.raises(PublishUnconfirmedError):
        await slow
    await turns()
    assert link.sent == ["slow", "behind"]
    bench.outbox.confirmed(2)
    assert await behind == "behind"


async def test_nobody_is_blamed_for_a_message_that_was_given_up() -> None:
    bench = Bench()
    bench.link()
    bad, good = bench.publish("bad"), bench.publish("good")
    await turns()
    bad.cancel()
    await turns()
    bench.outbox.search_culprit(GONE)
    bench.outbox.detach()
    assert not good.done()
    link = bench.link()
    await turns()
    assert link.sent == ["good"]
    bench.outbox.search_culprit(GONE)
    bench.outbox.detach()
    with pytest.raises(PublishRejectedError):
        await good


async def test_a_failure_is_told_by_flush_when_the_wait_for_its_receipt_was_given_up() -> None:
    bench = Bench()
    bench.link()
    receipt = bench.put("m0")

    async def wait() -> str:
        return await receipt

    one, two = asyncio.create_task(wait()), asyncio.create_task(wait())
    await turns()
    one.cancel()
    await turns()
    two.cancel()
    await turns()
    bench.outbox.refused(1, PublishRejectedError("no"))
    assert [str(error) for error in bench.outbox.failures()] == ["no"]


async def test_a_failure_is_told_by_flush_when_the_wait_is_cancelled_as_it_ends() -> None:
    bench = Bench()
    bench.link()
    receipt = bench.put("m0")

    async def wait() -> str:
        return await receipt

    waiting = asyncio.create_task(wait())
    await turns()
    bench.outbox.refused(1, PublishRejectedError("no"))
    waiting.cancel()
    await turns()
    assert waiting.cancelled()
    assert [str(error) for error in bench.outbox.failures()] == ["no"]


async def test_many_may_be_refused_at_once() -> None:
    bench = Bench()
    bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(4)]
    await turns()
    bench.outbox.confirmed(2)
    bench.outbox.refused(3, PublishRejectedError("no"), up_to=True)
    bench.outbox.refused(2, PublishRejectedError("no"))
    bench.outbox.confirmed(4)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, PublishRejectedError) for one in results] == [True, False, True, False]


async def test_flush_waits_also_for_those_that_wait_for_room() -> None:
    bench = Bench(messages=1)
    link = bench.link()
    tasks = [bench.publish("m0"), bench.publish("m1")]
    await turns()
    flushing = asyncio.create_task(bench.outbox.flush(5))
    await turns()
    bench.outbox.confirmed(1)
    await turns()
    assert link.sent == ["m0", "m1"]
    assert not flushing.done()
    bench.outbox.confirmed(2)
    await flushing
    assert await asyncio.gather(*tasks) == ["m0", "m1"]


async def test_flush_ends_when_those_that_wait_for_room_give_up() -> None:
    bench = Bench(messages=1)
    bench.link()
    first, second = bench.publish("m0"), bench.publish("m1", timeout=1)
    await turns()
    flushing = asyncio.create_task(bench.outbox.flush(5))
    await turns()
    await bench.clock.advance(1)
    with pytest.raises(OutboxFullError):
        await second
    bench.outbox.confirmed(1)
    await flushing
    assert await first == "m0"


async def test_a_full_and_large_outbox_drains_and_gives_up_in_linear_time() -> None:
    bench = Bench(messages=100_000, size=100_000_000)
    bench.link()
    began = time.process_time()
    for number in range(60_000):
        bench.outbox.put(message(str(number)), 1)
    await turns()
    flushing = asyncio.create_task(bench.outbox.flush(5))
    await turns()
    for number in range(60_000):
        bench.outbox.confirmed(number + 1)
    await flushing
    tasks = [bench.publish(f"late{number}", timeout=1) for number in range(20_000)]
    await turns()
    for task in reversed(tasks):
        task.cancel()
    await turns()
    assert len(bench.outbox) == 0
    # Seconds; a quadratic one takes many times more.
    assert time.process_time() - began < 5
