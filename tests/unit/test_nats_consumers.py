"""What a consumer answers to its server, and what it leaves when it ends."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from asyncbackends.broker.wire import Answer, IncomingMessage
from asyncbackends.protocols.values import Gap
from asyncbackends_nats.consumers import NatsConsumer
from asyncbackends_nats.declaring import Found
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.memory import Delays
from asyncbackends_nats.names import Names
from tests.unit.test_nats_holding import ScriptedConnection

NANO = 1_000_000_000
ACK_WAIT = 30
ACKED = b"$JS.ACK.s.q.1.%d.%d.1.0"


class Heard:
    """Keeps what the consumer tells."""

    def __init__(self) -> None:
        self.messages: list[IncomingMessage] = []
        self.is_gone: bool | None = None

    def received(self, messages: Sequence[IncomingMessage]) -> None:
        assert self.is_gone is None
        self.messages += messages

    def gap(self, gap: Gap) -> None:
        raise AssertionError

    def cancelled(self, queue_gone: bool = True) -> None:
        self.is_gone = queue_gone


class Consumed(ScriptedConnection):
    """A consumer, and the server of it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = Heard()
        info: dict[str, Any] = {"config": {"ack_wait": ACK_WAIT * NANO}}
        self.delays: Delays = {}
        self.consumer = NatsConsumer(
            cast("Connection", self),
            Names("ns"),
            Found("e", "direct", "s", "q", False, info),
            1000,
            self.heard,
            self.clock,
            self.delays,
            lambda consumer, unsettled: None,
        )
        self.consumer.begin()

    async def flushed(self, seconds: float) -> None:
        pass

    def status(self, line: str) -> None:
        headers = f"NATS/1.0 {line}\r\n\r\n".encode()
        subject = f"{self.requests.inbox}.c2.1".encode()
        size = len(headers)
        self.line.reader.feed(b"HMSG %s 2 %d %d\r\n%s\r\n" % (subject, size, size, headers))

    def deliver(self, number: int) -> bytes:
        token = ACKED % (number, number)
        self.line.reader.feed(b"MSG ab.ns.e.= 2 %s 1\r\nx\r\n" % token)
        return token


@pytest.mark.parametrize("reason", ["Exceeded MaxRequestBatch of 10", "Exceeded MaxWaiting"])
async def test_order_that_is_refused_is_not_repeated_at_once(reason: str) -> None:
    consumed = Consumed()
    assert len(consumed.line.out()) == 1
    consumed.status(f"409 {reason}")
    assert consumed.line.out() == []
    await consumed.clock.advance(0.6)
    assert len(consumed.line.out()) == 1
    await consumed.consumer.close()


async def test_order_whose_time_is_over_has_a_successor_at_once() -> None:
    consumed = Consumed()
    consumed.line.out()
    consumed.status("408 Request Timeout")
    assert len(consumed.line.out()) == 1
    await consumed.consumer.close()


async def test_cancelled_consumer_gives_back_what_was_on_its_way_and_leaves() -> None:
    consumed = Consumed()
    consumed.deliver(1)
    consumed.line.out()
    consumed.status("409 Leadership Change")
    assert consumed.heard.is_gone is False
    consumed.deliver(2)
    out = consumed.line.asked
    returned = [subject for subject, _ in out if subject.startswith("$JS.ACK")]
    assert returned == [(ACKED % (n, n)).decode() for n in (1, 2)]
    assert len(consumed.heard.messages) == 1
    (barrier,) = [reply for subject, reply in out if subject == "$JS.API.INFO"]
    assert b"2" in consumed.line.reader.receivers
    consumed.line.reader.feed(b"MSG %s 1 2\r\n{}\r\n" % barrier)
    assert b"2" not in consumed.line.reader.receivers


async def test_shorter_wait_for_acks_is_kept_at_once() -> None:
    consumed = Consumed()
    token = consumed.deliver(1).decode()
    consumed.line.out()
    consumed.consumer.shorten(3 * NANO)
    assert consumed.line.out() == [token]
    await consumed.clock.advance(1.6)
    assert token in consumed.line.out()
    # Another one's longer wait changes nothing: the shortest counts.
    consumed.consumer.shorten(60 * NANO)
    assert consumed.line.out() == []
    await consumed.consumer.close()


async def test_delays_that_are_over_are_forgotten_in_time() -> None:
    consumed = Consumed()
    for number in range(1, 500):
        token = consumed.deliver(number)
        consumed.consumer.settle([Answer(token, "again", 1.0)])
        await consumed.clock.advance(0.1)
    assert 10 <= len(consumed.delays) <= 64
    await consumed.consumer.close()
