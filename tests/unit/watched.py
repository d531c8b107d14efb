"""Takes what a watch has to give by now."""

import asyncio
from collections.abc import AsyncIterator

from asyncbackends import Gap, NodeEvent


async def given(events: AsyncIterator[NodeEvent | Gap]) -> list[str]:
    """Take what there is, in short: what, where, and the revision."""
    taken: list[str] = []
    while True:
        waiting = asyncio.ensure_future(anext(events))
        for _ in range(5):
            await asyncio.sleep(0)
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})
            return taken
        event = waiting.result()
        if isinstance(event, Gap):
            taken.append(f"gap {event.reason} {event.since}")
        else:
            taken.append(f"{event.kind} {event.path} {event.revision}")
