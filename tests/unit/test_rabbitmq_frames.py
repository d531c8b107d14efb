"""Frames that are packed and read by hand are the frames that pamqp packs and reads."""

import math
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.header import ContentHeader

from asyncbackends.broker.wire import IncomingMessage, OutgoingMessage
from asyncbackends_rabbitmq.contents import (
    body_size,
    delivery_tag,
    incoming,
    returned_mark,
)
from asyncbackends_rabbitmq.frames import FRAME, MessageFrames, ack, again
from asyncbackends_rabbitmq.names import Names

NAMES = Names("ns")
NOW = 1_700_000_000.25

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
NAME = st.from_regex(r"[A-Za-z0-9_.:/@-]{1,200}", fullmatch=True)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@st.composite
def messages(draw: st.DrawFn) -> OutgoingMessage:
    return OutgoingMessage(
        draw(NAME),
        draw(st.just("") | NAME),
        draw(st.binary(max_size=5000)),
        draw(st.booleans()),
        draw(st.dictionaries(KEYS.filter(lambda key: key[:2] not in {"ab", "x-"}), TEXTS)),
        draw(IDS),
        draw(st.none() | IDS),
        draw(st.none() | IDS),
        draw(st.floats(0, 2e9)),
        draw(st.none() | st.floats(NOW, NOW + 1e7)),
        draw(st.booleans()),
    )


def unmarshalled(data: bytes) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    while data:
        used, channel, frame = pamqp.frame.unmarshal(data)
        found.append((channel, frame))
        data = data[used:]
    return found


def nobody_knows(_: str | None) -> int:
    return 0


def delivered(
    header: bytes, body: bytes, message: OutgoingMessage, *, tag: int = 7, redelivered: bool = False
) -> IncomingMessage:
    deliver = commands.Basic.Deliver("tag", tag, redelivered, "", message.routing_key)
    deliver.exchange = NAMES.exchange(message.exchange)
    # pamqp takes no exchange over 127 bytes, and brokers give them.
    exchange = deliver.exchange.encode()
    key = message.routing_key.encode()
    method = b"".join(
        (
            b"\x00\x3c\x00\x3c\x03tag",
            tag.to_bytes(8),
            bytes((redelivered, len(exchange))),
            exchange,
            bytes((len(key),)),
            key,
        )
    )
    assert delivery_tag(method) == (tag, redelivered)
    return incoming(tag, redelivered, method, header, body, NAMES, nobody_knows)


@given(messages(), st.integers(1, 65_535), st.sampled_from([4096, 131_072]))
def test_message_goes_out_and_comes_back(
    message: OutgoingMessage, channel: int, frame_max: int
) -> None:
    out: list[bytes] = []
    packed = MessageFrames(channel, frame_max, NAMES)
    size = packed.append(out, message, 42, NOW)
    if size:
        assert (out, size > frame_max - 8) == ([], True)
        return
    data = b"".join(out)
    at = 0
    frames: list[tuple[int, bytes]] = []
    while at < len(data):
        kind, number, length = FRAME.unpack_from(data, at)
        assert (number, length <= frame_max - 8, data[at + 7 + length]) == (channel, True, 0xCE)
        frames.append((kind, data[at + 7 : at + 7 + length]))
        at += 8 + length
    (method_kind, method), (header_kind, header), *bodies = frames
    assert (method_kind, header_kind, {kind for kind, _ in bodies} <= {3}) == (1, 2, True)
    if len(NAMES.exchange(message.exchange)) <= 127:
        publish = unmarshalled(data[: 8 + len(method)])[0][1]
        assert isinstance(publish, commands.Basic.Publish)
        assert publish.exchange == NAMES.exchange(message.exchange)
        assert publish.routing_key == message.routing_key
        assert (publish.mandatory, publish.immediate) == (message.mandatory, False)
    whole = FRAME.pack(2, channel, len(header)) + header + b"\xce"
    ((_, content),) = unmarshalled(whole)
    assert isinstance(content, ContentHeader)
    assert content.body_size == body_size(header) == len(message.body)
    assert content.properties.delivery_mode == 2
    assert (content.properties.content_type == "application/json") is message.is_json
    if message.expires_at is not None and message.expires_at - NOW <= 4_294_967:
        assert content.properties.expiration is not None
        left = int(content.properties.expiration)
        assert left == math.ceil((message.expires_at - NOW) * 1000)
    assert returned_mark(header) == (42 if message.mandatory else None)
    found = delivered(header, b"".join(part for _, part in bodies), message)
    assert found == IncomingMessage(
        7,
        message.exchange,
        message.routing_key,
        message.body,
        message.headers,
        message.message_id,
        message.correlation_id,
        message.reply_to,
        message.timestamp,
        message.expires_at,
        False,
        1,
    )


FOREIGN: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, width=32)
    | TEXTS
    | st.binary(max_size=20).map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(KEYS.filter(lambda key: key[:2] not in {"ab", "x-"}), FOREIGN, max_size=6))
def test_any_header_of_somebody_else_becomes_text(headers: dict[str, Any]) -> None:
    properties = commands.Basic.Properties(headers=headers, message_id="1", priority=3)
    whole = pamqp.frame.marshal(ContentHeader(0, 0, properties), 1)
    message = OutgoingMessage("e", "", b"", False, {}, "1", None, None, 0.0, None, False)
    found = delivered(whole[7:-1], b"", message)
    assert set(found.headers) == set(headers)
    assert all(isinstance(value, str) for value in found.headers.values())
    assert (found.message_id, found.timestamp) == ("1", None)
    for name, value in headers.items():
        if isinstance(value, str):
            assert found.headers[name] == value


def test_a_count_of_the_broker_comes_first() -> None:
    message = OutgoingMessage("e", "", b"", False, {}, "1", None, None, 0.0, None, False)
    cases: list[tuple[dict[str, Any], bool, int, int]] = [
        ({}, False, 0, 1),
        ({}, True, 0, 2),
        ({}, True, 4, 5),
        ({"x-delivery-count": 3}, True, 9, 4),
        ({"x-delivery-count": 0, "x-acquired-count": 1}, False, 0, 1),
    ]
    for counted, redelivered, known, expected in cases:
        properties = commands.Basic.Properties(headers=counted or None)
        header = pamqp.frame.marshal(ContentHeader(0, 0, properties), 1)[7:-1]
        method = pamqp.frame.marshal(
            commands.Basic.Deliver("t", 1, redelivered, "ns.e", message.routing_key), 1
        )[7:-1]
        found = incoming(1, redelivered, method, header, b"", NAMES, lambda _, n=known: n)  # type: ignore[misc]  # binds now
        assert (found.delivery_count, found.headers) == (expected, {})


@given(st.integers(1, 65_535), st.integers(1, 2**63 - 1), st.booleans())
def test_answers(channel: int, tag: int, up_to: bool) -> None:
    ((number, acked),) = unmarshalled(ack(channel, tag, up_to=up_to))
    assert isinstance(acked, commands.Basic.Ack)
    assert (number, acked.delivery_tag, acked.multiple) == (channel, tag, up_to)
    ((number, returned),) = unmarshalled(again(channel, tag))
    assert isinstance(returned, commands.Basic.Reject)
    assert (number, returned.delivery_tag, returned.requeue) == (channel, tag, True)


def test_names() -> None:
    assert (NAMES.exchange("e"), NAMES.queue("q")) == ("ns.e", "ns.q")
    assert (Names("").exchange("e"), Names("").register("q")) == ("e", "q#options")
    assert (NAMES.own(b"ns.e"), NAMES.own(b"amq.fanout")) == ("e", "amq.fanout")
    longest = {NAMES.register("q" * 199 + end) for end in "ab"}
    assert len(longest) == 2
    assert all(len(name) < 150 for name in longest)
    assert NAMES.register("q") != NAMES.members("q")


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 8177])
def test_a_body_is_divided_where_a_frame_ends(size: int) -> None:
    out: list[bytes] = []
    body = bytes(size)
    message = OutgoingMessage("e", "", body, False, {}, "1", None, None, 0.0, None, False)
    assert MessageFrames(1, 4096, NAMES).append(out, message, 1, NOW) == 0
    _, _, *bodies = unmarshalled(b"".join(out))
    assert b"".join(frame.value for _, frame in bodies) == body
    assert len(bodies) == math.ceil(size / 4088)
