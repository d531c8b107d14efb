"""ZooKeeper's other clients, as their pages show them, on trees of their own beside each other.

What is not equal: kazoo and tooz work in threads, and begin 64 operations from one; kazoo's and
tooz's locks make no fence and cancel nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any

from tests.bench.coordination_rounds import KEYS, VALUE, Turn, by_callers, by_window
from tests.bench.coordination_sides import CREATE, LOCK, READ, Client

__all__ = ("AIOZK", "KAZOO", "peers")

AIOZK, KAZOO, TOOZ = "aiozk", "kazoo", "tooz"

# They have no types, or leave gaps.
aiozk: Any = import_module("aiozk")
kazoo_client: Any = import_module("kazoo.client")
tooz_coordination: Any = import_module("tooz.coordination")


@asynccontextmanager
async def peers(endpoint: str) -> AsyncGenerator[Mapping[str, Client]]:
    """Open the clients, the bare driver first."""
    async with AsyncExitStack() as stack:
        yield {
            AIOZK: await stack.enter_async_context(_aiozk(endpoint)),
            KAZOO: await stack.enter_async_context(_kazoo(endpoint)),
            TOOZ: await stack.enter_async_context(_tooz(endpoint)),
        }


@asynccontextmanager
async def _aiozk(endpoint: str) -> AsyncGenerator[Client]:
    client = aiozk.ZKClient(endpoint, session_timeout=10)
    await client.start()
    try:
        await client.ensure_path("/aiozk/read")
        await client.ensure_path("/aiozk/made")
        for number in range(KEYS):
            await client.create(f"/aiozk/read/{number}", VALUE)

        lock = client.recipes.Lock("/aiozk/lock")

        async def lock_and_unlock(number: int) -> None:
            async with lock:
                pass

        yield {
            READ: by_callers(lambda number: client.get_data(f"/aiozk/read/{number % KEYS}")),
            CREATE: by_callers(lambda number: client.create(f"/aiozk/made/{number}", VALUE)),
            LOCK: by_callers(lock_and_unlock),
        }
    finally:
        await client.close()


@asynccontextmanager
async def _kazoo(endpoint: str) -> AsyncGenerator[Client]:
    client = kazoo_client.KazooClient(endpoint, timeout=10)
    await asyncio.to_thread(client.start)
    try:
        await asyncio.to_thread(_kazoo_nodes, client)
        lock = client.Lock("/kazoo/lock")
        yield {
            READ: by_window(lambda number: client.get_async(f"/kazoo/read/{number % KEYS}")),
            CREATE: by_window(lambda number: client.create_async(f"/kazoo/made/{number}", VALUE)),
            LOCK: _locking(lock),
        }
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


def _kazoo_nodes(client: Any) -> None:
    client.ensure_path("/kazoo/read")
    client.ensure_path("/kazoo/made")
    for number in range(KEYS):
        client.create(f"/kazoo/read/{number}", VALUE)


@asynccontextmanager
async def _tooz(endpoint: str) -> AsyncGenerator[Client]:
    coordinator = tooz_coordination.get_coordinator(f"kazoo://{endpoint}", b"bench")
    await asyncio.to_thread(coordinator.start)
    try:
        yield {LOCK: _locking(coordinator.get_lock(b"bench"))}
    finally:
        await asyncio.to_thread(coordinator.stop)


def _locking(lock: Any) -> Turn:
    """Give one thread that locks and unlocks."""

    class Cycle:
        def get(self) -> None:
            lock.acquire()
            lock.release()

    return by_window(lambda number: Cycle())
