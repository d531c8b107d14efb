"""A delivery as a value: a read-only mapping, always true, equal to itself alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import take

__all__ = ("DeliveriesConformance",)

NO_OBJECTS = {
    "empty": b"",
    "list": b"[1]",
    "text": b'"text"',
    "null": b"null",
    "number": b"5",
    "no json": b"{a: 1}",
    "no text": b"\xff\xfe",
    "cut off": b'{"a": ',
}


class DeliveriesConformance(BrokerFixtures):
    """``Delivery``."""

    async def test_object_is_a_mapping(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        message = {"b": 1, "a": [1, {"c": None}]}
        async with broker.subscribe(exchange) as feed:
            await broker.publish(message, exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
        assert isinstance(delivery, Mapping)
        assert isinstance(delivery, Delivery)
        assert delivery["a"] == [1, {"c": None}]
        assert dict(delivery) == message
        assert list(delivery) == ["b", "a"]
        assert len(delivery) == 2
        assert "a" in delivery
        assert "c" not in delivery
        assert delivery.get("c", 5) == 5
        assert {**delivery} == message
        with pytest.raises(KeyError):
            delivery["c"]

    async def test_object_in_bytes_is_a_mapping_too(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(b' {"a": 1} ', exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
        assert delivery["a"] == 1

    async def test_mapping_is_read_only(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish({"a": 1}, exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
        anything: Any = delivery
        with pytest.raises(TypeError):
            anything["a"] = 2
        with pytest.raises(TypeError):
            del anything["a"]
        with pytest.raises(AttributeError):
            anything.body = b""
        delivery.json()["a"] = 2
        assert delivery["a"] == 1

    @pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS)
    async def test_other_body_is_no_mapping(
        self, broker: MessageBroker, exchange: str, harness: Harness, body: bytes
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish(body, exchange=exchange)
            (delivery,) = await take(feed, 1, harness)
        with pytest.raises(InvalidRequestError):
            delivery["a"]
        with pytest.raises(InvalidRequestError):
            dict(delivery)
        with pytest.raises(InvalidRequestError):
            len(delivery)
        assert delivery
        assert delivery.body == body

    async def test_json_of_every_body(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            for body in (b"[1]", b'"text"', b"null", b"{a: 1}", b"", b"\xff"):
                await broker.publish(body, exchange=exchange)
            read = await take(feed, 6, harness)
        assert [delivery.json() for delivery in read[:3]] == [[1], "text", None]
        for delivery in read[3:]:
            with pytest.raises(InvalidRequestError, match="JSON"):
                delivery.json()

    async def test_delivery_is_always_true(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await broker.publish({}, exchange=exchange)
            await broker.publish(b"", exchange=exchange)
            for delivery in await take(feed, 2, harness):
                assert delivery

    async def test_delivery_equals_itself_alone(
        self, broker: MessageBroker, exchange: str, harness: Harness
    ) -> None:
        async with broker.subscribe(exchange) as one, broker.subscribe(exchange) as two:
            await broker.publish({"a": 1}, exchange=exchange)
            (first,), (second,) = await take(one, 1, harness), await take(two, 1, harness)
        assert first == first  # noqa: PLR0124  # that is the question
        assert first != second
        assert first != {"a": 1}
        assert len({first, second, first}) == 2
        assert {first: 1}[first] == 1

    async def test_what_it_shows_is_no_value(
        self, broker: MessageBroker, exchange: str, queue: str, harness: Harness
    ) -> None:
        """Bodies and headers may be secret: neither is in a repr."""
        async with broker.subscribe(exchange, queue) as feed:
            headers = {"token": "hidden-header"}
            sent = await broker.publish({"a": "hidden-body"}, exchange=exchange, headers=headers)
            (delivery,) = await take(feed, 1, harness)
        assert "hidden" not in repr(delivery) + str(delivery)
        assert sent in repr(delivery)
        assert queue in repr(delivery)
