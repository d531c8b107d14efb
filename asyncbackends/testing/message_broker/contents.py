"""What was published comes out as it was: body, headers, ids, times."""

from datetime import UTC, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from asyncbackends.errors import MessageTooLargeError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures, OpenBroker
from asyncbackends.testing.message_broker.sample import nothing_comes, publish_numbers, take

__all__ = ("ContentsConformance",)

LIMIT = 1_000_000

BODIES = {
    "empty": b"",
    "zero bytes": b"\x00\x00\x00",
    "every byte": bytes(range(256)),
    "lines": b"\r\n\r\nNATS/1.0\r\n",
    "json": b'{"a": 1}',
    "json list": b"[1, 2]",
    "one byte": b"x",
    "many": bytes(range(256)) * 1000,
}

MESSAGES: dict[str, dict[str, Any]] = {
    "empty": {},
    "nested": {"a": {"b": [1, 2.5, None, True, {"c": "d"}]}},
    "unicode": {"grüße": "日本語 \U0001f600 \u2028 \x01 \x7f"},
    "numbers": {"big": 2**53, "small": -(2**53), "float": 0.1, "e": 1e300},
    "texts": {"": "", " ": " a ", "long": "x" * 10_000},
}

HEADERS: dict[str, dict[str, str]] = {
    "one": {"tenant": "blue"},
    "case": {"X-Trace_Id": "AbC"},
    "unicode": {"name": "Grüße, 日本語"},
    "empty": {"nothing": ""},
    "signs": {"signs": "a: b; c=\"d\" \\ , 'e' % {} $"},
    "inner blanks": {"words": "a  b\u00a0c"},
    "longest name": {"n" * 128: "x"},
    "long value": {"long": "v" * 4000},
    "many": {f"h{number}": str(number) for number in range(50)},
    "numeric": {"0": "1", "true": "false"},
}


class ContentsConformance(BrokerFixtures):
    """Bodies, headers, ids, sizes, times."""

    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
    async def test_bytes_come_as_they_were(
        self, broker: MessageBroker, exchange: str, harness: Harness, body: bytes
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(body, exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
            assert type(delivery.body) is bytes
            assert delivery.body == body

    @pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
    async def test_mappings_come_as_they_were(
        self, broker: MessageBroker, exchange: str, harness: Harness, message: dict[str, Any]
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(message, exchange=exchange)
            await broker.publish_nowait(MappingProxyType(message), exchange=exchange)
            for delivery in await take(feed, 2, harness):
                assert delivery.json() == message
                assert dict(delivery) == message

    @pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
    async def test_headers_come_as_they_were(
        self, broker: MessageBroker, exchange: str, harness: Harness, headers: dict[str, str]
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(b"", exchange=exchange, headers=headers)
            (delivery,) = await take(feed, 1, harness)
            assert dict(delivery.headers) == headers

    async def test_what_is_not_given_is_not_there(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(b"bare", exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
            assert dict(delivery.headers) == {}
            assert delivery.routing_key == ""
            found = (delivery.correlation_id, delivery.reply_to, delivery.expires_at)
            assert (*found, delivery.death) == (None, None, None, None)
            assert (delivery.redelivered, delivery.delivery_count) == (False, 1)

    async def test_ids_come_as_they_were(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            given = "".join(map(chr, range(0x21, 0x7F)))
            ids: dict[str, Any] = {
                "message_id": given,
                "correlation_id": given[::-1],
                "reply_to": "r" * 128,
            }
            assert await broker.publish(b"", exchange=exchange, **ids) == given
            receipt = broker.publish_nowait(b"", exchange=exchange, message_id="m" * 128)
            assert receipt.message_id == await receipt == "m" * 128
            one, two = await take(feed, 2, harness)
            assert (one.message_id, one.correlation_id, one.reply_to) == (*ids.values(),)
            assert (two.message_id, two.correlation_id, two.reply_to) == ("m" * 128, None, None)

    async def test_ids_are_made_unique(
        self, broker: MessageBroker, other: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            receipts = [
                client.publish_nowait(b"", exchange=exchange)
                for _ in range(200)
                for client in (broker, other)
            ]
            await harness.gather(broker.flush(), other.flush())
            ids = [receipt.message_id for receipt in receipts]
            assert len({*ids}) == 400
            taken = await take(feed, 400, harness)
            assert sorted(str(delivery.message_id) for delivery in taken) == sorted(ids)

    async def test_times_are_the_publishers(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(b"", exchange=exchange, expiration=90.5)
            (delivery,) = await take(feed, 1, harness)
            assert delivery.timestamp is not None
            assert delivery.expires_at is not None
            assert delivery.timestamp.tzinfo is UTC
            assert abs(harness.now() - delivery.timestamp) < timedelta(seconds=30)
            lifetime = (delivery.expires_at - delivery.timestamp).total_seconds()
            assert abs(lifetime - 90.5) < 0.01

    async def test_message_may_be_changed_after_the_call(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            message, headers = {"n": 1}, {"tenant": "blue"}
            _ = broker.publish_nowait(message, exchange=exchange, headers=headers)
            message["n"], headers["tenant"] = 2, "red"
            (delivery,) = await take(feed, 1, harness)
            assert (delivery["n"], dict(delivery.headers)) == (1, {"tenant": "blue"})

    async def test_biggest_message(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            body, headers = b"\x00\xff" * (LIMIT // 2 - 5), {"tenant": "abcd"}
            assert len(body) + len("tenantabcd") == LIMIT
            await broker.publish(body, exchange=exchange, headers=headers)
            (delivery,) = await take(feed, 1, harness)
            assert delivery.body == body
            assert dict(delivery.headers) == headers

    @pytest.mark.parametrize(
        ("message", "headers", "size"),
        [
            (b"x" * (LIMIT + 1), {}, LIMIT + 1),
            (b"x" * LIMIT, {"a": "b"}, LIMIT + 2),
            (b"x" * (LIMIT - 2), {"a": "ü"}, LIMIT + 1),
            ({"a": "x" * LIMIT}, {}, LIMIT + 8),
        ],
        ids=["body", "headers", "bytes of headers", "mapping"],
    )
    async def test_message_that_is_too_big(
        self,
        broker: MessageBroker,
        exchange: str,
        harness: Harness,
        message: Any,
        headers: dict[str, str],
        size: int,
    ) -> None:
        assert broker.limits.message_bytes == LIMIT
        async with broker.subscribe(exchange) as feed:
            with pytest.raises(MessageTooLargeError) as refusal:
                await broker.publish(message, exchange=exchange, headers=headers)
            assert (refusal.value.size, refusal.value.limit) == (size, LIMIT)
            with pytest.raises(MessageTooLargeError):
                _ = broker.publish_nowait(message, exchange=exchange, headers=headers)
            assert broker.pending == 0
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await take(feed, 1, harness)
            assert delivery["n"] == 1

    async def test_limit_can_be_lower(
        self, open_broker: OpenBroker, exchange: str, harness: Harness
    ) -> None:
        async with (
            open_broker(max_message_bytes=10) as client,
            client.subscribe(exchange) as feed,
        ):
            assert client.limits.message_bytes == 10
            with pytest.raises(MessageTooLargeError):
                await client.publish(b"x" * 11, exchange=exchange)
            await client.publish(b"x" * 10, exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
            assert delivery.body == b"x" * 10
            await nothing_comes(feed, 0.02)
