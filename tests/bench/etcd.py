"""The etcd engine beside bare grpc.aio stubs, and aetcd in an interpreter of its own."""

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
from tests.bench.etcd_peers import STUBS, peers
from tests.servers.etcd import Etcd
from tests.servers.running import Servers

__all__ = ("run",)

TARGETS = (
    Target(READ, STUBS, cpu=1.15),
    Target(CREATE, STUBS, cpu=1.25),
    Target(LOCK, STUBS, throughput=0.8),
)


async def _measure(server: Etcd) -> None:
    async with open_coordination(**server.settings()) as ours, peers(server.endpoint) as others:
        await prepare(ours)
        await measure(f"etcd {server.version()}", our_client(ours), others, TARGETS)


def run() -> None:
    """Measure on a server of its own."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh("etcd") as server,
    ):
        asyncio.run(_measure(server))


if __name__ == "__main__":
    run()
