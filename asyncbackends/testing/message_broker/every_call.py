"""Every method of the Protocol, called once, for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncbackends.broker.delivery import Delivery
from asyncbackends.protocols.message_broker import MessageBroker

__all__ = ("EVERY_CALL", "Call")

Call = Callable[[MessageBroker, str, Delivery], Awaitable[Any]]
"""Takes an exchange that is there, and a delivery of another client."""


async def _publish_nowait(broker: MessageBroker, exchange: str) -> None:
    _ = broker.publish_nowait(b"", exchange=exchange)


async def _pending(broker: MessageBroker) -> int:
    return broker.pending


async def _subscribe(broker: MessageBroker, exchange: str) -> None:
    async with broker.subscribe(exchange):
        pass


EVERY_CALL: Mapping[str, Call] = {
    "create_exchange": lambda b, e, _: b.create_exchange(e),
    "delete_exchange": lambda b, e, _: b.delete_exchange(e),
    "create_queue": lambda b, e, _: b.create_queue(e, f"{e}-queue"),
    "delete_queue": lambda b, e, _: b.delete_queue(f"{e}-queue"),
    "publish": lambda b, e, _: b.publish(b"", exchange=e),
    "publish_nowait": lambda b, e, _: _publish_nowait(b, e),
    "flush": lambda b, _, __: b.flush(),
    "pending": lambda b, _, __: _pending(b),
    "subscribe": lambda b, e, _: _subscribe(b, e),
    "consume": lambda b, _, __: b.consume(),
    "ack": lambda b, _, delivery: b.ack(delivery),
    "server_info": lambda b, _, __: b.server_info(),
}
