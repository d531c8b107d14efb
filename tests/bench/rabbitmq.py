"""The rabbitmq engine beside bare aiormq and what others put over it, on the same queue."""

import asyncio
from typing import Literal
from unittest.mock import patch

import aiormq

from asyncbackends import QueueOptions
from tests.bench.broker_ours import NAMESPACE, Ours
from tests.bench.broker_sides import OPERATIONS, SECONDS, Targets, measure
from tests.bench.rabbitmq_peers import AiormqQueue, peers
from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers

__all__ = ("run",)

TARGETS = Targets(publish=0.5, consume=1.0, latency=1.3)
QueueType = Literal["quorum", "classic"]


async def _measure(
    server: RabbitMq,
    queue_type: QueueType,
    operations: int = OPERATIONS,
    seconds: float = SECONDS,
) -> None:
    exchange, queue = f"events-{queue_type}", f"work-{queue_type}"
    ours = Ours(server.settings(), exchange, queue)
    async with ours.broker() as broker:
        await broker.create_exchange(exchange)
        await broker.create_queue(exchange, queue, options=QueueOptions(queue_type=queue_type))
    url = server.url
    exchange, queue = f"{NAMESPACE}.{exchange}", f"{NAMESPACE}.{queue}"
    connection = await aiormq.connect(url)
    try:
        seen = AiormqQueue(await connection.channel(), queue)
        title = f"rabbitmq {server.version()}, {queue_type} queue"
        others = peers(url, exchange, queue)
        await measure(title, seen, ours, others, TARGETS, operations, seconds)
    finally:
        await connection.close()


def run() -> None:
    """Measure on a server of its own, a queue of each type."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("rabbitmq") as server,
    ):
        asyncio.run(_measure(server, "quorum"))
        asyncio.run(_measure(server, "classic"))


if __name__ == "__main__":
    run()
