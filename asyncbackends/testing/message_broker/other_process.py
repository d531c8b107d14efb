"""What the other process does, when tests need one: ``python -m ... '<JSON>'``.

It prints a line for each thing that it has done and waits to be killed.
"""

import asyncio
import json
import sys
from contextlib import suppress
from typing import Any

from asyncbackends.errors import ExchangeNotFoundError
from asyncbackends.opening import open_message_broker

__all__ = ("main",)


async def main(order: dict[str, Any]) -> None:
    """Say whether the exchange is there, then publish and say each message that was confirmed."""
    exchange, queue = order["exchange"], order["queue"]
    async with open_message_broker(**order["settings"]) as broker:
        is_there = False
        with suppress(ExchangeNotFoundError):
            await broker.create_queue(exchange, queue)
            is_there = True
        _say(is_there)
        if not is_there:
            await broker.create_exchange(exchange)
            await broker.create_queue(exchange, queue)
        if order["takes"]:
            await _take(broker, exchange, queue, order["takes"])
        for number in range(order["messages"]):
            await broker.publish({"n": number}, exchange=exchange)
            _say(number)
        await asyncio.Event().wait()


async def _take(broker: Any, exchange: str, queue: str, count: int) -> None:
    """Receive so many, never ack them, and go on holding them."""
    held: list[Any] = []
    subscription = broker.subscribe(exchange, queue)
    feed = await subscription.__aenter__()
    while len(held) < count:
        held.append(await anext(feed))
        _say(held[-1]["n"])
    await asyncio.Event().wait()


def _say(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
