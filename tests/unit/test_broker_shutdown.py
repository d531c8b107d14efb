"""The end of a broker: bounded, whatever its links do, and nobody waits for it in vain."""

import asyncio
import logging
import time

import pytest

from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendClosedError,
    ConnectionLostError,
    PublishRejectedError,
)
from asyncbackends.protocols.backend import ConnectionState
from tests.unit.scripted_wire import GONE, DriverError, ScriptedWire, opened, turns, until


@pytest.mark.parametrize(
    "frozen",
    [
        ("close_consumer",),
        ("delete_queue",),
        ("close_consuming",),
        ("close_publishing",),
        ("close_consumer", "delete_queue", "close_consuming", "close_publishing"),
    ],
)
@pytest.mark.parametrize("unconfirmed", [False, True])
async def test_an_end_with_a_frozen_server_is_bounded_and_ends_all(
    frozen: tuple[str, ...], unconfirmed: bool
) -> None:
    wire = ScriptedWire()
    wire.confirms = not unconfirmed
    broker = await opened(wire)
    blocks = [broker.subscribe("e", None) for _ in range(3)]
    subscriptions = [await block.__aenter__() for block in blocks]
    waiting = [asyncio.create_task(one.get(60)) for one in subscriptions]
    receipt = broker.publish_nowait(b"", exchange="e")
    publishing = asyncio.create_task(broker.publish(b"", exchange="e", timeout=60))
    await turns()
    for operation in frozen:
        wire.script(operation, asyncio.Event())
    began = time.monotonic()
    await broker.shutdown(grace=0.3)
    assert time.monotonic() - began < 2.3
    assert wire.closed
    assert broker.state is ConnectionState.CLOSED
    if unconfirmed:
        with pytest.raises(BackendClosedError) as raised:
            await publishing
        assert raised.value.maybe_applied
        with pytest.raises(BackendClosedError):
            await receipt
    else:
        await publishing
    for task in waiting:
        with pytest.raises(BackendClosedError):
            await task
    for block in blocks:
        await block.__aexit__(None, None, None)


@pytest.mark.parametrize("operation", ["close_consumer", "close_consuming", "close_publishing"])
async def test_an_end_that_a_driver_disturbs_ends_all_the_same(operation: str) -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire)
    async with broker.subscribe("e", "q"):
        receipt = broker.publish_nowait(b"", exchange="e")
        wire.script(operation, DriverError(ConnectionLostError("lost")))
        await broker.shutdown(grace=0.05)
        with pytest.raises(BackendClosedError):
            await receipt
        assert wire.closed
        assert broker.state is ConnectionState.CLOSED


async def test_two_ends_at_once_give_the_grace_of_both() -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire)
    receipt = broker.publish_nowait(b"", exchange="e", message_id="m")
    await turns()
    ends = [asyncio.create_task(broker.shutdown(grace=5)) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert not any(end.done() for end in ends)
    wire.publishing[0].events.confirmed(1)
    assert await receipt == "m"
    await asyncio.gather(*ends)
    assert wire.closed


async def test_an_end_that_is_cancelled_can_be_had_again() -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire)
    _ = broker.publish_nowait(b"", exchange="e")
    end = asyncio.create_task(broker.shutdown(grace=60))
    await turns()
    end.cancel()
    await asyncio.wait({end})
    await broker.shutdown(grace=0)
    assert wire.closed


async def test_what_waits_for_room_has_the_grace_too() -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire, outbox_messages=1)
    tasks = [asyncio.create_task(broker.publish(b"", exchange="e")) for _ in range(3)]
    await turns()
    end = asyncio.create_task(broker.shutdown(grace=5))
    for number in range(3):
        await turns()
        wire.publishing[0].events.confirmed(number + 1)
    assert len(await asyncio.gather(*tasks)) == 3
    await end


async def test_failures_that_nobody_heard_of_are_told_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire)
    _ = broker.publish_nowait(b"", exchange="e")
    await turns()
    wire.publishing[0].events.refused(1, PublishRejectedError("no"))
    with caplog.at_level(logging.WARNING, "asyncbackends.broker"):
        await broker.shutdown()
    assert "1 messages were not stored" in caplog.text


async def test_a_call_that_waits_for_a_link_ends_with_the_broker() -> None:
    wire = ScriptedWire()
    broker = await opened(wire)
    wire.script("open_consuming", *[GONE] * 10_000)
    wire.consuming[0].lose()
    asking = asyncio.create_task(broker.server_info())
    entering = asyncio.create_task(broker.subscribe("e", "q").__aenter__())
    await turns()
    began = time.monotonic()
    await broker.shutdown(grace=0.1)
    for task in (asking, entering):
        with pytest.raises(BackendClosedError):
            await task
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("operation", ["open_publishing", "open_consuming"])
async def test_a_changed_password_ends_all_that_waits(operation: str) -> None:
    wire = ScriptedWire()
    wire.confirms = False
    broker = await opened(wire)
    async with broker.subscribe("e", "q") as subscription:
        waiting = asyncio.create_task(subscription.get(60))
        publishing = asyncio.create_task(broker.publish(b"", exchange="e", timeout=60))
        await turns()
        wire.script(operation, AuthenticationFailedError("changed"))
        wire.publishing[0].events.lost(GONE)
        wire.consuming[0].lose()
        for task in (waiting, publishing):
            with pytest.raises(BackendClosedError, match="changed"):
                await task
        with pytest.raises(BackendClosedError, match="changed"):
            await broker.server_info()
        await until(lambda: broker.state is ConnectionState.CLOSED)
        assert wire.closed
    await broker.shutdown()


async def test_an_end_amid_a_subscribe_leaves_no_consumer() -> None:
    wire = ScriptedWire()
    broker = await opened(wire)
    go_on = asyncio.Event()
    wire.script("consume", go_on)
    entering = asyncio.create_task(broker.subscribe("e", "q").__aenter__())
    await until(lambda: "consume" in wire.calls)
    end = asyncio.create_task(broker.shutdown(grace=0.1))
    await turns()
    go_on.set()
    await end
    with pytest.raises(BackendClosedError):
        await entering
    assert wire.consumers == []
