"""Messages as NATS headers: they come back as they were."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.broker.composing import HEADER, HEADER_VALUE
from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends_nats.headers import encoded, parsed

VALUES = st.from_regex(HEADER_VALUE, fullmatch=True).map(str.strip)
KEYS = st.from_regex(HEADER, fullmatch=True).filter(lambda name: not name.lower().startswith("ab-"))
IDS = st.text("abcXYZ019!~:", min_size=1, max_size=40)


def message(**changed: Any) -> OutgoingMessage:
    plain: dict[str, Any] = {
        "exchange": "x",
        "routing_key": "",
        "body": b"",
        "is_json": False,
        "headers": {},
        "message_id": "id-1",
        "correlation_id": None,
        "reply_to": None,
        "timestamp": 1.0,
        "expires_at": None,
        "mandatory": False,
    }
    return OutgoingMessage(**(plain | changed))


@given(
    headers=st.dictionaries(KEYS, VALUES, max_size=5),
    message_id=IDS,
    correlation_id=st.none() | IDS,
    reply_to=st.none() | IDS,
    timestamp=st.floats(0, 4e9),
    expires_at=st.none() | st.floats(0, 4e9),
)
def test_message_comes_back(headers: dict[str, str], **others: Any) -> None:
    sent = message(headers=headers, **others)
    found = parsed(encoded(sent, now=5.0))
    assert found.others == headers
    assert found.message_id == sent.message_id
    assert found.correlation_id == sent.correlation_id
    assert found.reply_to == sent.reply_to
    assert found.timestamp == sent.timestamp
    assert found.expires_at == sent.expires_at


def test_servers_own_headers_are_not_at_the_users_disposal() -> None:
    headers = {"Nats-TTL": "1", "nats-msg-id": "other", "Nats": "x"}
    block = encoded(message(headers=headers), now=5.0)
    assert b"\r\nab-user-Nats-TTL: 1\r\n" in block
    assert parsed(block).others == headers
    assert parsed(block).message_id == "id-1"


def test_time_to_live_is_rounded_up() -> None:
    for expires_at, ttl in ((100.5, 1), (101.0, 1), (101.1, 2), (90.0, 1)):
        assert f"Nats-TTL: {ttl}\r\n".encode() in encoded(message(expires_at=expires_at), now=100.0)
    assert b"Nats-TTL" not in encoded(message(), now=100.0)


def test_foreign_headers_are_read_as_well_as_they_can_be() -> None:
    block = (
        b"NATS/1.0\r\nName:Value\r\nno header\r\nab-timestamp: soon\r\nNats-X: 1\r\nb: \xff\r\n\r\n"
    )
    found = parsed(block)
    assert found.others == {"Name": "Value", "b": "\ufffd"}
    assert found.timestamp is None
    assert found.message_id is None
    assert parsed(b"").others == {}
