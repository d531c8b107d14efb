"""What the core does with links that fail, each in its own way."""

import asyncio

import pytest

from asyncbackends.errors import (
    AccessDeniedError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.protocols.backend import ConnectionState
from tests.unit.scripted_wire import (
    GONE,
    DriverError,
    ScriptedWire,
    incoming,
    running,
    until,
)

# Errors of drivers.


async def test_an_error_of_a_driver_is_the_subscriptions_own_while_the_link_comes_up() -> None:
    wire = ScriptedWire()
    async with (
        running(wire) as broker,
        broker.subscribe("e", "denied") as denied,
        broker.subscribe("e", "other") as other,
    ):
        wire.script("declare_queue", DriverError(AccessDeniedError("no")))
        wire.consuming[0].lose()
        await until(lambda: wire.consumers)
        wire.consumers[0].events.received([incoming("m")])
        assert (await other.get(5)).message_id == "m"
        with pytest.raises(AccessDeniedError):
            await denied.get(5)


async def test_what_a_driver_lost_is_asked_again() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        wire.script("server_info", DriverError(ConnectionLostError("lost")))
        assert (await broker.server_info()).product == "scripted"
        wire.script("declare_queue", DriverError(ConnectionLostError("lost")))
        async with broker.subscribe("e", "q"):
            pass


async def test_an_exchange_that_is_refused_keeps_no_link_down() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        await broker.create_exchange("e")
        wire.script("create_exchange", *[DriverError(AccessDeniedError("no"))] * 50)
        wire.publishing[0].events.lost(GONE)
        assert await broker.publish(b"", exchange="e", message_id="m", timeout=2) == "m"


async def test_an_unclean_end_of_a_link_that_did_not_come_up_is_no_failure() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker, broker.subscribe("e", "q"):
        wire.script("declare_queue", DriverError(ConnectionLostError("lost")))
        wire.script("close_consuming", *[DriverError(ConnectionLostError("lost"))] * 3)
        wire.consuming[0].lose()
        await until(lambda: wire.consumers)
        await broker.server_info()


# Links.


async def test_a_lost_link_is_closed_before_the_next_one_is_used() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        wire.consuming[0].lose()
        wire.publishing[0].events.lost(GONE)
        await until(lambda: len(wire.consuming) == 2 and len(wire.publishing) == 2)
        assert wire.consuming[0].closed
        assert wire.publishing[0].closed
        await broker.server_info()


async def test_many_subscriptions_may_take_longer_than_one_connect() -> None:
    wire = ScriptedWire()
    async with (
        running(wire, connect_timeout=0.2) as broker,
        broker.subscribe("e", "a"),
        broker.subscribe("e", "b"),
    ):
        original = wire.step

        async def slow(operation: str) -> None:
            await asyncio.sleep(0.08)
            await original(operation)

        wire.step = slow  # type: ignore[method-assign]  # a slow server
        wire.consuming[0].lose()
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        assert len(wire.consuming) == 2


async def test_no_link_until_the_deadline_is_a_lost_connection() -> None:
    wire = ScriptedWire()
    async with running(wire, operation_timeout=0.05) as broker:
        wire.script("open_consuming", *[GONE] * 1000)
        wire.consuming[0].lose()
        with pytest.raises(ConnectionLostError) as raised:
            await broker.create_exchange("e")
        assert not raised.value.maybe_applied
        with pytest.raises(ConnectionLostError):
            await broker.subscribe("e", "q").__aenter__()


async def test_no_answer_until_the_deadline_is_a_timeout() -> None:
    wire = ScriptedWire()
    async with running(wire, operation_timeout=0.05) as broker:
        wire.script("create_exchange", asyncio.Event())
        with pytest.raises(OperationTimeoutError) as raised:
            await broker.create_exchange("e")
        assert raised.value.maybe_applied


async def test_a_link_that_did_not_come_up_blocks_no_state() -> None:
    wire = ScriptedWire()
    async with running(wire) as broker:
        await broker.create_exchange("e")
        wire.script("create_exchange", DriverError(ConnectionLostError("lost")))
        wire.on_step["create_exchange"] = lambda: wire.publishing[-1].events.blocked("full")
        wire.publishing[0].events.lost(GONE)
        await until(lambda: len(wire.publishing) == 3)
        await until(lambda: broker.state is ConnectionState.CONNECTED)
