"""What nats-py offers in the place of a tree: bare JetStream, and its key-value store.

What is not equal: a bare publish replaces whatever is there, and bare messages have no headers, no
parents and no owner. The key-value store's create has a condition, as the engine's has.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from tests.bench.coordination_rounds import KEYS, VALUE, by_callers
from tests.bench.coordination_sides import CREATE, LOCK, READ, Client
from tests.bench.nats_peers import connected

__all__ = ("BARE", "peers")

BARE, STORE, DIRECT = "nats-py", "nats-py, KV", "nats-py, KV direct"
STREAM = "bare"

api: Any = import_module("nats.js.api")


@asynccontextmanager
async def peers(endpoint: str) -> AsyncGenerator[Mapping[str, Client]]:
    """Give the clients, each on a connection of its own, the bare one first."""
    url = f"nats://{endpoint}"
    async with connected(url) as bare, connected(url) as store, connected(url) as direct:
        yield {
            BARE: await _bare(bare.jetstream()),
            STORE: await _store(store.jetstream(), "store", direct=False),
            DIRECT: await _store(direct.jetstream(), "direct", direct=True),
        }


async def _bare(streams: Any) -> Client:
    config = api.StreamConfig(
        name=STREAM, subjects=["bare.>"], max_msgs_per_subject=1, allow_direct=True
    )
    await streams.add_stream(config)
    for number in range(KEYS):
        await streams.publish(f"bare.read.{number}", VALUE)

    return {
        READ: by_callers(
            lambda number: streams.get_last_msg(STREAM, f"bare.read.{number % KEYS}", direct=True)
        ),
        CREATE: by_callers(lambda number: streams.publish(f"bare.made.{number}", VALUE)),
    }


async def _store(streams: Any, name: str, *, direct: bool) -> Client:
    store = await streams.create_key_value(bucket=name, direct=direct)
    for number in range(KEYS):
        await store.create(f"read.{number}", VALUE)

    async def create_and_delete(number: int) -> None:
        revision = await store.create("lock", VALUE)
        await store.delete("lock", last=revision)

    return {
        READ: by_callers(lambda number: store.get(f"read.{number % KEYS}")),
        CREATE: by_callers(lambda number: store.create(f"made.{number}", VALUE)),
        LOCK: by_callers(create_and_delete),
    }
