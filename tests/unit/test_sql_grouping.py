"""Units that wait at the same time go together, and nobody's refusal is another's."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from asyncbackends.sql.effects import Applied, Effects, NewChange
from asyncbackends.sql.grouping import LARGEST, ON_THEIR_WAY, Grouping, merged
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.server import Contended, Refused


def touching(*names: str) -> Effects:
    effects = Effects(stamp=1, revisions=len(names))
    effects.changes = [NewChange(at, 1, "t", name) for at, name in enumerate(names, 1)]
    return effects


class Server:
    """Applies units when it is told to, and counts."""

    def __init__(self) -> None:
        self.units: list[list[str]] = []
        self.revision = 0
        self.bad: set[str] = set()
        self.error: type[Exception] = Refused
        self.open = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator["Server"]:
        await asyncio.sleep(0)
        yield self

    async def apply(self, effects: Effects) -> Applied:
        names = [change.uuid for change in effects.changes]
        self.units.append(names)
        await self.open.wait()
        if self.bad & {*names}:
            raise self.error
        assert [change.offset for change in effects.changes] == [*range(1, len(names) + 1)]
        before, self.revision = self.revision, self.revision + effects.revisions
        return Applied(before, 7)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def grouping(self, seconds: float = 5.0) -> Grouping:
        return Grouping(cast("Pool", self), self.start, seconds)


def nothing() -> None:
    pass


async def started(
    grouping: Grouping, *units: Effects, sending: Callable[[], None] = nothing
) -> list[asyncio.Task[Applied]]:
    tasks = [asyncio.create_task(grouping.apply(unit, sending)) for unit in units]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_one_alone_is_sent_at_once() -> None:
    server = Server()
    server.open.set()
    assert await server.grouping().apply(touching("a"), nothing) == Applied(0, 7)
    assert server.units == [["a"]]


async def test_those_who_wait_go_together_in_their_order() -> None:
    server = Server()
    names = [f"n{number}" for number in range(20)]
    tasks = await started(server.grouping(), *(touching(name) for name in names))
    assert len(server.units) == ON_THEIR_WAY
    server.open.set()
    revisions = [(await task).before + 1 for task in tasks]
    assert sorted(revisions) == [*range(1, 21)]
    assert revisions[ON_THEIR_WAY:] == sorted(revisions[ON_THEIR_WAY:])
    assert len(server.units) == ON_THEIR_WAY + 1
    assert not server.tasks


async def test_groups_are_bounded_and_never_touch_a_row_twice() -> None:
    server = Server()
    units = [touching("same") for _ in range(4)]
    units += [touching(f"n{number}") for number in range(LARGEST + 10)]
    tasks = await started(server.grouping(), *units)
    server.open.set()
    await asyncio.gather(*tasks)
    assert max(map(len, server.units)) <= LARGEST
    assert all(len({*names}) == len(names) for names in server.units)


@pytest.mark.parametrize("error", [Refused, Contended])
async def test_refusal_is_nobody_elses(error: type[Exception]) -> None:
    server = Server()
    server.bad, server.error = {"bad"}, error
    names = ["a", "b", "c", "bad", "d"]
    sent: list[str] = []
    tasks = await started(server.grouping(), *map(touching, names))
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [name for name, one in zip(names, outcomes, strict=True) if isinstance(one, error)]
    # A deadlock is everybody's: each of the group repeats its unit.
    assert failed == (["bad"] if error is Refused else ["c", "bad", "d"])
    assert not sent


async def test_cancelled_before_it_was_sent_is_never_sent() -> None:
    server = Server()
    told: list[bool] = []
    grouping = server.grouping()
    tasks = await started(grouping, *map(touching, "abcd"), sending=lambda: told.append(True))
    assert len(told) == ON_THEIR_WAY
    tasks[2].cancel()
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes].count(asyncio.CancelledError) == 1
    assert "c" not in {name for names in server.units for name in names}
    assert len(told) == 3


async def test_cancelled_one_does_not_take_its_group_along() -> None:
    server = Server()
    tasks = await started(server.grouping(), *map(touching, "abcde"))
    server.open.set()
    await tasks[0]
    server.open.clear()
    tasks[3].cancel()
    server.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, Applied) for one in outcomes) == 4


async def test_frozen_server_does_not_hold_the_next_ones() -> None:
    server = Server()
    grouping = server.grouping(seconds=0.05)
    tasks = await started(grouping, *map(touching, "abcd"))
    for task in tasks[:ON_THEIR_WAY]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes[ON_THEIR_WAY:]] == [TimeoutError] * 2
    server.open.set()
    assert await grouping.apply(touching("late"), nothing) == Applied(0, 7)


def test_merged_units_keep_their_order() -> None:
    whole = merged([touching("a", "b"), touching("c"), touching("d")])
    assert [(one.offset, one.uuid) for one in whole.changes] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
        (4, "d"),
    ]
    assert whole.revisions == 4
