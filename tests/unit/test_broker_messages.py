"""What may be published, what a dead letter looks like, and who is late: pure rules."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.broker.composing import Composer, checked_name
from asyncbackends.broker.dead_letters import dead_letter, death_of, failure_text, fate
from asyncbackends.broker.wire import IncomingMessage, OutgoingMessage
from asyncbackends.clock import checked_timeout
from asyncbackends.errors import InvalidRequestError, MessageTooLargeError
from asyncbackends.protocols.messages import Death, DeathReason, QueueOptions

NOW = 1_600_000_000.0


def composed(
    message: Any, composer: Composer | None = None, **given: Any
) -> tuple[OutgoingMessage, int]:
    arguments: dict[str, Any] = {
        "exchange": "e",
        "headers": None,
        "message_id": None,
        "expiration": None,
        "correlation_id": None,
        "reply_to": None,
        "routing_key": "",
        "mandatory": False,
    }
    return (composer or Composer(100, None)).message(message, NOW, **(arguments | given))


def incoming(**given: Any) -> IncomingMessage:
    arguments: dict[str, Any] = {
        "token": 1,
        "exchange": "e",
        "routing_key": "k",
        "body": b"body",
        "headers": {},
        "message_id": "m1",
        "correlation_id": None,
        "reply_to": None,
        "timestamp": NOW,
        "expires_at": None,
        "redelivered": False,
        "delivery_count": 1,
    }
    return IncomingMessage(**(arguments | given))


def test_mapping_goes_as_json_and_bytes_as_they_are() -> None:
    message, size = composed({"ö": [1, None]})
    assert (message.body, message.is_json, size) == ('{"ö":[1,null]}'.encode(), True, 15)
    message, size = composed(b"\x00\xff")
    assert (message.body, message.is_json, size) == (b"\x00\xff", False, 2)


def test_ids_are_made_once_each() -> None:
    one, other = Composer(100, None), Composer(100, None)
    ids = {composed(b"", composer)[0].message_id for composer in (one, other) for _ in range(50)}
    assert len(ids) == 100


def test_headers_count_into_the_size() -> None:
    message, size = composed(b"x" * 90, headers={"name": "täxt"})
    assert size == 90 + 4 + 5
    assert message.headers == {"name": "täxt"}
    with pytest.raises(MessageTooLargeError) as caught:
        composed(b"x" * 92, headers={"name": "täxt"})
    assert (caught.value.size, caught.value.limit) == (101, 100)


def test_callers_headers_are_copied() -> None:
    headers = {"a": "1"}
    message, _ = composed(b"", headers=headers)
    headers["a"] = "2"
    assert message.headers == {"a": "1"}


def test_expiry_counts_from_now() -> None:
    assert composed(b"", expiration=2.5)[0].expires_at == NOW + 2.5


def test_default_exchange() -> None:
    assert composed(b"", Composer(100, "default"), exchange=None)[0].exchange == "default"
    with pytest.raises(InvalidRequestError, match="option `exchange`"):
        composed(b"", exchange=None)


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"": "x"}},
        {"headers": {"a b": "x"}},
        {"headers": {"a" * 129: "x"}},
        {"headers": {"ab-own": "x"}},
        {"headers": {"AB-own": "x"}},
        {"headers": {"a": "x", "A": "y"}},
        {"headers": {"a": 1}},
        {"headers": {"a": "line\nline"}},
        {"headers": {"a": " padded"}},
        {"headers": {"a": "\ud800"}},
        {"message_id": ""},
        {"message_id": "with blank"},
        {"message_id": "x" * 129},
        {"correlation_id": ""},
        {"reply_to": "ü"},
        {"routing_key": "a b"},
        {"routing_key": "*" * 3},
        {"exchange": ""},
        {"exchange": "a b"},
        {"exchange": "x" * 201},
        {"expiration": 0},
        {"expiration": float("nan")},
        {"expiration": True},
    ],
)
def test_bad_argument_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        composed(b"", **given)


@pytest.mark.parametrize("message", ["text", None, ["list"], {"a": b"bytes"}, {1: 2}, {"a": {1}}])
def test_bad_message_is_refused(message: object) -> None:
    with pytest.raises(InvalidRequestError):
        composed(message)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), True, "1", None, 1e9])
def test_timeouts_are_finite(seconds: Any) -> None:
    with pytest.raises(InvalidRequestError):
        checked_timeout(seconds)


@given(st.from_regex(r"[A-Za-z0-9_.:/@-]{1,200}", fullmatch=True))
def test_names(name: str) -> None:
    assert checked_name(name, "a queue") == name


def test_fates() -> None:
    options = QueueOptions(message_ttl=10, max_deliveries=3)
    assert fate(incoming(delivery_count=3), options, NOW, 1) == "deliver"
    assert fate(incoming(delivery_count=4), options, NOW, 1) == "over_limit"
    assert fate(incoming(), options, NOW + 11, 1) == "deliver"
    assert fate(incoming(), options, NOW + 11.1, 1) == "expired"
    assert fate(incoming(timestamp=None), options, NOW + 99, 1) == "deliver"
    late = incoming(expires_at=NOW + 5, delivery_count=9)
    assert fate(late, QueueOptions(max_deliveries=1), NOW + 6, 1) == "over_limit"
    assert fate(late, QueueOptions(max_deliveries=1), NOW + 6.1, 1) == "expired"


@given(
    text=st.text(max_size=700),
    queue=st.none() | st.just("q"),
    reason=st.sampled_from(DeathReason),
    headers=st.dictionaries(st.sampled_from(["a", "b"]), st.text("xyz")),
)
def test_death_comes_back_from_the_headers(
    text: str, queue: str | None, reason: DeathReason, headers: Mapping[str, str]
) -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    death = Death(reason, text, "e", queue, 4, at)
    copy = dead_letter(incoming(headers=headers), "dead", queue or "private.1", death)
    assert copy.message_id == f"m1:{queue or 'private.1'}"
    assert (copy.exchange, copy.body, copy.routing_key) == ("dead", b"body", "k")
    assert headers.items() <= copy.headers.items()
    found = death_of(copy.headers)
    assert found is not None
    assert (found.reason, found.exchange, found.queue) == (reason, "e", queue)
    assert (found.delivery_count, found.at) == (4, at)
    assert len(found.text) <= 500
    message, _ = composed(b"", Composer(10_000, None), headers={"text": found.text})
    assert message.headers == {"text": found.text}


def test_death_of_a_death_tells_the_last_one() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    first = dead_letter(incoming(), "dead", "q", Death(DeathReason.REJECTED, "a", "e", "q", 1, at))
    again = incoming(headers=first.headers, message_id=first.message_id, exchange="dead")
    second = dead_letter(
        again, "dead2", "private.2", Death(DeathReason.REJECTED, "b", "dead", None, 2, at)
    )
    found = death_of(second.headers)
    assert found == Death(DeathReason.REJECTED, "b", "dead", None, 2, at)


def test_message_without_an_id_gets_one_as_a_dead_letter() -> None:
    death = Death(DeathReason.REJECTED, "", "e", "q", 1, datetime.fromtimestamp(NOW, UTC))
    one = dead_letter(incoming(message_id=None), "dead", "q", death)
    assert one.message_id.endswith(":q")
    assert len(one.message_id) > 10


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ab-death-reason": "unknown", "ab-death-exchange": "e"},
        {"ab-death-reason": "rejected"},
        {
            "ab-death-reason": "rejected",
            "ab-death-exchange": "e",
            "ab-death-count": "many",
            "ab-death-at": "now",
        },
    ],
)
def test_half_a_death_is_none(headers: dict[str, str]) -> None:
    assert death_of(headers) is None


def test_failures_as_text() -> None:
    assert failure_text(ValueError("no\nsuch")) == "ValueError: no\nsuch"
    assert failure_text(ValueError()) == "ValueError"


def test_the_id_of_a_dead_letter_stays_short_and_the_same() -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    death = Death(DeathReason.REJECTED, "", "e", "q", 1, at)
    message_id = "m"
    for _ in range(300):
        message = IncomingMessage(0, "e", "", b"", {}, message_id, None, None, None, None, False, 1)
        copies = {dead_letter(message, "d", "q", death).message_id for _ in range(2)}
        (message_id,) = copies
        assert len(message_id) <= 255
        assert message_id.endswith(":q")
