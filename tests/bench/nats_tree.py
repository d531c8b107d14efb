"""The nats engine for coordination, beside bare JetStream and nats-py's key-value store."""

import asyncio
from unittest.mock import patch

from asyncbackends import open_coordination
from tests.bench.coordination_sides import (
    CREATE,
    READ,
    Target,
    measure,
    our_client,
    prepare,
)
from tests.bench.nats_tree_peers import BARE, peers
from tests.servers.nats import Nats
from tests.servers.running import Servers

__all__ = ("run",)

TARGETS = (
    Target(READ, BARE, cpu=1.2),
    Target(CREATE, BARE, cpu=2.0),
)


async def _measure(server: Nats) -> None:
    async with (
        open_coordination(**server.settings()) as ours,
        peers(f"nats://{server.endpoint}") as others,
    ):
        await prepare(ours)
        await measure(f"nats {server.version()}", our_client(ours), others, TARGETS)


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
