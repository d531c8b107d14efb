"""Where a watch begins: with what is there, or after a revision."""

from collections.abc import Mapping
from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.coordination.feeds import Feed, Replay, events_of, kinds_of, replay_until
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("WatchBeginningsConformance",)


async def _sample_tree(coordination: Coordination, root: str) -> dict[str, bytes]:
    """Make a tree, parents not in the order of their names."""
    values = {
        root: b"top",
        f"{root}/z": b"z",
        f"{root}/z/a": b"z/a",
        f"{root}/a": b"a",
        f"{root}/a/z": b"a/z",
        f"{root}/a/z/a": b"a/z/a",
    }
    for path, value in values.items():
        await coordination.create_node(path, b"first")
        await coordination.update_node(path, value)
    # A parent that changed after its children.
    await coordination.update_node(f"{root}/z", values[f"{root}/z"])
    return values


async def _names_below(coordination: Coordination, root: str) -> list[str]:
    """Give the children, none where there is no node."""
    if await coordination.exists(root) is None:
        return []
    return await coordination.get_children(root)


async def _caught_up(
    harness: Harness, feed: Feed, replay: Replay, wanted: Mapping[str, bytes]
) -> None:
    """Believe a resumed watch: the events after its revision, or a Gap and what is there."""
    taken = await replay_until(harness, feed, replay, wanted)
    gaps = [event for event in taken if isinstance(event, Gap)]
    assert gaps == taken[: len(gaps)], "a Gap comes before the events"
    assert [gap.reason for gap in gaps] in ([], ["compacted"])
    if gaps:
        kinds = {event.kind for event in taken if isinstance(event, NodeEvent)}
        assert kinds == {"created"}


class WatchBeginningsConformance(CoordinationFixtures):
    """``initial`` and ``since`` of ``WatchableNodes``."""

    async def test_initial_tree_comes_parents_first(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        values = await _sample_tree(coordination, root)
        await coordination.create_node(f"{root}-beside")
        replay = Replay(top=root)
        async with other.watch(root, scope="tree", initial=True) as feed:
            events = await events_of(harness, feed, len(values))
            for event in events:
                replay.take(event)
                assert event.kind == "created"
                assert event.value in {None, values[event.path]}
            assert events[0].path == root
            assert replay.values.keys() == values.keys()
            await coordination.update_node(f"{root}/a/z", b"later")
            (later,) = await events_of(harness, feed, 1)
            replay.take(later)
            assert (later.kind, later.path) == ("updated", f"{root}/a/z")
            assert await harness.quiet(feed, 0.05)

    async def test_initial_children_are_the_direct_ones(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await _sample_tree(coordination, root)
        async with coordination.watch(root, scope="children", initial=True) as feed:
            events = await events_of(harness, feed, 2)
            assert sorted(kinds_of(events, root)) == [("created", "/a"), ("created", "/z")]
            await coordination.delete_node(f"{root}/z", recursive=True)
            assert kinds_of(await events_of(harness, feed, 1), root) == [("deleted", "/z")]

    async def test_initial_node_is_the_node(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await _sample_tree(coordination, root)
        async with coordination.watch(f"{root}/a", initial=True) as feed:
            (event,) = await events_of(harness, feed, 1)
            assert (event.kind, event.path) == ("created", f"{root}/a")
            assert event.value in {None, b"a"}
            await coordination.delete_node(f"{root}/a", recursive=True)
            assert kinds_of(await events_of(harness, feed, 1), root) == [("deleted", "/a")]

    @pytest.mark.parametrize("scope", ["node", "children", "tree"])
    async def test_initial_nothing(
        self, coordination: Coordination, root: str, harness: Harness, scope: Any
    ) -> None:
        async with coordination.watch(root, scope=scope, initial=True) as feed:
            assert await harness.quiet(feed, 0.05)
        async with coordination.watch(root, scope=scope, initial=True) as feed:
            await coordination.create_node(f"{root}/a")
            (event,) = await events_of(harness, feed, 1)
            assert event.kind == "created"
            assert event.path == (f"{root}/a" if scope == "children" else root)

    async def test_without_initial_nothing_comes_first(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await _sample_tree(coordination, root)
        async with coordination.watch(root, scope="tree") as feed:
            assert await harness.quiet(feed, 0.05)
        async with coordination.watch(root, scope="tree", initial=False) as feed:
            await coordination.update_node(root, b"x")
            assert kinds_of(await events_of(harness, feed, 1), root) == [("updated", "")]

    async def test_nothing_is_lost_between_initial_and_what_follows(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Watches that begin in the middle of the writing all end with the same state."""
        wanted = {root: b"", **{f"{root}/{number:02}": b"end" for number in range(40)}}

        async def write() -> None:
            await coordination.create_node(root)
            for number in range(40):
                await coordination.create_node(f"{root}/{number:02}", b"begin")
                if number % 4 == 0:
                    await coordination.delete_node(f"{root}/{number:02}")
                    await coordination.create_node(f"{root}/{number:02}", b"end")
                else:
                    await coordination.update_node(f"{root}/{number:02}", b"end")

        async def follow(number: int) -> None:
            while len(await _names_below(coordination, root)) < number * 4:
                await harness.sleep(0)
            replay = Replay(top=root)
            async with other.watch(root, scope="tree", initial=True) as feed:
                await replay_until(harness, feed, replay, wanted)
                assert replay.gaps == 0
                assert await harness.quiet(feed, 0.05)

        await harness.gather(write(), *(follow(number) for number in range(10)))

    async def test_since_resumes_where_another_ended(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        stats = [await coordination.create_node(f"{root}/{n}", str(n)) for n in range(6)]
        wanted = {f"{root}/{n}": str(n).encode() for n in range(6)}
        since = stats[2].created_revision
        await coordination.delete_node(f"{root}/0")
        await coordination.update_node(f"{root}/1", b"1x")
        wanted |= {f"{root}/1": b"1x"}
        del wanted[f"{root}/0"]
        replay = Replay([f"{root}/{n}" for n in range(3)])
        async with coordination.watch(root, scope="children", since=since) as feed:
            await _caught_up(harness, feed, replay, wanted)
            await coordination.create_node(f"{root}/later")
            (event,) = await events_of(harness, feed, 1)
            assert (event.kind, event.path) == ("created", f"{root}/later")

    async def test_since_tells_the_tree_that_came_after_it(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        before = await coordination.create_node(f"{root}-before")
        values = await _sample_tree(coordination, root)
        replay = Replay(top=root)
        watch = coordination.watch(root, scope="tree", since=before.created_revision)
        async with watch as feed:
            await _caught_up(harness, feed, replay, values)
            await coordination.delete_node(f"{root}/a", recursive=True)
            wanted = {path: values[path] for path in values if not path.startswith(f"{root}/a")}
            await replay_until(harness, feed, replay, wanted)

    async def test_since_now_begins_now(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        stat = await coordination.create_node(root, b"1")
        replay = Replay([root])
        async with coordination.watch(root, since=stat.modified_revision) as feed:
            await coordination.update_node(root, b"2")
            for event in await harness.collect(feed, 1):
                replay.take(event)
            await replay_until(harness, feed, replay, {root: b"2"})
            assert replay.gaps <= 1

    @pytest.mark.parametrize("since", ["5", -1, 1.0, True])
    async def test_malformed_since_is_refused(
        self, coordination: Coordination, root: str, since: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            async with coordination.watch(root, since=since):
                pass

    async def test_since_ahead_is_refused(self, coordination: Coordination, root: str) -> None:
        stat = await coordination.create_node(root)
        with pytest.raises(InvalidRequestError):
            async with coordination.watch(root, since=stat.modified_revision + 1_000_000):
                pass

    async def test_since_and_initial_exclude_each_other(
        self, coordination: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(root)
        with pytest.raises(InvalidRequestError):
            async with coordination.watch(root, initial=True, since=stat.created_revision):
                pass
