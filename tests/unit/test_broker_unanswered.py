"""A message that the broker leaves without an answer costs the link, and goes out on the next one."""

import asyncio

from asyncbackends.backoff import Backoff
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.options import ServerBrokerOptions
from tests.unit.scripted_wire import ScriptedWire, until

LINK_TIMEOUT = 0.05


def silent_wire() -> ScriptedWire:
    wire = ScriptedWire()
    wire.confirms = False
    return wire


def server_broker(wire: ScriptedWire) -> WireBroker[ServerBrokerOptions]:
    return WireBroker(
        "scripted",
        ["a"],
        ServerBrokerOptions(link_timeout=LINK_TIMEOUT),
        lambda _endpoints, _options: wire,
        guarantees=frozenset(),
        reconnect=Backoff(0.001, 0.01),
    )


async def test_hole_in_the_answers_costs_the_link() -> None:
    wire = silent_wire()
    broker = server_broker(wire)
    await broker.connect()
    receipts = [
        broker.publish_nowait({"n": n}, exchange="e", message_id=f"m{n}") for n in (1, 2, 3)
    ]
    await until(lambda: len(wire.publishing[0].sent) == 3)
    wire.publishing[0].events.confirmed(1)
    wire.publishing[0].events.confirmed(3)
    await until(lambda: len(wire.publishing) == 2 and wire.publishing[1].sent)
    assert [message.message_id for message in wire.publishing[1].sent] == ["m2"]
    wire.publishing[1].events.confirmed(1)
    assert await receipts[1] == "m2"
    await broker.shutdown(grace=0.1)


async def test_blocked_broker_owes_no_answer() -> None:
    wire = silent_wire()
    broker = server_broker(wire)
    await broker.connect()
    receipt = broker.publish_nowait({"n": 1}, exchange="e")
    await until(lambda: wire.publishing[0].sent)
    wire.publishing[0].events.blocked("no memory")
    await asyncio.sleep(LINK_TIMEOUT * 4)
    assert len(wire.publishing) == 1
    wire.publishing[0].events.blocked(None)
    wire.publishing[0].events.confirmed(1)
    await receipt
    await broker.shutdown(grace=0.1)


async def test_answers_that_come_keep_the_link() -> None:
    wire = silent_wire()
    broker = server_broker(wire)
    await broker.connect()
    for number in range(1, 9):
        receipt = broker.publish_nowait({"n": number}, exchange="e")
        await until(lambda wanted=number: len(wire.publishing[0].sent) == wanted)  # type: ignore[misc]  # binds now
        await asyncio.sleep(LINK_TIMEOUT / 3)
        wire.publishing[0].events.confirmed(number)
        await receipt
    assert len(wire.publishing) == 1
    await broker.shutdown(grace=0.1)
