"""What the demo hears from the database's feed of changes."""

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from typing import Final

from asyncbackends.cli.demo_stage import Stage
from asyncbackends.protocols.values import Change, Gap

__all__ = ("heard_changes",)

PATIENCE: Final = 5.0
"""Seconds of silence after which the feed has nothing more to tell."""


async def heard_changes(
    stage: Stage, feed: AsyncIterator[Change | Gap], own: AbstractSet[str], there: AbstractSet[str]
) -> list[Change]:
    """Give the changes of the demo's own objects, until it was heard of all that are there."""
    heard: dict[tuple[str, int], Change] = {}
    missing = {*there}
    gaps = 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE) as silence:
            while missing:
                change = await anext(feed)
                silence.reschedule(loop.time() + PATIENCE)
                if isinstance(change, Gap):
                    gaps += 1
                elif change.uuid in own:
                    # Without ORDERED_WATCH an event may be repeated.
                    heard[change.uuid, change.revision] = change
                    missing.discard(change.uuid)
    except TimeoutError:
        pass
    changed = len({uuid for uuid, _ in heard})
    if gaps:
        stage.say(f"the database's feed has lost changes, and says so: {gaps} gaps")
    stage.prove(
        f"the database's feed tells of {len(heard)} changes of {changed} objects",
        holds=bool(gaps) or not missing,
    )
    return [*heard.values()]
