"""The group: who is there, and what they can do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError, NodeExistsError
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes.group import Group, MemberEvent
from asyncbackends.testing.coordination.clean_ends import CleanEnds
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    MakeCoordination,
)
from asyncbackends.testing.harness import Cancelling, Harness
from asyncbackends.testing.recipes.in_line import FOR_EVER, MOST_SUSPENSIONS

__all__ = ("GroupConformance", "member_events")


async def member_events(
    harness: Harness, events: AsyncIterator[MemberEvent | Gap], count: int
) -> list[MemberEvent]:
    """Collect so many events; nothing was lost, so none of them is a Gap."""
    found = await harness.collect(events, count)
    told = [event for event in found if isinstance(event, MemberEvent)]
    assert told == found, f"nothing was lost, and there is a Gap: {found}"
    return told


class GroupConformance(CoordinationFixtures):
    """The recipe Group."""

    async def test_members_are_there_as_long_as_their_blocks(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        groups = [Group(coordination, root), Group(other, root)]
        assert [await group.members() for group in groups] == [{}, {}]
        async with groups[0].join("b", {"devices": 8}) as first:
            assert first.member == "b"
            assert first.capabilities == {"devices": 8}
            async with groups[1].join("a"):
                for group in groups:
                    members = await group.members()
                    assert members == {"a": {}, "b": {"devices": 8}}
                    assert [*members] == ["a", "b"]
            assert await groups[0].members() == {"b": {"devices": 8}}
            stat = await other.exists(f"{root}/b")
            assert stat is not None
            assert stat.ephemeral_owner == coordination.session.id
        assert await groups[1].members() == {}
        assert await other.get_children(root) == []

    async def test_capabilities_are_updated_as_a_whole(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        group, seen = Group(coordination, root), Group(other, root)
        async with group.join("a", {"x": 1, "y": [1, {"z": None}]}) as membership:
            assert await seen.members() == {"a": {"x": 1, "y": [1, {"z": None}]}}
            await membership.update({"y": "ü"})
            assert await seen.members() == {"a": {"y": "ü"}}
            assert membership.capabilities == {"y": "ü"}
            await membership.update({})
            assert await seen.members() == {"a": {}}

    async def test_members_come_change_and_go(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with Group(other, root).watch() as events:
            async with Group(coordination, root).join("a", {"n": 1}) as membership:
                seen = await member_events(harness, events, 1)
                await membership.update({"n": 2})
                seen += await member_events(harness, events, 1)
                # What is below a member or beside the group is none.
                await coordination.create_node(f"{root}-beside")
            seen += await member_events(harness, events, 1)
        assert seen == [
            MemberEvent("joined", "a", {"n": 1}),
            MemberEvent("updated", "a", {"n": 2}),
            MemberEvent("left", "a"),
        ]

    async def test_present_members_come_first_where_asked_for(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        group = Group(coordination, root)
        async with (
            group.join("a", {"n": 1}),
            Group(other, root).join("b", {"n": 2}),
            group.watch(initial=True) as events,
            group.watch() as quiet,
        ):
            seen = await member_events(harness, events, 2)
            assert sorted(seen, key=lambda event: event.member) == [
                MemberEvent("joined", "a", {"n": 1}),
                MemberEvent("joined", "b", {"n": 2}),
            ]
            assert await harness.quiet(quiet, 0.05)

    async def test_name_is_of_one_member(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        async with Group(coordination, root).join("a", {"n": 1}):
            for client in (coordination, other):
                with pytest.raises(NodeExistsError):
                    async with Group(client, root).join("a", {"n": 2}):
                        pass
            # Whoever was refused has not taken the other's place away.
            assert await Group(other, root).members() == {"a": {"n": 1}}
        async with Group(other, root).join("a", {"n": 3}):
            assert await Group(coordination, root).members() == {"a": {"n": 3}}

    async def test_name_is_waited_for(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        group = Group(other, root)

        async def join() -> dict[str, Any]:
            async with group.join("a", {"n": 2}, timeout=9):
                return dict(await group.members())

        async with Group(coordination, root).join("a", {"n": 1}):
            with pytest.raises(NodeExistsError):
                async with group.join("a", timeout=0.05):
                    pass
            waiting = harness.background(join())
            joined = await waiting.__aenter__()
            await harness.sleep(0.05)
            assert await group.members() == {"a": {"n": 1}}
        async with harness.deadline(10):
            assert await joined.result() == {"a": {"n": 2}}
        await waiting.__aexit__(None, None, None)
        assert await group.members() == {}

    async def test_twenty_members(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        groups = [Group(coordination, root), Group(other, root)]
        joined: list[int] = []

        async def belong(number: int) -> None:
            async with groups[number % 2].join(f"m{number:02}", {"n": number}):
                joined.append(number)
                while len(joined) < 20:
                    await harness.sleep(0.001)
                found = await groups[number % 2].members()
                if number == 7:
                    seen.append(found)
                joined.append(number)
                while len(joined) < 40:
                    await harness.sleep(0.001)

        seen: list[dict[str, Any]] = []
        async with harness.deadline(30):
            await harness.gather(*(belong(number) for number in range(20)))
        assert seen == [{f"m{number:02}": {"n": number} for number in range(20)}]
        assert await groups[0].members() == {}

    @pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a\0", "x" * 256, None, 1])
    async def test_bad_name_is_refused(
        self, coordination: Coordination, root: str, name: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            async with Group(coordination, root).join(name):
                pass
        assert await Group(coordination, root).members() == {}

    @pytest.mark.parametrize("wrong", [[1], "x", None, {"a": b"x"}, {1: 2}, {"a": float("nan")}])
    async def test_bad_capabilities_are_refused(
        self, coordination: Coordination, root: str, wrong: Any
    ) -> None:
        group = Group(coordination, root)
        with pytest.raises(InvalidRequestError):
            async with group.join("a", wrong):
                pass
        async with group.join("b", {"n": 1}) as membership:
            with pytest.raises(InvalidRequestError):
                await membership.update(wrong)
            assert await group.members() == {"b": {"n": 1}}

    async def test_body_of_a_member_may_fail(self, coordination: Coordination, root: str) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with Group(coordination, root).join("a"):
                raise KeyError("mine")
        assert await Group(coordination, root).members() == {}

    async def test_what_is_not_a_member_does_no_harm(
        self, coordination: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/stranger", b"\xff not JSON")
        async with Group(coordination, root).join("a", {"n": 1}):
            assert (await Group(coordination, root).members())["a"] == {"n": 1}

    @pytest.mark.parametrize("rejoin", [True, False])
    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    async def test_cancelled_anywhere_belongs_to_nothing(
        self,
        coordination: Coordination,
        other: Coordination,
        root: str,
        harness: Harness,
        how: Cancelling,
        rejoin: bool,
    ) -> None:
        ends = CleanEnds(harness, other, root)
        group = Group(coordination, root)

        async def belong() -> None:
            async with group.join("a", {"n": 1}, rejoin=rejoin) as membership:
                await membership.update({"n": 2})

        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.cancel_at(belong(), suspension, how):
                return
        pytest.fail("it did not end")

    async def test_member_that_shuts_down_has_left(
        self,
        make_coordination: MakeCoordination,
        coordination: Coordination,
        root: str,
        harness: Harness,
    ) -> None:
        leaving = make_coordination()
        await leaving.connect()

        async def belong() -> None:
            async with Group(leaving, root).join("a", rejoin=False):
                await harness.sleep(FOR_EVER)

        async with (
            Group(coordination, root).watch() as events,
            harness.background(harness.outcomes(belong())) as belonging,
        ):
            await member_events(harness, events, 1)
            async with harness.deadline(10):
                await leaving.shutdown()
                ((_, error),) = await belonging.result()
            assert error is not None
            assert await member_events(harness, events, 1) == [MemberEvent("left", "a")]
