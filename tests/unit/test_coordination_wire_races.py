"""The core of coordination over a wire, where two things come in one turn of the loop."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.coordination.wire import Followed
from asyncbackends.protocols.nodes import NodeEvent
from tests.unit.tree_wire import TreeFeed


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "engine": "tests.unit.tree_wire:engine",
        "endpoints": f"tree-{uuid4().hex}",
        "reconnect_max": 0.05,
    }


@pytest.mark.parametrize("initial", [False, True])
async def test_watch_goes_on_whose_link_is_lost_right_after_it_began(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, initial: bool
) -> None:
    """The loss is told before the one who asked has its answer: it needs a turn more for that."""
    begin, begun = TreeFeed.begin, list[bool]()

    async def begin_and_lose(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
        followed = await begin(feed, since, present=present)
        if not begun:
            begun.append(True)
            feed.link.cut()
        return followed

    monkeypatch.setattr(TreeFeed, "begin", begin_and_lose)
    async with open_coordination(**settings) as one, asyncio.timeout(5):
        await one.create_node("/here", b"1")
        async with one.watch("/here", initial=initial) as events:
            await one.update_node("/here", b"2")
            found: list[bytes | None] = []
            while b"2" not in found:
                event = await anext(events)
                if isinstance(event, NodeEvent):
                    found.append(event.value)
