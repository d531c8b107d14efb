"""What the tests of the recipes share: who is in line before a path, and trying to be."""

from collections.abc import Sized
from typing import Final

from asyncbackends.testing.coordination.clean_ends import is_empty
from asyncbackends.testing.coordination.fixtures import Coordination
from asyncbackends.testing.harness import Harness

__all__ = (
    "FOR_EVER",
    "MOST_SUSPENSIONS",
    "nobody_left",
    "wait_for_line",
    "wait_for_some",
)

FOR_EVER: Final = 3600.0
"""Seconds that a body waits which is to be ended by something else."""

MOST_SUSPENSIONS: Final = 200


async def wait_for_line(harness: Harness, client: Coordination, path: str, count: int) -> None:
    """Wait until so many contend."""

    async def complete() -> bool:
        return len(await client.contenders(path)) >= count

    assert await harness.eventually(complete), await client.contenders(path)


async def wait_for_some(harness: Harness, entered: Sized) -> None:
    """Wait until somebody put down that it holds: who contends may not have heard yet that it does.

    A service shows an entry to others before it answers the one who made it.
    """

    async def some() -> bool:
        return len(entered) > 0

    assert await harness.eventually(some), "nobody holds"


async def nobody_left(harness: Harness, client: Coordination, path: str) -> None:
    """Wait until nobody contends and nothing is left below a path."""
    assert await harness.eventually(lambda: is_empty(client, path)), await client.contenders(path)
