"""What a watch tells, by scope: one change at a time, each read before the next."""

from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.testing.coordination.feeds import Replay, events_of, kinds_of
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("WatchingConformance",)


class WatchingConformance(CoordinationFixtures):
    """``WatchableNodes``: scopes, order, and what an event says."""

    async def test_node_is_followed_through_its_life(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """The path need not exist; own writes and those of others are seen."""
        async with coordination.watch(root) as feed:
            seen: list[NodeEvent] = []
            created = await coordination.create_node(root, b"1")
            seen += await events_of(harness, feed, 1)
            updated = await other.update_node(root, b"2")
            seen += await events_of(harness, feed, 1)
            await coordination.delete_node(root)
            seen += await events_of(harness, feed, 1)
            again = await other.create_node(root, b"3", ephemeral=True)
            seen += await events_of(harness, feed, 1)
        assert kinds_of(seen, root) == [
            ("created", ""),
            ("updated", ""),
            ("deleted", ""),
            ("created", ""),
        ]
        for event, stat, value in (
            (seen[0], created, b"1"),
            (seen[1], updated, b"2"),
            (seen[3], again, b"3"),
        ):
            assert event.stat in {None, stat}
            assert event.value in {None, value}
            assert event.revision in {None, stat.modified_revision}
        assert (seen[2].stat, seen[2].value) == (None, None)
        told = [event.revision for event in seen if event.revision is not None]
        assert told == sorted(told)

    async def test_scope_node_is_the_node_alone(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(f"{root}/a", scope="node") as feed:
            await coordination.create_node(f"{root}/a")
            assert kinds_of(await events_of(harness, feed, 1), root) == [("created", "/a")]
            for path in ("/a/b", "/a/b/c", "/ab", "/b", "/a b"):
                await coordination.create_node(f"{root}{path}", make_parents=False)
                await coordination.update_node(f"{root}{path}", b"x")
            await coordination.update_node(root, b"x")
            await coordination.delete_node(f"{root}/a/b", recursive=True)
            await coordination.update_node(f"{root}/a", b"last")
            assert kinds_of(await events_of(harness, feed, 1), root) == [("updated", "/a")]

    async def test_scope_children_is_their_coming_and_going(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(f"{root}/a", scope="children") as feed:
            await other.create_node(f"{root}/a/1")
            seen = await events_of(harness, feed, 1)
            for beside in ("/ab", "/b", "/a/1/x", "/a/1/x/y"):
                await other.create_node(f"{root}{beside}")
            for changed in ("/a", "/a/1", "/a/1/x"):
                await other.update_node(f"{root}{changed}", b"x")
            await other.create_node(f"{root}/a/2/deep", b"x")
            seen += await events_of(harness, feed, 1)
            await other.delete_node(f"{root}/a/1/x", recursive=True)
            await other.delete_node(f"{root}/a/1")
            seen += await events_of(harness, feed, 1)
            await other.delete_node(f"{root}/a", recursive=True)
            seen += await events_of(harness, feed, 1)
            await other.create_node(f"{root}/a/3")
            seen += await events_of(harness, feed, 1)
        assert kinds_of(seen, root) == [
            ("created", "/a/1"),
            ("created", "/a/2"),
            ("deleted", "/a/1"),
            ("deleted", "/a/2"),
            ("created", "/a/3"),
        ]

    async def test_scope_tree_is_the_node_and_all_below(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(f"{root}/a", scope="tree") as feed:
            seen: list[NodeEvent] = []
            for beside in ("/ab", "/b/a", "/a "):
                await other.create_node(f"{root}{beside}")
            await other.create_node(f"{root}/a/1/x", b"x")
            seen += await events_of(harness, feed, 3)
            await other.update_node(f"{root}/a/1/x", b"y")
            seen += await events_of(harness, feed, 1)
            await other.update_node(f"{root}/a", b"y")
            seen += await events_of(harness, feed, 1)
            await other.delete_node(f"{root}/ab")
            await other.delete_node(f"{root}/a", recursive=True)
            seen += await events_of(harness, feed, 3)
        assert kinds_of(seen, root) == [
            ("created", "/a"),
            ("created", "/a/1"),
            ("created", "/a/1/x"),
            ("updated", "/a/1/x"),
            ("updated", "/a"),
            ("deleted", "/a/1/x"),
            ("deleted", "/a/1"),
            ("deleted", "/a"),
        ]

    async def test_recursive_delete_is_told_children_first(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        paths = [root, *(f"{root}/a{n}" for n in range(3))]
        paths += [f"{root}/a{n}/b{m}" for n in range(3) for m in range(3)]
        for path in paths:
            await coordination.create_node(path)
        replay = Replay(paths, top=root)
        async with (
            coordination.watch(root, scope="tree") as feed,
            coordination.watch(f"{root}/a1", scope="node") as one,
        ):
            await coordination.delete_node(root, recursive=True)
            for event in await events_of(harness, feed, len(paths)):
                replay.take(event)
            assert replay.values == {}
            assert kinds_of(await events_of(harness, one, 1), root) == [("deleted", "/a1")]

    async def test_nothing_else_is_an_event(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Reads, refused writes, other sessions and other watches."""
        stat = await coordination.create_node(f"{root}/a", b"1")
        async with (
            coordination.watch(root, scope="tree") as feed,
            other.watch(root, scope="tree"),
        ):
            await other.get_node(f"{root}/a")
            await other.get_children(root)
            await other.contenders(root)
            await harness.outcomes(
                other.create_node(f"{root}/a"),
                other.update_node(f"{root}/a", b"2", expected_version=stat.version + 1),
            )
            await other.server_info()
            await other.create_node(f"{root}-beside/a")
            assert await harness.quiet(feed, 0.1)

    async def test_contenders_are_nodes(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(root)
        async with coordination.watch(root, scope="children") as feed:
            ticket = await other.contend(root, b"who")
            came = await events_of(harness, feed, 1)
            await other.withdraw(ticket)
            gone = await events_of(harness, feed, 1)
        assert [(event.kind, event.path) for event in [*came, *gone]] == [
            ("created", ticket.path),
            ("deleted", ticket.path),
        ]
        assert came[0].value in {None, b"who"}

    async def test_begins_where_the_block_is_entered(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(f"{root}/before")
        watch = coordination.watch(root, scope="children")
        await coordination.create_node(f"{root}/between")
        async with watch as feed:
            await coordination.create_node(f"{root}/after")
            assert kinds_of(await events_of(harness, feed, 1), root) == [("created", "/after")]

    async def test_waits_for_events(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with (
            coordination.watch(root) as feed,
            harness.background(events_of(harness, feed, 1)) as waiting,
        ):
            await harness.sleep(0.05)
            await other.create_node(root)
            (event,) = await waiting.result()
        assert event.kind == "created"

    async def test_waiting_can_be_cancelled_and_resumed(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(root, scope="children") as feed:
            for number in range(5):
                assert await harness.quiet(feed, 0.01)
                await coordination.create_node(f"{root}/{number}")
                (event,) = await events_of(harness, feed, 1)
                assert event.path == f"{root}/{number}"

    async def test_cancelled_waits_lose_nothing(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Whoever is cancelled while an event arrives leaves it to the next."""
        async with coordination.watch(root, scope="children") as feed:
            seen: list[str] = []

            async def take() -> None:
                event = await anext(feed)
                assert isinstance(event, NodeEvent)
                seen.append(event.path)

            for number in range(30):
                at = 1 + number % 4
                async with harness.background(harness.cancel_at(take(), at, "late")) as taking:
                    await other.create_node(f"{root}/{number:02}")
                    await harness.outcomes(taking.result())
            while len(seen) < 30:
                seen += [event.path for event in await events_of(harness, feed, 1)]
            assert seen == [f"{root}/{number:02}" for number in range(30)]

    async def test_several_watches_are_independent(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with (
            coordination.watch(root, scope="children") as first,
            coordination.watch(root, scope="children") as second,
            other.watch(root, scope="tree") as third,
        ):
            for number in range(5):
                await coordination.create_node(f"{root}/{number}")
                await events_of(harness, first, 1)
            paths = [f"{root}/{number}" for number in range(5)]
            assert [event.path for event in await events_of(harness, second, 5)] == paths
            assert [event.path for event in await events_of(harness, third, 6)] == [root, *paths]

    async def test_hundred_watches(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async def follow(number: int) -> list[NodeEvent]:
            scope: Any = ("node", "children", "tree")[number % 3]
            path = root if scope == "children" else f"{root}/{number % 10}"
            async with (coordination, other)[number % 2].watch(path, scope=scope) as feed:
                begun.append(number)
                return await events_of(harness, feed, 1)

        begun: list[int] = []

        async def all_begun() -> bool:
            return len(begun) == 100

        watches = harness.gather(*(follow(number) for number in range(100)))
        async with harness.background(watches) as watching:
            assert await harness.eventually(all_begun)
            for number in range(10):
                await coordination.create_node(f"{root}/{number}")
            for number, (event,) in enumerate(await watching.result()):
                assert event.kind == "created"
                assert number % 3 == 1 or event.path == f"{root}/{number % 10}"

    @pytest.mark.parametrize("scope", ["nodes", "", None, 1])
    async def test_unknown_scope_is_refused(
        self, coordination: Coordination, root: str, scope: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            async with coordination.watch(root, scope=scope):
                pass

    async def test_leaving_the_block_ends_it(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        before = harness.running()
        for number in range(5):
            async with coordination.watch(root, scope="tree") as feed:
                await coordination.create_node(f"{root}/{number}")
                await harness.collect(feed, 1)
            assert [event async for event in feed] == []
        assert harness.running() == before
