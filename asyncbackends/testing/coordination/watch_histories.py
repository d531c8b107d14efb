"""A watch beside busy writers: several changes may show as one, the last state always arrives."""

from collections import Counter
from typing import Any

from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.testing.coordination.feeds import Replay, drained, events_of, replay_until
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("WatchHistoriesConformance",)


async def _values_below(coordination: Coordination, path: str) -> dict[str, bytes]:
    """Read a node and all below it."""
    found = {path: await coordination.read_node(path)}
    for name in await coordination.get_children(path):
        found |= await _values_below(coordination, f"{path}/{name}")
    return found


async def _ended(coordination: Coordination, events: list[NodeEvent], value: bytes) -> bool:
    """Say whether the last state was told of."""
    if not events or events[-1].value is None:
        # Where events carry no value the reader asks, and has the last state.
        return bool(events) and await coordination.read_node(events[-1].path) == value
    return events[-1].value == value


class WatchHistoriesConformance(CoordinationFixtures):
    """Coalescing, order and completeness of ``WatchableNodes``."""

    writers: int = 6
    writes_each: int = 40

    async def test_updates_show_as_one_or_more(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(root, b"0")
        replay = Replay([root])
        async with coordination.watch(root) as feed:
            for number in range(1, 101):
                await other.update_node(root, str(number))
            events: list[NodeEvent] = []
            while not await _ended(coordination, events, b"100"):
                events += await events_of(harness, feed, 1)
            for event in events:
                replay.take(event)
            assert 1 <= len(events) <= 100
            assert {event.kind for event in events} == {"updated"}
            assert await harness.quiet(feed, 0.05)

    async def test_going_and_coming_again_is_told(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Somebody who cares for the node of a moment ago hears that it is another one now."""
        for number in range(10):
            path = f"{root}/{number}"
            await coordination.create_node(path, b"first")
            async with (
                coordination.watch(path) as node,
                coordination.watch(root, scope="children") as children,
                coordination.watch(root, scope="tree") as tree,
            ):
                await other.delete_node(path)
                last = await other.create_node(path, b"second")
                for feed in (node, children, tree):
                    events = await events_of(harness, feed, 2)
                    assert [event.kind for event in events] == ["deleted", "created"]
                    assert events[1].value in {None, b"second"}
                    assert events[1].revision in {None, last.created_revision}

    async def test_coming_and_going_alternate(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """However often it happens unread: never twice the same, and the last one is right."""
        for times in (1, 2, 3, 8):
            for ends_present in (True, False):
                path = f"{root}/{times}-{ends_present}"
                replay = Replay()
                async with coordination.watch(path) as feed:
                    for number in range(times):
                        await other.create_node(path, f"{number}")
                        if number < times - 1 or not ends_present:
                            await other.delete_node(path)
                    wanted = {path: f"{times - 1}".encode()} if ends_present else {}
                    for event in await events_of(harness, feed, 1):
                        replay.take(event)
                    for late in await drained(harness, feed, 0.02):
                        replay.take(late)
                    assert [*replay.values] == [*wanted]
                    assert replay.values.get(path) in {None, wanted.get(path)}
                    assert replay.gaps == 0

    async def write_and_delete(
        self, clients: tuple[Coordination, ...], harness: Harness, root: str, number: int
    ) -> None:
        """Make, change and delete nodes of one's own under parents that all share."""
        for count in range(self.writes_each):
            client = clients[count % len(clients)]
            shared = f"{root}/shared-{count % 3}"
            path = f"{shared}/{number}"
            match count % 5:
                case 0:
                    call: Any = client.create_node(f"{path}/below/deep", str(count))
                case 1:
                    call = client.update_node(path, str(count))
                case 2:
                    call = client.update_node(f"{path}/below/deep", str(count))
                case 3:
                    call = client.delete_node(path, recursive=True)
                case _:
                    call = client.create_node(path, str(count), ephemeral=True)
            # Whatever is there by then: others make and delete the same parents.
            await harness.outcomes(call)
            if count % 10 == 9 and number == 0:
                await harness.outcomes(client.delete_node(shared, recursive=True))

    async def test_watchers_end_with_what_is_there(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        clients = (coordination, other)
        parent = f"{root}/shared-0"
        await coordination.create_node(root)
        async with (
            coordination.watch(root, scope="tree") as slow,
            other.watch(root, scope="tree") as eager,
            coordination.watch(parent, scope="children") as children,
        ):
            taken = Replay([root], top=root)

            async def take() -> None:
                while True:
                    taken.take(await anext(eager))

            # It is cancelled while it waits; what has not come by then comes below.
            async with harness.background(take()):
                await harness.gather(
                    *(
                        self.write_and_delete(clients, harness, root, number)
                        for number in range(self.writers)
                    )
                )
                await harness.sleep(0.05)
            # The last one to come tells that everything has come.
            await coordination.create_node(f"{parent}/end")
            await coordination.create_node(f"{root}/end")
            wanted = await _values_below(coordination, root)
            direct = {path: wanted[path] for path in wanted if path.rpartition("/")[0] == parent}
            late, beside = Replay([root], top=root), Replay()
            await replay_until(harness, eager, taken, wanted)
            await replay_until(harness, slow, late, wanted)
            told = await replay_until(harness, children, beside, dict.fromkeys(direct))
            for feed in (eager, slow, children):
                assert await harness.quiet(feed, 0.05)
        assert taken.gaps == late.gaps == beside.gaps == 0, "nothing was lost"
        assert {event.kind for event in told if isinstance(event, NodeEvent)} <= {
            "created",
            "deleted",
        }

    async def test_each_reader_of_events_sees_states_in_order(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """What is read after an event is at least as new as the event."""
        paths = [f"{root}/{number}" for number in range(5)]
        for path in paths:
            await coordination.create_node(path, b"0")
        counts: Counter[str] = Counter()

        async def write(client: Coordination) -> None:
            for number in range(1, 31):
                for path in paths:
                    await client.update_node(path, str(number))

        async def follow() -> None:
            async with coordination.watch(root, scope="tree") as feed:
                begun.append(True)
                while True:
                    for event in await events_of(harness, feed, 1):
                        stat = await coordination.exists(event.path)
                        assert stat is not None
                        assert stat.modified_revision >= (event.revision or 0)
                        assert stat.modified_revision >= counts[event.path]
                        counts[event.path] = stat.modified_revision

        begun: list[bool] = []

        async def has_begun() -> bool:
            return bool(begun)

        async with harness.background(follow()) as following:
            assert await harness.eventually(has_begun)
            await harness.gather(write(coordination), write(other))
            final = {}
            for path in paths:
                stat = await other.exists(path)
                final[path] = stat.modified_revision if stat else 0

            async def caught_up() -> bool:
                return counts == final

            assert await harness.eventually(caught_up), (counts, final)
            assert following
