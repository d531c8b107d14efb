"""However answers come, the broker hears each once, in as few frames as it takes."""

import asyncio
from typing import Any, cast

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.header import ContentHeader

from asyncbackends.broker.wire import Answer, IncomingMessage
from asyncbackends.clock import ManualClock
from asyncbackends_rabbitmq.channels import Channel, Traffic
from asyncbackends_rabbitmq.consumers import RabbitMqConsumer
from asyncbackends_rabbitmq.counts import Counts
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names


class WrittenLine:
    """Keeps what is written, and applies answers as a broker does."""

    def __init__(self) -> None:
        self.unsettled: dict[int, None] = {}
        self.acked: list[int] = []
        self.returned: list[int] = []
        self.writes = 0
        self.frames = 0

    def new_channel(self, traffic: Traffic) -> Channel:
        return Channel(cast("Line", self), 1, traffic)

    def write(self, number: int, *frames: Any) -> None:
        pass

    def write_packed(self, data: bytes) -> None:
        self.writes += 1
        while data:
            used, _, frame = pamqp.frame.unmarshal(data)
            data = data[used:]
            self.frames += 1
            match frame:
                case commands.Basic.Ack(delivery_tag=int(tag), multiple=True):
                    found = [one for one in self.unsettled if one <= tag]
                    assert found
                    self.acked += found
                case commands.Basic.Ack(delivery_tag=int(tag)):
                    found = [tag]
                    self.acked.append(tag)
                case commands.Basic.Reject(delivery_tag=int(tag), requeue=True):
                    found = [tag]
                    self.returned.append(tag)
                case _:
                    pytest.fail(f"{frame} is no answer")
            for one in found:
                del self.unsettled[one]

    def forget(self, number: int) -> None:
        pass


class Heard:
    def __init__(self) -> None:
        self.messages: list[IncomingMessage] = []

    def received(self, messages: Any) -> None:
        self.messages += messages

    def gap(self, gap: object) -> None:
        pass

    def cancelled(self, queue_gone: bool = True) -> None:
        pass


def deliver(consumer: RabbitMqConsumer, line: WrittenLine, tag: int, message_id: str) -> None:
    line.unsettled[tag] = None
    method = pamqp.frame.marshal(commands.Basic.Deliver("t", tag, False, "ns.e", ""), 1)[7:-1]
    properties = commands.Basic.Properties(message_id=message_id)
    header = pamqp.frame.marshal(ContentHeader(0, 0, properties), 1)[7:-1]
    consumer.message(method, header, b"")
    consumer.pause()


@given(st.data())
def test_each_delivery_is_answered_once(data: st.DataObject) -> None:
    async def run() -> None:
        line, heard, counts = WrittenLine(), Heard(), Counts()
        clock = ManualClock()
        consumer = RabbitMqConsumer(cast("Line", line), Names("ns"), clock, "queue", heard, counts)
        last, waiting = 0, list[int]()
        acked, returned, held = set[int](), set[int](), set[int]()
        for _ in range(data.draw(st.integers(1, 8))):
            for _ in range(data.draw(st.integers(0, 10))):
                last += 1
                waiting.append(last)
                deliver(consumer, line, last, str(last))
            answers: list[Answer] = []
            for tag in data.draw(st.permutations(waiting))[: data.draw(st.integers(0, 10))]:
                waiting.remove(tag)
                match data.draw(st.sampled_from(["ack", "ack", "ack", "again", "later"])):
                    case "ack":
                        acked.add(tag)
                        answers.append(Answer(tag, "ack"))
                    case "again":
                        returned.add(tag)
                        answers.append(Answer(tag, "again"))
                    case _:
                        held.add(tag)
                        answers.append(Answer(tag, "again", 5.0))
            before = line.writes
            consumer.settle(answers)
            assert line.writes <= before + 1
            assert (set(line.acked), set(line.returned)) == (acked, returned)
            assert set(line.unsettled) == {*waiting, *held}
        await clock.advance(6)
        assert set(line.returned) == returned | held
        assert len(line.acked) == len(acked)
        assert len(line.returned) == len(returned | held)
        # What came back counts, what is done with does not.
        for tag in range(1, last + 1):
            assert counts.known("queue", str(tag)) == (tag in returned | held)
        consumer.end()
        for tag in waiting:
            assert counts.known("queue", str(tag)) == 1

    asyncio.run(run())


async def test_all_in_order_are_one_frame() -> None:
    line = WrittenLine()
    consumer = RabbitMqConsumer(
        cast("Line", line), Names("ns"), ManualClock(), "queue", Heard(), None
    )
    for tag in range(1, 101):
        deliver(consumer, line, tag, "")
    consumer.settle([Answer(tag, "ack") for tag in range(1, 51)])
    consumer.settle([Answer(tag, "ack") for tag in range(100, 50, -1)])
    assert (line.frames, line.writes, line.unsettled) == (2, 2, {})
    consumer.end()
