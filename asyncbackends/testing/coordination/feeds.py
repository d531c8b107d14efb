"""What a watch gives, held against what it may give."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeAlias

from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.harness import Harness

__all__ = ("Feed", "Replay", "drained", "events_of", "kinds_of", "replay_until")

Feed: TypeAlias = AsyncIterator[NodeEvent | Gap]


async def events_of(harness: Harness, feed: Feed, count: int) -> list[NodeEvent]:
    """Collect so many events; nothing was lost, so none of them is a Gap."""
    found = await harness.collect(feed, count)
    events = [event for event in found if isinstance(event, NodeEvent)]
    assert events == found, f"nothing was lost, and there is a Gap: {found}"
    return events


async def drained(harness: Harness, feed: Feed, seconds: float = 0.05) -> list[NodeEvent | Gap]:
    """Collect what comes until nothing came for so long."""
    found: list[NodeEvent | Gap] = []
    while True:
        try:
            async with harness.deadline(seconds):
                found.append(await anext(feed))
        except TimeoutError:
            return found


def kinds_of(events: Iterable[NodeEvent], root: str) -> list[tuple[str, str]]:
    """Give kind and path of events, the paths as they are below ``root``."""
    return [(event.kind, event.path.removeprefix(root)) for event in events]


class Replay:
    """Who believes what a watch says: the nodes that are there, and their last known values.

    Events that cannot be believed are errors: a node that comes twice, changes or goes while it is
    not there, comes before its parent or goes before its children, or an earlier revision.

    :param present: what is there when the watch begins, unless it tells that itself.
    :param top: what is watched with scope ``tree``: then parents are told of before what is below.
    """

    def __init__(self, present: Iterable[str] = (), *, top: str | None = None) -> None:
        self.values: dict[str, bytes | None] = dict.fromkeys(present)
        self.gaps = 0
        self._top = top
        self._revision = 0

    def take(self, event: NodeEvent | Gap) -> None:
        """Believe an event."""
        if isinstance(event, Gap):
            # What is there comes anew.
            self.gaps += 1
            self.values.clear()
            self._revision = 0
            return
        path, there = event.path, event.path in self.values
        assert there is not (event.kind == "created"), f"{event} while there is {[*self.values]}"
        if event.revision is not None:
            assert event.revision >= self._revision, f"{event} after revision {self._revision}"
            self._revision = event.revision
        if event.kind == "deleted":
            assert event.value is None
            assert event.stat is None
            if self._top is not None:
                below = [one for one in self.values if one.startswith(f"{path}/")]
                assert below == [], f"{event} before {below}"
            del self.values[path]
            return
        if event.stat is not None:
            assert event.stat.path == path
        if event.kind == "created" and self._top not in {None, path}:
            assert path.rpartition("/")[0] in self.values, f"{event} before its parent"
        self.values[path] = event.value


async def replay_until(
    harness: Harness, feed: Feed, replay: Replay, wanted: Mapping[str, bytes | None]
) -> list[NodeEvent | Gap]:
    """Believe events until what is there is what is ``wanted``; give the events.

    :param wanted: the values by path, None for any.
    """
    taken: list[NodeEvent | Gap] = []

    def agrees() -> bool:
        return replay.values.keys() == wanted.keys() and all(
            value is None or wanted[path] in {None, value} for path, value in replay.values.items()
        )

    while not agrees():
        (event,) = await harness.collect(feed, 1)
        replay.take(event)
        taken.append(event)
    return taken
