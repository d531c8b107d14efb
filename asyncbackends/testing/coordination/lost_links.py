"""Links that are cut, and events that are lost on the way: for suites that can provoke it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.coordination.feeds import Feed, Replay, events_of, replay_until
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    FaultFixtures,
    OpenCoordination,
    SessionFaults,
)
from asyncbackends.testing.harness import Harness

__all__ = ("LostLinksConformance",)


async def _take_one_gap(harness: Harness, feed: Feed, wanted: dict[str, bytes]) -> None:
    """Take one Gap and what is there after it, and nothing else."""
    found = await harness.collect(feed, 1 + len(wanted))
    assert isinstance(found[0], Gap)
    assert found[0].reason == "reconnect"
    replay = Replay()
    for event in found[1:]:
        assert isinstance(event, NodeEvent)
        assert event.kind == "created"
        assert event.value in {None, wanted[event.path]}
        replay.take(event)
    assert replay.values.keys() == wanted.keys()


class LostLinksConformance(FaultFixtures):
    """What waits for the link, what ends without it, and Gaps."""

    async def test_calls_wait_for_the_link(
        self, coordination: Coordination, faults: SessionFaults, root: str, harness: Harness
    ) -> None:
        session = coordination.session
        seen: list[ConnectionState] = []

        async def see(states: AsyncIterator[ConnectionStatus], last: ConnectionState) -> None:
            while last not in seen[-1:]:
                seen.extend(status.state for status in await harness.collect(states, 1))

        async with coordination.states() as states:
            await see(states, ConnectionState.CONNECTED)
            faults.drop_connection()
            calls = harness.gather(
                coordination.create_node(f"{root}/a", b"1", ephemeral=True),
                coordination.create_node(f"{root}/b", b"1"),
            )
            async with harness.background(calls) as waiting:
                await see(states, ConnectionState.DISCONNECTED)
                assert session.state is SessionState.SUSPENDED
                await harness.sleep(0.05)
                faults.restore_connection()
                async with harness.deadline(5):
                    first, _ = await waiting.result()
            assert first.ephemeral_owner == session.id
            await see(states, ConnectionState.CONNECTED)
        assert await coordination.get_children(root) == ["a", "b"]
        assert coordination.session is session

    async def test_calls_do_not_wait_for_ever(
        self,
        open_coordination: OpenCoordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(operation_timeout=2) as client:
            await client.create_node(root, b"1")
            ticket = await client.contend(f"{root}/queue")
            faults.drop_connection()
            calls: list[Any] = [
                client.create_node(f"{root}/a"),
                client.create_node(f"{root}/b", ephemeral=True),
                client.update_node(root, b"2"),
                client.delete_node(root, recursive=True),
                client.transaction().update(root, b"2").commit(),
                client.contend(f"{root}/queue"),
                client.read_node(root),
                client.contenders(f"{root}/queue"),
            ]
            for _, error in await harness.outcomes(*calls):
                assert isinstance(error, ConnectionLostError)
                assert not error.maybe_applied
            faults.restore_connection()
            assert await client.get_children(root) == ["queue"]
            assert await client.read_node(root) == b"1"
            assert await client.contenders(f"{root}/queue") == [ticket]

    async def test_withdrawing_without_a_link_says_what_becomes_of_the_entry(
        self,
        open_coordination: OpenCoordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        # A service may go on behind the caller's back: then it must not say that nothing is done.
        async with open_coordination(operation_timeout=2) as client:
            ticket = await client.contend(f"{root}/queue")
            faults.drop_connection()
            [(_, error)] = await harness.outcomes(client.withdraw(ticket))
            assert isinstance(error, ConnectionLostError)
            faults.restore_connection()
            if error.maybe_applied:
                async with harness.deadline(5):
                    while await client.contenders(f"{root}/queue"):
                        await harness.sleep(0.02)
            else:
                await harness.sleep(0.5)
                assert await client.contenders(f"{root}/queue") == [ticket]

    async def test_shutdown_ends_while_the_link_is_down(
        self,
        open_coordination: OpenCoordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with harness.deadline(8), open_coordination() as client:
            await client.create_node(root)
            faults.drop_connection()

    async def test_lost_link_is_one_gap(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        values = {f"{root}/{name}": name.encode() for name in ("a", "b/c", "d")}
        for path, value in values.items():
            await coordination.create_node(path, value)
        values |= {root: b"", f"{root}/b": b""}
        async with (
            coordination.watch(root, scope="tree") as tree,
            coordination.watch(f"{root}/a") as node,
            coordination.watch(root, scope="children") as children,
            coordination.watch(f"{root}-no") as nothing,
        ):
            faults.drop_connection()
            await harness.sleep(0.02)
            faults.restore_connection()
            # One Gap, then what is there, then what happens.
            await _take_one_gap(harness, tree, values)
            await _take_one_gap(harness, node, {f"{root}/a": b"a"})
            direct = {path: values[path] for path in values if path.count("/") == 2}
            await _take_one_gap(harness, children, direct)
            await _take_one_gap(harness, nothing, {})
            await other.update_node(f"{root}/a", b"x")
            await other.create_node(f"{root}-no")
            for feed, path in ((tree, f"{root}/a"), (node, f"{root}/a"), (nothing, f"{root}-no")):
                assert [event.path for event in await events_of(harness, feed, 1)] == [path]

    async def test_events_before_a_lost_link_are_not_lost(
        self, coordination: Coordination, faults: SessionFaults, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(root, scope="children") as feed:
            await coordination.create_node(f"{root}/a")
            await coordination.create_node(f"{root}/b")
            await coordination.delete_node(f"{root}/a")
            faults.drop_connection()
            faults.restore_connection()
            await coordination.create_node(f"{root}/c")
            replay = Replay()
            await replay_until(harness, feed, replay, {f"{root}/b": b"", f"{root}/c": b""})
            assert replay.gaps <= 1

    async def test_watch_may_be_left_while_it_is_begun_again(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        session = coordination.session
        for number in range(30):
            async with coordination.watch(root, scope="tree") as feed:
                faults.drop_events(1)
                await other.create_node(f"{root}/{number}")
                async with harness.background(harness.collect(feed, 2)):
                    # So it is left at every step of that.
                    await harness.sleep(number * 0.0003)
            faults.clear()
        assert await coordination.get_children(root) != []
        assert coordination.session is session

    @pytest.mark.parametrize("lost", [1, 3])
    async def test_lost_events_are_told_by_one_gap(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
        lost: int,
    ) -> None:
        async with (
            open_coordination(session_ttl=2) as client,
            client.watch(root, scope="children") as feed,
        ):
            await other.create_node(f"{root}/before")
            await events_of(harness, feed, 1)
            # The parent was no event of this watch; what is lost may be an event of any watch.
            faults.drop_events(lost)
            for number in range(3):
                await other.create_node(f"{root}/{number}")
            while not isinstance((await harness.collect(feed, 1))[0], Gap):
                pass
            replay = Replay()
            wanted = {f"{root}/{name}": b"" for name in ("before", "0", "1", "2")}
            await replay_until(harness, feed, replay, wanted)
            assert replay.gaps == 0
            # A watch may have followed again only when it was read: not all was lost by then.
            faults.clear()
            await other.create_node(f"{root}/after")
            (event,) = await events_of(harness, feed, 1)
            assert (event.kind, event.path) == ("created", f"{root}/after")
