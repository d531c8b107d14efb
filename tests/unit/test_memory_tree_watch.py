"""Watches of the memory engine: what is missed is one Gap, exactly, and then what is there."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from asyncbackends import (
    DistributedCoordinationService,
    ManualClock,
    NodeEvent,
    SessionState,
    SystemClock,
    open_coordination,
)
from asyncbackends.errors import ConnectionLostError, InvalidRequestError
from asyncbackends.opening import Opener
from asyncbackends.protocols.nodes import WatchScope
from asyncbackends_memory import CoordinationFaults, coordination_faults
from tests.unit.watched import given

NAME = "watched tree"
CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST


@pytest.fixture
def switchboard() -> Generator[CoordinationFaults]:
    faults = coordination_faults(NAME)
    yield faults
    faults.clear()
    faults.clock, faults.max_pending = SystemClock(), 10_000


@pytest.fixture
def clock(switchboard: CoordinationFaults) -> ManualClock:
    switchboard.clock = clock = ManualClock()
    return clock


def opened(**options: Any) -> Opener[DistributedCoordinationService]:
    return open_coordination(engine="memory", endpoints=NAME, **options)


async def test_begins_in_the_tick_in_which_it_is_entered() -> None:
    async with opened() as tree, opened() as other:
        await tree.create_node("/a/b", "1")
        before = asyncio.ensure_future(other.update_node("/a/b", "2"))
        async with (
            tree.watch("/a", scope="tree") as events,
            tree.watch("/a", scope="tree", initial=True) as initial,
        ):
            after = asyncio.ensure_future(other.update_node("/a/b", "3"))
            await asyncio.wait({before, after})
            # Each has what was there at its own entering, then every later change.
            assert (await given(events))[-1] == "updated /a/b 4"
            first, second = await anext(initial), await anext(initial)
            assert isinstance(first, NodeEvent)
            assert isinstance(second, NodeEvent)
            assert (first.path, second.path, second.value) == ("/a", "/a/b", b"2")
            assert second.stat is not None
            assert (second.revision, second.stat.modified_revision) == (2, 3)
            assert await given(initial) == ["updated /a/b 4"]


async def test_scopes() -> None:
    async with (
        opened() as tree,
        tree.watch("/a/b") as node,
        tree.watch("/a", scope="children") as children,
        tree.watch("/a", scope="tree") as below,
        tree.watch("/", scope="children") as top,
        tree.watch("/", scope="tree") as everything,
        tree.watch("/a/bb", scope="tree") as beside,
    ):
        await tree.create_node("/a/b/c")
        assert await given(below) == ["created /a 1", "created /a/b 2", "created /a/b/c 3"]
        assert await given(everything) == [
            "created /a 1",
            "created /a/b 2",
            "created /a/b/c 3",
        ]
        await tree.update_node("/a/b", "v")
        await tree.delete_node("/a", recursive=True)
        assert await given(node) == ["created /a/b 2", "deleted /a/b 6"]
        assert await given(children) == ["created /a/b 2", "deleted /a/b 6"]
        gone = ["deleted /a/b/c 5", "deleted /a/b 6", "deleted /a 7"]
        assert await given(below) == gone
        assert await given(everything) == gone
        assert await given(top) == ["created /a 1", "deleted /a 7"]
        assert await given(beside) == []


async def test_the_root_is_never_an_event() -> None:
    async with opened() as tree:
        await tree.create_node("/a")
        expected: dict[WatchScope, list[str]] = {"node": [], "children": ["/a"], "tree": ["/a"]}
        for scope, paths in expected.items():
            async with tree.watch("/", scope=scope, initial=True) as events:
                assert await given(events) == [f"created {path} 1" for path in paths]


async def test_since_goes_on_from_the_history_while_it_is_kept() -> None:
    async with opened(watch_history=3) as tree:
        for number in range(1, 6):
            await tree.create_node(f"/n{number}")
        async with tree.watch("/", scope="tree", since=2) as events:
            assert await given(events) == ["created /n3 3", "created /n4 4", "created /n5 5"]
        async with tree.watch("/", scope="tree", since=1) as events:
            everything = [f"created /n{number} {number}" for number in range(1, 6)]
            assert await given(events) == ["gap compacted 1", *everything]
            await tree.delete_node("/n1")
            assert await given(events) == ["deleted /n1 6"]
        async with tree.watch("/", scope="tree", since=6) as events:
            assert await given(events) == []
        with pytest.raises(InvalidRequestError, match="ahead of the service"):
            await tree.watch("/", since=7).__aenter__()
        for since in (-1, True, "6"):
            with pytest.raises(InvalidRequestError):
                tree.watch("/", since=since)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(InvalidRequestError, match="since or initial"):
            tree.watch("/", since=1, initial=True)


async def test_the_history_is_as_long_as_the_most_that_an_opener_asked_for() -> None:
    async with opened(watch_history=3) as tree, opened(watch_history=5):
        for number in range(1, 8):
            await tree.create_node(f"/n{number}")
        async with tree.watch("/", scope="children", since=2) as events:
            assert len(await given(events)) == 5


async def test_too_many_pending_paths_are_a_gap_and_what_is_there(
    switchboard: CoordinationFaults,
) -> None:
    switchboard.max_pending = 3
    async with opened() as tree, tree.watch("/", scope="tree") as events:
        await tree.create_node("/n1")
        assert await given(events) == ["created /n1 1"]
        for number in range(2, 5):
            await tree.create_node(f"/n{number}")
            await tree.update_node(f"/n{number}", "v")
        await tree.create_node("/n5")
        await tree.delete_node("/n2")
        # All that was pending is covered by what is there.
        assert await given(events) == [
            "gap overflow 1",
            "created /n1 1",
            "created /n3 4",
            "created /n4 6",
            "created /n5 8",
        ]
        await tree.create_node("/n6")
        assert await given(events) == ["created /n6 10"]


# What is missed


async def test_a_lost_event_is_a_gap_that_says_since_when(switchboard: CoordinationFaults) -> None:
    async with (
        opened() as tree,
        tree.watch("/", scope="tree") as events,
        tree.watch("/elsewhere") as beside,
    ):
        await tree.create_node("/a")
        switchboard.drop_events(1)
        await tree.create_node("/b")
        await tree.create_node("/c")
        assert await given(events) == [
            "created /a 1",
            "gap reconnect 1",
            "created /a 1",
            "created /b 2",
            "created /c 3",
        ]
        await tree.delete_node("/c")
        assert await given(events) == ["deleted /c 4"]
        assert await given(beside) == []


async def test_a_link_that_was_lost_is_one_gap(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree, tree.watch("/", scope="tree") as events:
        await tree.create_node("/a")
        switchboard.drop_connection()
        assert await given(events) == ["created /a 1"]
        await clock.advance(1)
        assert await given(events) == []
        switchboard.restore_connection()
        switchboard.drop_connection()
        switchboard.restore_connection()
        await clock.advance(0)
        assert await given(events) == ["gap reconnect 1", "created /a 1"]
        await clock.advance(20)
        assert await given(events) == []
        await tree.create_node("/b")
        assert await given(events) == ["created /b 2"]


async def test_a_link_and_a_session_that_were_lost_are_one_gap(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        session = tree.session
        async with tree.watch("/", scope="tree") as events:
            await tree.create_node("/a/e", ephemeral=True)
            await tree.create_node("/b")
            assert len(await given(events)) == 3
            switchboard.drop_connection()
            await clock.advance(60)
            assert session.state is LOST
            assert await given(events) == []
            switchboard.restore_connection()
            await clock.advance(0)
            assert await given(events) == ["gap reconnect 3", "created /a 1", "created /b 3"]
            await clock.advance(20)
            assert await given(events) == []
            assert tree.session.id != session.id


async def test_a_session_that_was_lost_is_one_gap_and_no_harm_to_others(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with (
        opened() as tree,
        opened() as other,
        tree.watch("/", scope="children") as events,
        other.watch("/", scope="children") as others,
    ):
        await tree.create_node("/e", ephemeral=True)
        switchboard.expire_session(tree.session.id)
        await clock.advance(5)
        assert await given(others) == ["created /e 1", "deleted /e 2"]
        assert await given(events) == ["created /e 1", "deleted /e 2", "gap reconnect 2"]
        await clock.advance(20)
        assert await given(events) == []


async def test_renewals_that_are_not_answered_lose_no_event(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree, tree.watch("/", scope="children") as events:
        switchboard.freeze_renewals()
        await clock.advance(5)
        assert tree.session.state is SUSPENDED
        await tree.create_node("/a")
        switchboard.thaw_renewals()
        await clock.advance(0)
        assert tree.session.state is CONNECTED
        assert await given(events) == ["created /a 1"]


async def test_a_watch_that_begins_while_there_is_no_session_misses_nothing(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        switchboard.fail_next(ConnectionLostError("gone"), "open_session", times=3)
        switchboard.expire_session()
        assert await tree.exists("/a") is None
        assert tree.session.state is LOST
        async with tree.watch("/", scope="children") as events:
            await tree.create_node("/a")
            await clock.advance(5)
            assert tree.session.state is CONNECTED
            assert await given(events) == ["created /a 1"]


# Iterating


async def test_a_cancelled_wait_loses_no_event() -> None:
    async with opened() as tree, tree.watch("/", scope="tree") as events:
        expected: list[str] = []
        taken: list[str] = []
        for number in range(1, 60):
            waiting = asyncio.ensure_future(anext(events))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            await tree.create_node(f"/n{number}")
            for _ in range(number % 3):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            if not waiting.cancelled():
                event = waiting.result()
                assert isinstance(event, NodeEvent)
                taken.append(f"{event.kind} {event.path} {event.revision}")
            expected.append(f"created /n{number} {number}")
        assert taken + await given(events) == expected
        assert 0 < len(taken) < 60


async def test_a_watch_is_entered_once_and_ends_with_its_block() -> None:
    async with opened() as tree:
        watch = tree.watch("/a")
        with pytest.raises(InvalidRequestError, match="async with"):
            await anext(watch)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue] that is the point
        async with watch as events:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            with pytest.raises(InvalidRequestError, match="entered once"):
                await watch.__aenter__()
        with pytest.raises(StopAsyncIteration):
            await waiting
        assert [event async for event in events] == []
        with pytest.raises(InvalidRequestError, match="scope"):
            tree.watch("/a", scope="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] that is the point
