"""The zookeeper engine beside bare aiozk, kazoo and tooz, on the same server."""

import asyncio
from unittest.mock import patch

from asyncbackends import open_coordination
from tests.bench.coordination_sides import (
    CREATE,
    LOCK,
    READ,
    Target,
    measure,
    our_client,
    prepare,
)
from tests.bench.zookeeper_peers import AIOZK, KAZOO, peers
from tests.servers.running import Servers
from tests.servers.zookeeper import ZooKeeper

__all__ = ("run",)

TARGETS = (
    Target(READ, AIOZK, cpu=0.55),
    Target(CREATE, AIOZK, cpu=0.55),
    Target(LOCK, KAZOO, throughput=1.3),
)


async def _measure(server: ZooKeeper) -> None:
    async with open_coordination(**server.settings()) as ours, peers(server.endpoint) as others:
        await prepare(ours)
        await measure(f"zookeeper {server.version()}", our_client(ours), others, TARGETS)


def run() -> None:
    """Measure on a server of its own."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("zookeeper") as server,
    ):
        asyncio.run(_measure(server))


if __name__ == "__main__":
    run()
