"""A server hangs up on who has 64 MB to read: nothing may be sent that is not asked for."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from asyncbackends import ConnectionState, open_coordination
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.nodes import NodeEvent
from tests.faults.coordination_trials import beside
from tests.servers.proxy import Proxy
from tests.servers.running import Servers

LARGE = 1_000_000
MANY = 90
"""Of them at once are more than a server keeps for a client."""
SLOW = 2.0
"""Seconds in which the client takes nothing."""


async def test_large_tree_that_is_read_slowly_costs_no_link(servers: Servers) -> None:
    settings = servers.get("nats").settings(
        namespace=f"t{uuid4().hex[:12]}", session_ttl=30, link_timeout=20
    )
    states: Counter[ConnectionState] = Counter()
    async with (
        Proxy(settings["endpoints"]) as proxy,
        open_coordination(**settings) as writer,
        open_coordination(**{**settings, "endpoints": proxy.endpoint}) as reader,
    ):
        await writer.create_node("/large")
        for number in range(MANY):
            await writer.create_node(f"/large/{number:02}", b"x" * LARGE)
        async with beside(follow(reader, states)):
            # Two at once, as after a link was lost.
            watching = [asyncio.create_task(all_there(reader)) for _ in range(2)]
            await asyncio.sleep(0.05)
            proxy.freeze()
            await asyncio.sleep(SLOW)
            proxy.thaw()
            async with asyncio.timeout(30):
                assert await asyncio.gather(*watching) == [MANY + 1, MANY + 1]
        assert set(states) == {ConnectionState.CONNECTED}, states


async def follow(client: DistributedCoordinationService, states: Counter[ConnectionState]) -> None:
    async with client.states() as found:
        async for status in found:
            states[status.state] += 1


async def all_there(client: DistributedCoordinationService) -> int:
    """Give how many nodes a watch finds, without a Gap."""
    async with client.watch("/large", scope="tree", initial=True) as events:
        found: list[Any] = [await anext(events) for _ in range(MANY + 1)]
    assert all(isinstance(event, NodeEvent) for event in found)
    return len({event.path for event in found})
