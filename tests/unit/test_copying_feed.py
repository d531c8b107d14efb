"""The feed of a copy lives through whatever a watch can do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, cast

import pytest

from asyncbackends import Change, ConfigDatabase, Gap, Guarantee
from asyncbackends.errors import (
    AccessDeniedError,
    BackendError,
    CompactedError,
    ConnectionLostError,
    InvalidRequestError,
)
from asyncbackends.interchange.copying_feed import Feed
from asyncbackends.interchange.copying_sides import Side
from asyncbackends.protocols.backend import ConnectionState
from tests.data.copies import Listener, until

GUARANTEES = frozenset({Guarantee.ORDERED_WATCH, Guarantee.DATABASE_WIDE_REVISION})


class Scripted:
    """A database whose watches do what was written down, each ended by an error or by silence."""

    state = ConnectionState.CONNECTED

    def __init__(
        self, *watches: Sequence[Any], guarantees: frozenset[Guarantee] = GUARANTEES
    ) -> None:
        self.guarantees = guarantees
        self.schema = None
        self.since: list[int | None] = []
        self._watches = [list(watch) for watch in watches]
        self._events: list[Any] = []

    def watch(self, types: None = None, since: int | None = None) -> Self:
        self.since.append(since)
        self._events = self._watches.pop(0) if self._watches else []
        return self

    async def __aenter__(self) -> AsyncIterator[Any]:
        if self._events and isinstance(self._events[0], CompactedError | InvalidRequestError):
            raise self._events.pop(0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not self._events:
            await asyncio.Event().wait()
        event = self._events.pop(0)
        if isinstance(event, BackendError):
            raise event
        return event


def change(revision: int, uuid: str = "one") -> Change:
    return Change(revision, "update", "thing", uuid)


def feed_of(database: Scripted, **options: Any) -> Feed:
    side = Side("source", cast("ConfigDatabase", database), "it", Listener(), patience=0.5)
    return Feed(side, 7, **options)


async def test_each_object_waits_once() -> None:
    database = Scripted([change(8), change(9, "two"), change(10), change(11, "three")])
    feed = feed_of(database)
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.heard == 4)
    assert (feed.seen, feed.waiting, feed.is_live) == (11, 3, True)
    assert feed.take(2) == [("thing", "one"), ("thing", "two")]
    assert feed.take(2) == [("thing", "three")]
    await feed.news(0.01)
    running.cancel()
    assert database.since == [7]


async def test_it_goes_on_after_a_lost_link() -> None:
    database = Scripted([change(8), ConnectionLostError("gone")], [change(9, "two")])
    feed = feed_of(database)
    touched = feed.note()
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.heard == 2)
    running.cancel()
    assert database.since == [7, 8]
    assert not feed.lost
    assert "two" in touched
    assert "three" not in touched


@pytest.mark.parametrize(
    "trouble",
    [
        [Gap("overflow", 8)],
        [CompactedError("too far behind", oldest=99)],
        [InvalidRequestError("since is ahead")],
        [change(number, str(number)) for number in range(8, 20)],
    ],
    ids=["gap", "compacted", "restored", "too much"],
)
async def test_what_may_be_missed_is_said(trouble: list[Any]) -> None:
    feed = feed_of(Scripted([change(8), ConnectionLostError("gone")], trouble), kept=10)
    touched = feed.note()
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.lost)
    assert feed.waiting == 0
    assert "whatever" in touched
    await asyncio.wait_for(feed.news(30), 1)
    feed.begin_anew()
    assert not feed.lost
    running.cancel()


async def test_it_ends_where_waiting_is_no_cure() -> None:
    feed = feed_of(Scripted([change(8), AccessDeniedError("no right")]))
    with pytest.raises(AccessDeniedError, match=r"^the source \(it\): no right$"):
        await feed.run()
    lost = [[ConnectionLostError("gone")]] * 20
    with pytest.raises(ConnectionLostError, match=r"^the source \(it\): gone"):
        await feed_of(Scripted(*lost)).run()
