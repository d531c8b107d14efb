"""The guarantees that need another process to be seen."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from asyncbackends.errors import ExchangeNotFoundError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.testing.harness import Harness, Process
from asyncbackends.testing.message_broker.fixtures import BrokerFixtures
from asyncbackends.testing.message_broker.sample import (
    fresh_name,
    nothing_comes,
    numbers_of,
    publish_numbers,
    take,
)

__all__ = ("BrokerProcessesConformance",)

PROGRAM = "asyncbackends.testing.message_broker.other_process"


def _order(
    settings: Mapping[str, Any], exchange: str, queue: str, *, messages: int = 0, takes: int = 0
) -> list[str]:
    """Give the command line of the other process."""
    content = {
        "settings": settings,
        "exchange": exchange,
        "queue": queue,
        "messages": messages,
        "takes": takes,
    }
    return ["-m", PROGRAM, json.dumps(content, default=str)]


async def _spoken(process: Process) -> Any:
    """Give what the other process says next."""
    line = await process.line()
    assert line, "the other process ended; its error is on stderr"
    return json.loads(line)


class BrokerProcessesConformance(BrokerFixtures):
    """``SHARED_BETWEEN_PROCESSES``, ``SURVIVES_PROCESS_KILL``, ``SURVIVES_POWER_LOSS``."""

    async def test_shared_between_processes(
        self,
        broker: MessageBroker,
        settings: Mapping[str, Any],
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        shared = Guarantee.SHARED_BETWEEN_PROCESSES in broker.guarantees
        order = _order(settings, exchange, queue, messages=10)
        async with (
            broker.subscribe(exchange) as feed,
            harness.process(*order) as process,
            harness.deadline(30),
        ):
            assert await _spoken(process) is shared
            assert [await _spoken(process) for _ in range(10)] == [*range(10)]
            if not shared:
                await nothing_comes(feed)
                return
            assert numbers_of(await take(feed, 10, harness)) == [*range(10)]
            async with broker.subscribe(exchange, queue) as named:
                assert numbers_of(await take(named, 10, harness)) == [*range(10)]

    async def test_survives_process_kill(
        self,
        broker: MessageBroker,
        settings: Mapping[str, Any],
        harness: Harness,
    ) -> None:
        """What was confirmed, of a process that is killed in the middle of publishing."""
        exchange, queue = fresh_name("exchange"), fresh_name("queue")
        order = _order(settings, exchange, queue, messages=100_000)
        async with harness.process(*order) as process, harness.deadline(30):
            assert await _spoken(process) is False
            told = [await _spoken(process) for _ in range(20)]
            await process.kill()
        if Guarantee.SURVIVES_PROCESS_KILL not in broker.guarantees:
            with pytest.raises(ExchangeNotFoundError):
                await broker.create_queue(exchange, queue)
            return
        async with broker.subscribe(exchange, queue) as feed:
            assert numbers_of(await take(feed, 20, harness)) == told
        await broker.delete_exchange(exchange)

    async def test_consumer_killed_with_messages_in_hand(
        self,
        broker: MessageBroker,
        settings: Mapping[str, Any],
        exchange: str,
        queue: str,
        harness: Harness,
    ) -> None:
        if Guarantee.SHARED_BETWEEN_PROCESSES not in broker.guarantees:
            # Then no other process can have them in hand.
            await broker.create_queue(exchange, queue)
            return
        await broker.create_queue(exchange, queue)
        await publish_numbers(broker, exchange, range(10))
        order = _order(settings, exchange, queue, takes=10)
        async with harness.process(*order) as process, harness.deadline(60):
            assert await _spoken(process) is True
            assert [await _spoken(process) for _ in range(10)] == [*range(10)]
            await process.kill()
            async with broker.subscribe(exchange, queue) as feed:
                found: list[Any] = []
                while len(found) < 10:
                    try:
                        found.append(await feed.get(35))
                    except TimeoutError:
                        break
                    await found[-1].ack()
        assert sorted(numbers_of(found)) == [*range(10)]
        assert all(delivery.redelivered for delivery in found)

    async def test_survives_power_loss(self, broker: MessageBroker, exchange: str) -> None:
        """No test can cut the power; what survives that survives less, and is no memory's."""
        if Guarantee.SURVIVES_POWER_LOSS in broker.guarantees:
            assert Guarantee.SURVIVES_PROCESS_KILL in broker.guarantees
        if Guarantee.SURVIVES_PROCESS_KILL in broker.guarantees:
            assert Guarantee.SHARED_BETWEEN_PROCESSES in broker.guarantees
        assert await broker.publish(b"", exchange=exchange)
