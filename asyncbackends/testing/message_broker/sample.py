"""Short ways to publish and to take, and names that nobody has."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import uuid4

import pytest

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import DeliveryGapError, OperationTimeoutError
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.harness import Harness

__all__ = (
    "as_condition",
    "cut",
    "error_of",
    "first_numbers",
    "fresh_name",
    "gap_of",
    "left_in",
    "nothing_comes",
    "numbers_of",
    "publish_numbers",
    "take",
)


def fresh_name(word: str = "kit") -> str:
    """Give a name of an exchange or a queue that nobody has."""
    return f"{word}-{uuid4().hex[:16]}"


async def publish_numbers(
    broker: MessageBroker, exchange: str, numbers: Iterable[int]
) -> list[str]:
    """Publish ``{"n": number}`` for each, and give the ids."""
    return [await broker.publish({"n": number}, exchange=exchange) for number in numbers]


def numbers_of(deliveries: Sequence[Delivery]) -> list[int]:
    """Give what :func:`publish_numbers` put in."""
    return [delivery["n"] for delivery in deliveries]


async def take(feed: Subscription, count: int, harness: Harness) -> list[Delivery]:
    """Receive and ack so many, each before the next."""
    taken: list[Delivery] = []
    for _ in range(count):
        (delivery,) = await harness.collect(aiter(feed), 1)
        await delivery.ack()
        taken.append(delivery)
    return taken


async def nothing_comes(feed: Subscription, seconds: float = 0.05) -> None:
    """Fail when a delivery comes within these seconds."""
    with pytest.raises(OperationTimeoutError):
        found = await feed.get(seconds)
        pytest.fail(f"nothing was to come, and {found!r} came")


async def error_of(call: Awaitable[object]) -> Exception | None:
    """Give the error in which a call ends."""
    try:
        await call
    except Exception as error:  # noqa: BLE001  # it is handed to the test
        return error
    return None


async def gap_of(feed: Subscription, harness: Harness) -> Gap:
    """Give the gap that a subscription without ``on_gap`` tells of next."""
    try:
        found = await harness.collect(aiter(feed), 1)
    except DeliveryGapError as told:
        return told.gap
    pytest.fail(f"a gap was to be told, and {found} came")


async def left_in(
    broker: MessageBroker, exchange: str, queue: str, marker: int, harness: Harness
) -> list[int]:
    """Publish a marker, and take and give the numbers that a queue holds ahead of it."""
    async with broker.subscribe(exchange, queue) as feed:
        await publish_numbers(broker, exchange, [marker])
        found: list[int] = []
        while True:
            (delivery,) = await take(feed, 1, harness)
            if delivery["n"] == marker:
                return found
            found.append(delivery["n"])


async def cut(broker: MessageBroker, harness: Harness, fault: Callable[[], None]) -> None:
    """Break a link, and wait until a client has noticed and has another one."""
    before = await _status(broker)

    async def is_back() -> bool:
        now = await _status(broker)
        return now.state is ConnectionState.CONNECTED and now.since > before.since

    fault()
    assert await harness.eventually(is_back), await _status(broker)


async def _status(broker: MessageBroker) -> ConnectionStatus:
    async with broker.states() as states:
        return await anext(states)


async def first_numbers(feed: Subscription, last: int, harness: Harness) -> list[int]:
    """Take until a number came, and give each number where it came first."""
    found: dict[int, None] = {}
    while last not in found:
        (delivery,) = await take(feed, 1, harness)
        found[delivery["n"]] = None
    return [*found]


def as_condition(ask: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    """Give a question as ``harness.eventually`` takes it."""

    async def condition() -> bool:
        return ask()

    return condition
