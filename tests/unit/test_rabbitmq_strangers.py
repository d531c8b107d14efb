"""Whatever a foreign publisher or a broken broker sends, a link says so and nothing else breaks."""

import asyncio
from struct import pack
from typing import Any, cast

import pytest
from pamqp import commands

from asyncbackends.broker.wire import ConsumerEvents
from asyncbackends.clock import ManualClock
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends_rabbitmq.consumers import RabbitMqConsumer
from asyncbackends_rabbitmq.contents import incoming
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, ours
from asyncbackends_rabbitmq.frames import FRAME
from asyncbackends_rabbitmq.line import Deaf, Line
from asyncbackends_rabbitmq.names import Names
from asyncbackends_rabbitmq.pulse import Pulse

DELIVER = b"\x00\x3c\x00\x3c\x01t" + pack(">QB", 1, 0) + b"\x01e\x01k"


class Transport:
    """Takes what is written, and ends when it is told to."""

    def __init__(self) -> None:
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Heard(Deaf):
    """Notes how a line was lost."""

    def __init__(self) -> None:
        self.errors: list[BackendError] = []

    def broken(self, error: BackendError) -> None:
        self.errors.append(error)


def begun(events: Any) -> Line:
    line = Line(lambda data: None)
    line.connection_made(cast("asyncio.BaseTransport", Transport()))
    line.begin(events, commands.Connection.Tune(2047, 131_072, 10), Pulse(line, 5, 15), b"")
    return line


def nested(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01n" + b"F" + pack(">I", len(table)) + table
    return table


@pytest.mark.parametrize("depth", [1, 600, 3000])
def test_headers_may_be_nested_as_deep_as_they_like(depth: int) -> None:
    table = nested(depth)
    header = pack(">HHQH", 60, 0, 2, 0x2000) + pack(">I", len(table)) + table
    message = incoming(1, False, DELIVER, header, b"ab", Names(""), lambda _: 0)
    assert message.body == b"ab"


async def test_frame_larger_than_agreed_costs_the_link_at_once() -> None:
    events = Heard()
    line = begun(events)
    line.data_received(FRAME.pack(3, 1, 4_000_000_000) + b"x")
    assert [type(error) for error in events.errors] == [ConnectionLostError]
    with pytest.raises(ConnectionLostError):
        line.check()


async def test_channel_that_is_closed_as_its_consumer_begins_is_told() -> None:
    line = begun(Heard())
    told: list[str] = []

    class Events:
        def cancelled(self, queue_gone: bool = True) -> None:
            told.append("cancelled")

    consumer = RabbitMqConsumer(
        line, Names(""), ManualClock(), "q", cast("ConsumerEvents", Events()), None
    )
    beginning = asyncio.ensure_future(consumer.begin(10))
    await asyncio.sleep(0)
    channel = line._channels[1]  # pyright: ignore[reportPrivateUsage]  # the broker's side of it
    asked = channel._asked  # pyright: ignore[reportPrivateUsage]  # the same
    for waiting in (*asked,):
        waiting.set_result(None)
    asked.clear()
    error = ChannelClosedError(406, "PRECONDITION_FAILED - timeout")
    channel.fail(error)
    consumer.closed(error)
    with pytest.raises(ConnectionLostError):
        await beginning
    assert not told
    assert not consumer.is_open


@pytest.mark.parametrize(
    "text",
    [
        "queue 'q' in vhost 'v' does not have a replica on the local node",
        "stream queue 'q' in vhost 'v' does not have a running replica on the local node",
        "failed consuming from stream queue 'q' in vhost 'v': noproc",
    ],
)
def test_broker_that_only_begins_to_serve_a_queue_is_asked_again(text: str) -> None:
    """A broker that was killed opens its port before it has started its streams."""
    error = ours(ChannelClosedError(406, f"PRECONDITION_FAILED - {text}"), Names(""))
    assert isinstance(error, ConnectionLostError)
