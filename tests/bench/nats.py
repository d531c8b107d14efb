"""The nats engine beside bare nats-py and faststream, on the same stream and consumer."""

import asyncio
from unittest.mock import patch

from tests.bench.broker_ours import NAMESPACE, Ours
from tests.bench.broker_sides import OPERATIONS, SECONDS, Targets, measure
from tests.bench.nats_peers import JetStreamQueue, connected, peers
from tests.servers.nats import Nats
from tests.servers.running import Servers

__all__ = ("run",)

TARGETS = Targets(publish=1.5, consume=1.3, latency=1.3)
EXCHANGE, QUEUE = "events", "work"
STREAM = f"AB-{NAMESPACE}-{EXCHANGE}"
SUBJECT = f"ab.{NAMESPACE}.{EXCHANGE}.="


async def _measure(server: Nats, operations: int = OPERATIONS, seconds: float = SECONDS) -> None:
    ours = Ours(server.settings(), EXCHANGE, QUEUE)
    async with ours.broker() as broker:
        await broker.create_exchange(EXCHANGE)
        await broker.create_queue(EXCHANGE, QUEUE)
    url = f"nats://{server.endpoint}"
    async with connected(url) as client:
        streams = client.jetstream()
        [consumer] = [found.name for found in await streams.consumers_info(STREAM)]
        seen = JetStreamQueue(streams, STREAM, consumer)
        others = peers(url, SUBJECT, STREAM, consumer)
        title = f"nats {server.version()}"
        await measure(title, seen, ours, others, TARGETS, operations, seconds)


def run() -> None:
    """Measure on a server of its own."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("nats") as server,
    ):
        asyncio.run(_measure(server))


if __name__ == "__main__":
    run()
