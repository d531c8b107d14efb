"""The recipe Group, on the memory engine and a clock turned by hand."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asyncbackends.errors import (
    AccessDeniedError,
    ConnectionLostError,
    InvalidRequestError,
    NodeExistsError,
    SessionLostError,
)
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import Group, MemberEvent
from asyncbackends.testing.harness import AsyncioHarness, Cancelling
from tests.unit.coordinating import TTL, Tree, settled

PATH = "/agents"


@pytest.fixture
async def tree() -> AsyncGenerator[Tree]:
    async with Tree() as tree:
        yield tree


@pytest.fixture
async def client(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


@pytest.fixture
async def other(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


async def told(events: AsyncIterator[MemberEvent | Gap]) -> MemberEvent | Gap:
    async with asyncio.timeout(5):
        return await anext(events)


async def members_become(group: Group, expected: dict[str, Any]) -> None:
    async def met() -> bool:
        return await group.members() == expected

    assert await AsyncioHarness(5).eventually(met), await group.members()


async def test_members_and_their_capabilities(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group, seen_by_other = Group(client, PATH), Group(other, PATH)
    assert await seen_by_other.members() == {}
    async with group.join("b", {"devices": [1, 2], "zone": {"name": "north"}}) as membership:
        assert membership.member == "b"
        assert membership.capabilities == {"devices": [1, 2], "zone": {"name": "north"}}
        async with seen_by_other.join("a"):
            members = await group.members()
            assert members == {"a": {}, "b": membership.capabilities}
            assert list(members) == ["a", "b"]
            await membership.update({"devices": []})
            assert membership.capabilities == {"devices": []}
            assert await seen_by_other.capabilities_of("b") == {"devices": []}
        assert list(await group.members()) == ["b"]
    assert await group.members() == {}
    assert await group.capabilities_of("b") is None


async def test_more_members_than_are_read_at_once(client: DistributedCoordinationService) -> None:
    group = Group(client, "/")
    expected = {f"m{number:02}": {"n": number} for number in range(40)}
    async with AsyncExitStack() as stack:
        for member, capabilities in expected.items():
            await stack.enter_async_context(group.join(member, capabilities))
        assert await group.members() == expected


async def test_error_of_a_read_is_raised_as_it_is(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)
    async with group.join("a"), group.join("b"):
        tree.faults.fail_next(AccessDeniedError("no"), "read_node")
        with pytest.raises(AccessDeniedError):
            await group.members()


async def test_watch_tells_who_joins_changes_and_leaves(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)
    async with group.join("a", {"n": 1}) as a, Group(other, PATH).watch() as events:
        async with group.join("b"):
            assert await told(events) == MemberEvent("joined", "b", {})
            await a.update({"n": 2})
            assert await told(events) == MemberEvent("updated", "a", {"n": 2})
        assert await told(events) == MemberEvent("left", "b")
        await client.create_node(f"{PATH}/lasting/below")
        assert await told(events) == MemberEvent("joined", "lasting", {})
        assert await AsyncioHarness().quiet(events, 0.05)


async def test_watch_begins_with_who_is_there(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)
    async with (
        group.join("a", {"n": 1}),
        group.join("b"),
        Group(other, PATH).watch(initial=True) as events,
    ):
        present = [await told(events), await told(events)]
        assert present == [MemberEvent("joined", "a", {"n": 1}), MemberEvent("joined", "b")]


async def test_watch_tells_of_a_gap_and_who_is_there_then(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)
    async with group.join("a"), Group(other, PATH).watch() as events:
        tree.faults.drop_events(100)
        async with group.join("b"):
            await tree.clock.advance(TTL / 3)
            assert isinstance(await told(events), Gap)
            there = [await told(events), await told(events)]
            assert there == [MemberEvent("joined", "a"), MemberEvent("joined", "b")]


class Valueless:
    """A client of a service whose events carry no value."""

    def __init__(self, client: DistributedCoordinationService) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def watch(self, *args: Any, **kwargs: Any) -> Any:
        return _ValuelessWatch(self._client.watch(*args, **kwargs))


class _ValuelessWatch:
    def __init__(self, watch: Any) -> None:
        self._watch = watch

    async def __aenter__(self) -> Any:
        self._events = await self._watch.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._watch.__aexit__(*raised)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        event = await anext(self._events)
        return event if isinstance(event, Gap) else type(event)(event.kind, event.path)


async def test_values_are_read_where_events_carry_none(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    valueless: Any = Valueless(other)
    harness = AsyncioHarness()
    async with Group(valueless, PATH).watch() as events:
        async with Group(client, PATH).join("a", {"n": 1}):
            found: list[MemberEvent | Gap] = []

            async def look() -> None:
                found.append(await anext(events))

            for suspension in range(1, 20):
                if not found:
                    await harness.cancel_at(look(), suspension)
            assert found == [MemberEvent("joined", "a", {"n": 1})]
        # It came and went before anybody looked.
        async with Group(client, PATH).join("b"):
            pass
        assert await told(events) == MemberEvent("left", "a")
        assert await told(events) == MemberEvent("left", "b")


@pytest.mark.parametrize("member", ["", "a/b", "..", 7])
async def test_member_is_named_by_a_segment(
    client: DistributedCoordinationService, member: Any
) -> None:
    with pytest.raises(InvalidRequestError):
        async with Group(client, PATH).join(member):
            pass


@pytest.mark.parametrize("capabilities", [[1], {"a": {1}}, {1: 2}, {"a": float("nan")}])
async def test_capabilities_are_json(
    client: DistributedCoordinationService, capabilities: Any
) -> None:
    group = Group(client, PATH)
    with pytest.raises(InvalidRequestError, match="capabilities"):
        group.join("a", capabilities)
    async with group.join("a", {"n": 1}) as membership:
        with pytest.raises(InvalidRequestError, match="capabilities"):
            await membership.update(capabilities)
        assert await group.members() == {"a": {"n": 1}}


async def test_name_of_another_is_refused_and_left_alone(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Group(client, PATH).join("a", {"n": 1}):
        for same in (client, other):
            with pytest.raises(NodeExistsError, match="member"):
                await Group(same, PATH).join("a", {"n": 2}).__aenter__()
        with pytest.raises(NodeExistsError, match="member"):
            await Group(other, PATH).join("a", timeout=0.05).__aenter__()
        assert await Group(other, PATH).members() == {"a": {"n": 1}}


async def test_name_is_waited_for(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)

    async def take_over() -> None:
        async with Group(other, PATH).join("a", {"n": 2}, timeout=5):
            assert await group.members() == {"a": {"n": 2}}

    async with group.join("a", {"n": 1}):
        waiting = asyncio.create_task(take_over())
        await settled()
        assert not waiting.done()
    await waiting


async def test_block_joins_once(client: DistributedCoordinationService) -> None:
    block = Group(client, PATH).join("a")
    async with block:
        pass
    with pytest.raises(InvalidRequestError, match="once"):
        await block.__aenter__()


async def test_member_comes_back_with_its_newest_capabilities(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(other, PATH)
    async with Group(client, PATH).join("a", {"n": 1}) as membership:
        for number in (2, 3):
            await membership.update({"n": number})
            before = client.session
            await tree.lose_session(client)
            await members_become(group, {"a": {"n": number}})
            stat = await other.exists(f"{PATH}/a")
            assert stat is not None
            assert stat.ephemeral_owner == client.session.id != before.id
    assert await group.members() == {}


async def test_member_waits_for_its_name_when_it_comes_back(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(other, PATH)
    async with Group(client, PATH).join("a", {"n": 1}) as membership:
        tree.faults.expire_session(client.session.id)
        async with group.join("a", {"n": 2}):
            with pytest.raises(NodeExistsError):
                await membership.update({"n": 3})
            await tree.clock.advance(TTL / 3 + 0.1)
            await settled()
            assert await group.members() == {"a": {"n": 2}}
        await members_become(group, {"a": {"n": 3}})


async def test_update_brings_a_member_back_that_was_removed(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    group = Group(client, PATH)
    async with group.join("a", {"n": 1}) as membership:
        await other.delete_node(f"{PATH}/a")
        await membership.update({"n": 2})
        assert await group.members() == {"a": {"n": 2}}
    async with group.join("a", {"n": 1}, rejoin=False) as membership:
        await other.delete_node(f"{PATH}/a")
        with pytest.raises(SessionLostError):
            await membership.update({"n": 2})
    assert await group.members() == {}


async def test_without_rejoin_the_body_ends_with_the_session(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    with pytest.raises(SessionLostError, match="/agents/a"):
        async with Group(client, PATH).join("a", rejoin=False):
            await tree.lose_session(client)
            await asyncio.Event().wait()
    assert await Group(client, PATH).members() == {}


async def test_member_that_cannot_come_back_ends_the_body(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    with pytest.raises(AccessDeniedError):
        async with Group(client, PATH).join("a"):
            tree.faults.fail_next(AccessDeniedError("no"), "create_node")
            await tree.lose_session(client)
            await asyncio.Event().wait()


@pytest.mark.parametrize("operation", ["create_node", "update_node", "delete_node"])
async def test_lost_reply_is_found_out(
    tree: Tree, client: DistributedCoordinationService, operation: str
) -> None:
    group = Group(client, PATH)
    tree.faults.lose_reply(operation)
    async with asyncio.timeout(5), group.join("a", {"n": 1}) as membership:
        with contextlib.suppress(ConnectionLostError):  # it may be applied, and it is
            await membership.update({"n": 2})
        assert await group.members() == {"a": {"n": 2}}
    assert await group.members() == {}


async def test_leaving_waits_for_the_link(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async def leave() -> None:
        async with Group(client, PATH).join("a"):
            tree.faults.drop_connection()

    leaving = asyncio.create_task(leave())
    await settled()
    assert not leaving.done()
    tree.faults.restore_connection()
    await leaving
    assert await Group(other, PATH).members() == {}


@pytest.mark.parametrize("how", ["task", "late", "scope"])
@pytest.mark.parametrize("timeout", [None, 5])
async def test_cancelled_at_any_await_nobody_is_left(
    client: DistributedCoordinationService,
    other: DistributedCoordinationService,
    how: Cancelling,
    timeout: float | None,
) -> None:
    harness = AsyncioHarness()

    async def use() -> None:
        async with Group(client, PATH).join("a", timeout=timeout) as membership:
            await membership.update({"n": 1})

    for suspension in range(1, 200):
        completed = await harness.cancel_at(use(), suspension, how)
        assert await Group(other, PATH).members() == {}
        if completed:
            break
    else:
        pytest.fail("it never came to its end")
    assert suspension > 4
