"""A watch reads on by revision, tells of what is gone, and never invents or repeats."""

import asyncio

import pytest

from asyncbackends.errors import CompactedError, InvalidRequestError
from asyncbackends.observability import Seam
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.values import Change, Gap
from asyncbackends.sql.feed import OPERATIONS, PAGE, Feed, Pulled, Watch


class Table:
    """A table of changes in memory."""

    def __init__(self) -> None:
        self.seam = Seam(Kind.CONFIG_DATABASE, "scripted", lambda _: None)
        self.feed = Feed()
        self.revision = 0
        self.compacted = 0
        self.rows: list[tuple[int, int, str, str]] = []
        self.pulls = 0

    def write(self, count: int, obj_type: str = "network") -> None:
        for _ in range(count):
            self.revision += 1
            self.rows.append((self.revision, self.revision % 3, obj_type, f"id{self.revision}"))
        self.feed.wake()

    def prune(self, compacted: int) -> None:
        self.compacted = compacted
        self.rows = [row for row in self.rows if row[0] > compacted]

    async def counters(self) -> tuple[int, int]:
        return self.revision, self.compacted

    async def pull(self, seen: int) -> Pulled:
        self.pulls += 1
        rows = [row for row in self.rows if row[0] > seen][:PAGE]
        return Pulled(self.revision, self.compacted, rows)


async def seen(watch: Watch, count: int) -> list[Change | Gap]:
    async with asyncio.timeout(2):
        return [await anext(watch) for _ in range(count)]


async def test_pages_follow_one_another_without_a_hole() -> None:
    table = Table()
    async with Watch(table, None, None) as watch:
        table.write(2 * PAGE + 3)
        found = await seen(watch, 2 * PAGE + 3)
    assert [one.revision for one in found if isinstance(one, Change)] == [*range(1, 2 * PAGE + 4)]
    assert found[0] == Change(1, OPERATIONS[1], "network", "id1")
    assert table.pulls == 3


async def test_other_types_are_passed_over_and_not_read_again() -> None:
    table = Table()
    async with Watch(table, {"port"}, None) as watch:
        table.write(PAGE + 5)
        table.write(1, "port")
        (only,) = await seen(watch, 1)
        assert isinstance(only, Change)
        assert only.obj_type == "port"
        table.write(1, "port")
        (only,) = await seen(watch, 1)
    assert isinstance(only, Change)
    assert only.revision == table.revision


async def test_gap_stands_where_changes_were_thrown_away() -> None:
    table = Table()
    async with Watch(table, None, 0) as watch:
        table.write(10)
        await seen(watch, 1)
        # What was read with the first is given still.
        table.write(5)
        table.prune(12)
        found = await seen(watch, 13)
    assert found[:9] == [
        Change(at, OPERATIONS[at % 3], "network", f"id{at}") for at in range(2, 11)
    ]
    assert found[9] == Gap("compacted", 10)
    assert [one.revision for one in found[10:] if isinstance(one, Change)] == [13, 14, 15]


async def test_restored_database_is_told_of_and_followed_further() -> None:
    table = Table()
    table.write(10)
    async with Watch(table, None, None) as watch:
        table.rows, table.revision = [], 3
        table.feed.wake()
        assert await seen(watch, 1) == [Gap("recreated", 10)]
        table.write(1)
        (change,) = await seen(watch, 1)
    assert isinstance(change, Change)
    assert change.revision == 4


async def test_since() -> None:
    table = Table()
    table.write(10)
    table.prune(4)
    async with Watch(table, None, 4) as watch:
        found = await seen(watch, 6)
    assert [one.revision for one in found if isinstance(one, Change)] == [5, 6, 7, 8, 9, 10]
    with pytest.raises(CompactedError) as caught:
        async with Watch(table, None, 3):
            pass
    assert caught.value.oldest == 4
    with pytest.raises(InvalidRequestError):
        async with Watch(table, None, 11):
            pass


async def test_who_waits_is_woken_and_who_is_cancelled_waits_no_more() -> None:
    feed = Feed()
    waiting = [asyncio.create_task(feed.news_after(feed.count)) for _ in range(3)]
    somebody = asyncio.create_task(feed.awaited())
    await asyncio.sleep(0.01)
    assert somebody.done()
    waiting[0].cancel()
    await asyncio.sleep(0.01)
    feed.wake()
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 1)
    nobody = asyncio.create_task(feed.awaited())
    await asyncio.sleep(0.01)
    assert not nobody.done()
    nobody.cancel()
    await feed.news_after(feed.count - 1)
