"""Every argument that breaks a rule is refused, and nothing is stored or made by it."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.protocols.messages import QueueOptions, SubscribeOptions
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import numbers_of, publish_numbers, take

__all__ = ("ArgumentsConformance",)

NAMES: list[Any] = ["", " ", "a b", "n" * 201, "grün", "a*", "a>", "#", "a\n", "a\x00", "a,b", 5]
SECONDS: list[Any] = [0, -1, math.inf, math.nan, "1", True]

PUBLISHED: list[tuple[str, Any]] = [
    *(("exchange", name) for name in NAMES),
    *(("message", message) for message in ("text", None, 5, [1], bytearray(b"x"))),
    ("message", {"a": math.nan}),
    ("message", {"a": object()}),
    ("message", {"a": b"bytes"}),
    ("message", {1: "a"}),
    ("message", {"a": {1, 2}}),
    ("headers", {"": "x"}),
    ("headers", {"a b": "x"}),
    ("headers", {"a:": "x"}),
    ("headers", {"n" * 129: "x"}),
    ("headers", {"ab-death-reason": "x"}),
    ("headers", {"AB-x": "x"}),
    ("headers", {"a": "1", "A": "2"}),
    ("headers", {"a": "one\ntwo"}),
    ("headers", {"a": "one\r"}),
    ("headers", {"a": "\x00"}),
    ("headers", {"a": "\u2028"}),
    ("headers", {"a": "\ud800"}),
    ("headers", {"a": " x"}),
    ("headers", {"a": "x "}),
    ("headers", {"a": 1}),
    ("headers", {"a": None}),
    ("headers", {1: "a"}),
    ("headers", ["a"]),
    *(("message_id", text) for text in ("", "a b", "ü", "m" * 129, "a\n", 5)),
    *(("correlation_id", text) for text in ("", "a b", "c" * 129, 5)),
    *(("reply_to", text) for text in ("", "a b", "r" * 129, 5)),
    *(("routing_key", text) for text in ("a b", "k" * 201, "a*", None)),
    *(("expiration", seconds) for seconds in SECONDS),
]

QUEUE_OPTIONS: list[dict[str, Any]] = [
    {"max_length": 0},
    {"max_length": 1.5},
    {"overflow": "drop_newest"},
    {"queue_type": "stream"},
    {"message_ttl": 0},
    {"message_ttl": "soon"},
    {"max_deliveries": 0},
    {"dead_letter": "a b"},
    {"dead_letter": ""},
    {"durable": "yes"},
]

SUBSCRIBE_OPTIONS: list[dict[str, Any]] = [
    {"prefetch": 0},
    {"prefetch": 65_536},
    {"prefetch": "many"},
    {"private_ttl": 0},
    {"ack_wait": 0},
    {"max_processing": 0},
    {"max_processing": math.nan},
    {"dedupe_window": -1},
]


def _ids(cases: list[tuple[str, Any]]) -> list[str]:
    return [f"{name}-{str(value)[:12]!a}-{type(value).__name__}" for name, value in cases]


class ArgumentsConformance(BrokerFixtures):
    """InvalidRequestError."""

    @pytest.mark.parametrize(("name", "value"), PUBLISHED, ids=_ids(PUBLISHED))
    async def test_wrong_argument_of_publish(
        self, broker: MessageBroker, exchange: str, harness: Harness, name: str, value: Any
    ) -> None:
        arguments: dict[str, Any] = {"message": {"n": 0}, "exchange": exchange, name: value}
        async with broker.subscribe(exchange) as feed:
            with pytest.raises(InvalidRequestError) as refusal:
                await broker.publish(**arguments)
            assert not refusal.value.maybe_applied
            assert refusal.value.engine == broker.engine
            assert refusal.value.operation == "publish"
            with pytest.raises(InvalidRequestError):
                _ = broker.publish_nowait(**arguments)
            assert broker.pending == 0
            await publish_numbers(broker, exchange, [1])
            assert numbers_of(await take(feed, 1, harness)) == [1]

    @pytest.mark.parametrize("seconds", SECONDS, ids=str)
    async def test_wrong_timeout(
        self, broker: MessageBroker, exchange: str, harness: Harness, seconds: Any
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            with pytest.raises(InvalidRequestError):
                await broker.publish({"n": 0}, exchange=exchange, timeout=seconds)
            with pytest.raises(InvalidRequestError):
                await broker.flush(seconds)
            await publish_numbers(broker, exchange, [1])
            with pytest.raises(InvalidRequestError):
                await feed.get(seconds)
            assert numbers_of(await take(feed, 1, harness)) == [1]

    @pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(str(name)[:12]))
    async def test_wrong_name(self, broker: MessageBroker, exchange: str, name: Any) -> None:
        calls: list[Callable[[], Awaitable[None]]] = [
            lambda: broker.create_exchange(name),
            lambda: broker.delete_exchange(name),
            lambda: broker.create_queue(name, "q"),
            lambda: broker.create_queue(exchange, name),
            lambda: broker.delete_queue(name),
        ]
        for call in calls:
            with pytest.raises(InvalidRequestError):
                await call()
        with pytest.raises(InvalidRequestError):
            async with broker.subscribe(name, "q"):
                pass
        with pytest.raises(InvalidRequestError):
            async with broker.subscribe(exchange, name):
                pass

    @pytest.mark.parametrize("kind", ["topic", "", "Fanout", None])
    async def test_wrong_kind(self, broker: MessageBroker, exchange: str, kind: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await broker.create_exchange(f"{exchange}-other", kind=kind)

    @pytest.mark.parametrize("keys", ["one-text", ["a b"], ["k" * 201], [None]], ids=str)
    async def test_wrong_routing_keys(
        self, broker: MessageBroker, exchange: str, queue: str, keys: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            await broker.create_queue(exchange, queue, routing_keys=keys)
        with pytest.raises(InvalidRequestError):
            async with broker.subscribe(exchange, queue, routing_keys=keys):
                pass

    @pytest.mark.parametrize("options", QUEUE_OPTIONS, ids=str)
    async def test_wrong_queue_options(
        self, broker: MessageBroker, exchange: str, queue: str, options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(options))):
            await broker.create_queue(exchange, queue, options=QueueOptions(**options))
        # It was not made: other options are not in conflict.
        await broker.create_queue(exchange, queue, options=QueueOptions(max_deliveries=7))

    @pytest.mark.parametrize("options", SUBSCRIBE_OPTIONS, ids=str)
    async def test_wrong_subscribe_options(
        self, broker: MessageBroker, exchange: str, queue: str, options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(options))):
            async with broker.subscribe(exchange, queue, options=SubscribeOptions(**options)):
                pass

    @pytest.mark.parametrize("delay", [-1, 900.1, math.inf, math.nan, "1", None], ids=str)
    async def test_wrong_delay(
        self, broker: MessageBroker, exchange: str, harness: Harness, delay: Any
    ) -> None:
        async with broker.subscribe(exchange) as feed:
            await publish_numbers(broker, exchange, [1])
            (delivery,) = await harness.collect(aiter(feed), 1)
            with pytest.raises(InvalidRequestError):
                await delivery.nack(delay)
            # It is still unsettled.
            await delivery.ack()
