"""What is asked of a server to declare a queue or to delete one, and in which order."""

import base64
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from asyncbackends.broker.declaring import QueueRecord
from asyncbackends.errors import ConnectionLostError
from asyncbackends_nats.deleting import Deleting
from asyncbackends_nats.driver_errors import JetStreamError, ours
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.names import Names
from asyncbackends_nats.register import Register
from asyncbackends_nats.requests import Reply, Requests, answer_of
from tests.unit.wire_recorders import queue

RECORD = "abq.ns.q"


class ScriptedRequests:
    """Answers by the end of the name, each time with the next of the answers there are."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._answers = answers

    def _answer(self, name: str, arguments: Any) -> dict[str, Any]:
        self.asked.append((name, arguments))
        for part, answers in self._answers.items():
            if part in name.replace(".", "_"):
                answer: dict[str, Any] = answers.pop(0) if len(answers) > 1 else answers[0]
                return answer
        return {}

    async def ask(
        self, subject: str, body: bytes = b"", *, headers: bytes = b"", seconds: float | None = None
    ) -> Reply:
        return Reply("", json.dumps(self._answer(subject, headers.decode())).encode())

    async def api(self, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return answer_of(Reply("", json.dumps(self._answer(name, arguments)).encode()))

    def register(self) -> Register:
        return Register(cast("Requests", self), Names("ns"), 3)

    def deleting(self) -> Deleting:
        requests = cast("Requests", self)
        exchanges = Exchanges(requests, Names("ns"), 3)
        return Deleting(requests, exchanges, self.register())

    def changes(self) -> list[str]:
        """Give what was asked that is no mere look."""
        looks = ("INFO", "GET", "LIST")
        names = [(name, what) for name, what in self.asked if not any(x in name for x in looks)]
        return [
            name + (f" {what['filter']}<{what['seq']}" if isinstance(what, dict) else "")
            for name, what in names
        ]


def recorded(sequence: int, *, deletes: int | None = None) -> dict[str, Any]:
    record = QueueRecord.of(queue("q")).encoded()
    message = {"seq": sequence, "data": base64.b64encode(record).decode()}
    if deletes is not None:
        headers = f"NATS/1.0\r\nX: 1\r\nAb-Deletes: {deletes}\r\n\r\n".encode()
        message["hdrs"] = base64.b64encode(headers).decode()
    return {"message": message}


CONSUMER = {"config": {"metadata": {"ab-record": "7", "ab-queue": "q"}}}


def error(code: int, err_code: int) -> dict[str, Any]:
    return {"error": {"code": code, "err_code": err_code, "description": "no"}}


@pytest.mark.parametrize(("code", "err_code"), [(400, 10071), (400, 10164), (503, 10163)])
async def test_who_writes_second_is_told_so(code: int, err_code: int) -> None:
    requests = ScriptedRequests(abq=[error(code, err_code)])
    record = QueueRecord.of(queue("q"))
    assert await requests.register().write("q", record, 0) is None
    assert requests.asked[0][0] == RECORD


async def test_replica_that_does_not_lead_is_no_end() -> None:
    """A subscription whose queue is declared again tries once more."""
    refused = {"error": {"code": 503, "description": "raft: not leader"}}
    with pytest.raises(JetStreamError) as caught:
        await ScriptedRequests(abk=[refused]).register().bind("q", ["key"])
    assert isinstance(ours(caught.value), ConnectionLostError)


async def test_keys_of_an_earlier_queue_go_when_its_name_is_taken() -> None:
    requests = ScriptedRequests(abq=[{"seq": 9}])
    assert await requests.register().write("q", QueueRecord.of(queue("q")), 0) == 9
    assert requests.changes()[1:] == ["STREAM.PURGE.AB-ns abk.ns.q.*<9"]


async def test_queue_is_marked_before_it_goes_and_its_record_after() -> None:
    """When a link is lost between two steps, whoever asks again still finds the queue."""
    requests = ScriptedRequests(
        abq=[{"seq": 13}],
        STREAM_INFO=[{"state": {"last_seq": 12}}],
        MSG_GET=[recorded(7)],
        CONSUMER_INFO=[CONSUMER],
    )
    await requests.deleting().delete_queue("q", None)
    assert requests.changes() == [
        RECORD,
        "CONSUMER.DELETE.AB-ns-e.q",
        "STREAM.PURGE.AB-ns abq.ns.q<14",
        "STREAM.PURGE.AB-ns abk.ns.q.*<13",
    ]
    # The number was asked for before the record: what comes after it may be a new queue's.
    assert requests.asked[0][0] == "STREAM.INFO.AB-ns"
    (headers,) = [what for name, what in requests.asked if name == RECORD]
    assert headers.split("\r\n")[1:3] == [
        "Nats-Expected-Last-Subject-Sequence: 7",
        "Ab-Deletes: 7",
    ]


async def test_queue_that_was_made_again_meanwhile_stays() -> None:
    requests = ScriptedRequests(
        STREAM_INFO=[{"state": {"last_seq": 13}}],
        MSG_GET=[recorded(13, deletes=6)],
        CONSUMER_INFO=[CONSUMER],
    )
    await requests.deleting().delete_queue("q", None)
    assert requests.changes() == [
        "STREAM.PURGE.AB-ns abq.ns.q<14",
        "STREAM.PURGE.AB-ns abk.ns.q.*<14",
    ]


async def test_queue_that_somebody_else_marks_is_looked_at_again() -> None:
    requests = ScriptedRequests(
        abq=[error(400, 10071)],
        STREAM_INFO=[{"state": {"last_seq": 12}}, {"state": {"last_seq": 13}}],
        MSG_GET=[recorded(7), recorded(13, deletes=7)],
        CONSUMER_INFO=[CONSUMER],
    )
    await requests.deleting().delete_queue("q", None)
    assert requests.changes()[1:3] == [
        "CONSUMER.DELETE.AB-ns-e.q",
        "STREAM.PURGE.AB-ns abq.ns.q<14",
    ]


async def test_records_go_ahead_of_their_exchange() -> None:
    requests = ScriptedRequests(
        STREAM_INFO=[{"state": {"last_seq": 12}}],
        MSG_GET=[recorded(7)],
        CONSUMER_LIST=[{"consumers": [CONSUMER], "total": 1}],
    )
    await requests.deleting().delete_exchange("e")
    assert requests.changes() == [
        "STREAM.PURGE.AB-ns abq.ns.q<8",
        "STREAM.PURGE.AB-ns abk.ns.q.*<13",
        "STREAM.DELETE.AB-ns-e",
    ]
