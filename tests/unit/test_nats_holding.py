"""What a stream does not take for now is held, in order, and never longer than there is a reason."""

import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from asyncbackends.clock import ManualClock
from asyncbackends.errors import BackendError, ExchangeNotFoundError, PublishRejectedError
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.frames import FrameReader
from asyncbackends_nats.line import Line
from asyncbackends_nats.names import Names
from asyncbackends_nats.publishing import NatsPublishingLink
from asyncbackends_nats.requests import Requests
from tests.unit.wire_recorders import message

NOBODY = b"NATS/1.0 503\r\n\r\n"
NO_STREAM = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
FULL = {"error": {"code": 503, "err_code": 10047, "description": "insufficient storage"}}
CHECK = "$JS.API.STREAM.INFO.AB-ns-{}"


class ScriptedLine:
    """A server that is played by the test: it says nothing by itself."""

    def __init__(self) -> None:
        self.reader = FrameReader(cast("Line", self))
        self.lost: BackendError | None = None
        self.writable = True
        self.asked: list[tuple[str, bytes]] = []
        """Subjects that were published to, and where the answer goes."""

    def send(self, data: bytes) -> None:
        while data:
            line, _, data = data.partition(b"\r\n")
            words = line.split()
            if words[0] in {b"PUB", b"HPUB"}:
                reply = words[2] if words[2].startswith(b"_INBOX") else b""
                self.asked.append((words[1].decode(), reply))
                data = data[int(words[-1]) + 2 :]

    def out(self) -> list[str]:
        """Give the subjects that were published to since the last call."""
        asked = [subject for subject, _ in self.asked]
        self.asked.clear()
        return asked


class ScriptedConnection:
    """A connection over such a line."""

    def __init__(self) -> None:
        self.line = ScriptedLine()
        self.clock = ManualClock()
        self._number = 0
        self.requests = Requests(cast("Connection", self), "_INBOX", 5)

    def next_subscription(self) -> bytes:
        self._number += 1
        return str(self._number).encode()


class Told:
    """What the core hears."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.errors: dict[int, BackendError] = {}
        self.reason: str | None = None

    def confirmed(self, number: int, up_to: bool = False) -> None:
        told = range(1, number + 1) if up_to else [number]
        self.stored += [one for one in told if one not in self.stored and one not in self.errors]

    def refused(self, number: int, error: BackendError, up_to: bool = False) -> None:
        self.errors[number] = error

    def blocked(self, reason: str | None) -> None:
        self.reason = reason

    def writable(self) -> None:
        pass

    def lost(self, error: BackendError) -> None:
        raise error

    closed_by_server = lost


class Played(ScriptedConnection):
    """A publishing link, and the server of it."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.max_payload = 1000
        exchanges = Exchanges(self.requests, Names("ns"), 1)
        self.link = NatsPublishingLink(cast("Connection", self), self.told, exchanges, self.clock)

    async def close(self) -> None:
        self.requests.close()

    def send(self, *exchanges: str, mandatory: bool = False) -> None:
        some = [message(f"m{n}", one, mandatory=mandatory) for n, one in enumerate(exchanges)]
        self.link.send(some)

    def say(self, reply: bytes, answer: dict[str, Any] | bytes) -> None:
        """Answer a question."""
        headers = answer if isinstance(answer, bytes) else b""
        body = b"" if isinstance(answer, bytes) else json.dumps(answer).encode()
        sid = b"1" if b".r." in reply else b"2"
        self.line.reader.feed(
            b"HMSG %s %s %d %d\r\n%s%s\r\n"
            % (reply, sid, len(headers), len(headers) + len(body), headers, body)
        )

    def say_to(self, *numbers: int, answer: dict[str, Any] | bytes) -> None:
        """Answer messages."""
        for number in numbers:
            self.say(f"{self.requests.inbox}.p.{number}".encode(), answer)

    def store(self, *numbers: int) -> None:
        for number in numbers:
            # The server's JSON begins so.
            reply = f"{self.requests.inbox}.p.{number}".encode()
            body = b'{"stream":"AB-ns-e","seq":1}'
            self.line.reader.feed(b"MSG %s 2 %d\r\n%s\r\n" % (reply, len(body), body))

    def answer_check(self, exchange: str, answer: dict[str, Any] | bytes) -> None:
        """Answer the question whether an exchange is there."""
        (reply,) = [
            where for subject, where in self.line.asked if subject == CHECK.format(exchange)
        ]
        self.line.asked = [one for one in self.line.asked if one[1] != reply]
        self.say(reply, answer)

    def sent(self) -> list[str]:
        """Give the messages that went out since the last call."""
        return [subject for subject in self.line.out() if subject.startswith("ab.")]


@pytest.fixture
async def played() -> AsyncGenerator[Played]:
    found = Played()
    yield found
    await found.link.close()


async def test_exchange_that_goes_while_it_blocks_ends_the_block(played: Played) -> None:
    played.send("e", "e")
    played.say_to(1, 2, answer=FULL)
    assert played.told.reason is not None
    assert not played.link.writable
    await played.clock.advance(0.4)
    played.say_to(1, answer=NOBODY)
    played.answer_check("e", NO_STREAM)
    assert [type(error) for error in played.told.errors.values()] == [ExchangeNotFoundError] * 2
    assert played.told.reason is None
    assert played.link.writable


async def test_late_look_blocks_nothing_that_is_stored(played: Played) -> None:
    played.send("e", "e")
    played.say_to(1, answer=NOBODY)
    played.say_to(2, answer=FULL)
    await played.clock.advance(0.4)
    played.store(1)
    played.store(2)
    assert played.told.stored == [1, 2]
    assert played.link.writable
    # The question whether the exchange is there has no answer.
    await played.clock.advance(5)
    assert played.told.reason is None
    assert played.link.writable


async def test_each_exchange_that_nobody_serves_is_looked_for(played: Played) -> None:
    played.send("one", "two", "three")
    played.say_to(1, 2, 3, answer=NOBODY)
    played.answer_check("one", {"config": {}, "state": {}})
    assert played.told.reason is not None
    played.answer_check("two", NO_STREAM)
    await played.clock.advance(1.1)
    assert list(played.told.errors) == [2]
    played.store(1, 3)
    assert played.link.writable


async def test_what_is_held_goes_on_behind_its_first(played: Played) -> None:
    played.send("e", "e", "e", "f")
    played.sent()
    played.say_to(1, 2, 3, answer=FULL)
    await played.clock.advance(0.31)
    # Of the other exchange the answer may be lost.
    assert played.sent() == ["ab.ns.e.=", "ab.ns.f.="]
    played.say_to(1, answer=FULL)
    assert played.sent() == []
    await played.clock.advance(0.31)
    assert played.sent() == ["ab.ns.e.=", "ab.ns.f.="]
    played.store(4)
    played.store(1)
    assert played.sent() == ["ab.ns.e.="] * 2
    assert not played.link.writable
    played.store(2, 3)
    assert played.told.stored == [4, 1, 2, 3]
    assert played.link.writable


async def test_nothing_is_sent_again_into_a_full_buffer(played: Played) -> None:
    played.send("e", "e")
    played.say_to(1, 2, answer=FULL)
    played.sent()
    played.line.writable = False
    await played.clock.advance(1)
    assert played.sent() == []
    played.line.writable = True
    await played.clock.advance(0.4)
    assert played.sent() == ["ab.ns.e.="]
    played.line.writable = False
    played.store(1)
    assert played.sent() == []
    played.line.writable = True
    await played.clock.advance(0.4)
    assert played.sent() == ["ab.ns.e.="]
    played.store(2)
    assert played.link.writable


async def test_mandatory_message_overtakes_nothing_that_is_held(played: Played) -> None:
    played.send("e", "e")
    played.send("e", mandatory=True)
    (check,) = [where for subject, where in played.line.asked if subject == CHECK.format("e")]
    played.line.asked.clear()
    played.say_to(1, 2, answer=NOBODY)
    found = {"config": {"metadata": {"ab-kind": "fanout"}}, "state": {"consumer_count": 1}}
    played.say(check, found)
    assert played.sent() == []
    played.say(check, found)
    await played.clock.advance(1.5)
    played.sent()
    played.store(1)
    assert played.sent() == ["ab.ns.e.="] * 2
    played.store(2, 3)
    assert played.told.stored == [1, 2, 3]


async def test_what_was_kept_behind_a_missing_exchange_goes_on(played: Played) -> None:
    played.send("gone")
    played.send("e", mandatory=True)
    (check,) = [where for subject, where in played.line.asked if subject == CHECK.format("e")]
    played.say_to(1, answer=NOBODY)
    found = {"config": {"metadata": {"ab-kind": "fanout"}}, "state": {"consumer_count": 1}}
    played.say(check, found)
    played.line.asked = [one for one in played.line.asked if "gone" in one[0]]
    played.answer_check("gone", NO_STREAM)
    assert list(played.told.errors) == [1]
    assert played.told.reason is None
    assert played.sent()[-1:] == ["ab.ns.e.="]
    played.store(2)
    assert played.link.writable


@pytest.mark.parametrize(
    ("code", "err_code", "text"),
    [
        (409, 10158, "duplicate message id is in process"),
        (400, 10002, "resource limits exceeded for account"),
        (429, 10167, "too many requests"),
        (503, None, "raft: not leader"),
        (503, 10077, "store is closed"),
        (503, 10008, "system temporarily unavailable"),
    ],
)
async def test_undecided_answer_is_no_refusal(
    played: Played, code: int, err_code: int | None, text: str
) -> None:
    error: dict[str, Any] = {"code": code, "description": text}
    if err_code is not None:
        error["err_code"] = err_code
    played.send("e")
    played.say_to(1, answer={"error": error})
    assert played.told.errors == {}
    await played.clock.advance(0.4)
    played.store(1)
    assert played.told.stored == [1]


async def test_store_that_fails_for_good_is_a_refusal(played: Played) -> None:
    played.send("e")
    failed = {"code": 503, "err_code": 10077, "description": "error opening msg block file"}
    played.say_to(1, answer={"error": failed})
    assert isinstance(played.told.errors[1], PublishRejectedError)
    assert played.link.writable
