"""Holders, leaders and members whose session, link or replies are lost."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from asyncbackends.errors import BackendError, LeadershipLostError, SessionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.election import Election
from asyncbackends.recipes.group import Group, MemberEvent
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.testing.coordination.clean_ends import CleanEnds, is_empty
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    FaultFixtures,
    OpenCoordination,
    SessionFaults,
)
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.recipes.groups import member_events
from asyncbackends.testing.recipes.in_line import (
    FOR_EVER,
    MOST_SUSPENSIONS,
    nobody_left,
    wait_for_line,
    wait_for_some,
)

__all__ = ("LostHoldersConformance",)

SHORT: dict[str, Any] = {"session_ttl": 2}


async def _hold(client: Coordination, path: str, body: Callable[[Fence], Awaitable[None]]) -> None:
    async with Lock(client, path) as held:
        await body(held.fence)


async def _lead(client: Coordination, path: str, body: Callable[[Fence], Awaitable[None]]) -> None:
    async with Election(client, path).lead() as term:
        await body(term.fence)


async def _master(
    client: Coordination, path: str, body: Callable[[Fence], Awaitable[None]]
) -> None:
    async def work() -> None:
        (first, *_) = await client.contenders(path)
        await body(first.fence)

    await client.master_election(path, "host", work)


async def _contend(
    client: Coordination, path: str, block: Any, body: Callable[[], Awaitable[None]]
) -> None:
    async def without_fence(_: Fence) -> None:
        await body()

    await block(client, path, without_fence)


BODIES: dict[str, tuple[Callable[..., Coroutine[Any, Any, None]], type[BackendError]]] = {
    "lock": (_hold, SessionLostError),
    "election": (_lead, LeadershipLostError),
    "master_election": (_master, LeadershipLostError),
}


class LostHoldersConformance(FaultFixtures):
    """The recipes, and faults."""

    @pytest.mark.parametrize("recipe", list(BODIES))
    async def test_lost_session_ends_the_body_and_the_next_one_follows(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
        recipe: str,
    ) -> None:
        block, expected = BODIES[recipe]
        async with open_coordination(**SHORT) as client:
            fences: list[Fence] = []

            async def body(fence: Fence) -> None:
                fences.append(fence)
                if len(fences) == 1:
                    await harness.sleep(FOR_EVER)
                    fences.clear()

            async with harness.background(harness.outcomes(block(client, root, body))) as first:
                await wait_for_some(harness, fences)
                async with harness.background(block(coordination, root, body)) as second:
                    await wait_for_line(harness, coordination, root, 2)
                    faults.expire_session(client.session.id)
                    async with harness.deadline(5):
                        await second.result()
                        ((_, error),) = await first.result()
            assert type(error) is expected
            assert len(fences) == 2
            assert fences[0].order < fences[1].order
            await nobody_left(harness, coordination, root)

    async def test_body_is_ended_before_another_can_be_granted_anything(
        self,
        open_coordination: OpenCoordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        """Renewals are not answered: this side gives up first, by its own clock."""
        async with open_coordination(**SHORT) as client, open_coordination() as patient:
            happened: dict[str, list[str]] = {recipe: [] for recipe in BODIES}

            async def first(recipe: str) -> None:
                try:
                    await harness.sleep(FOR_EVER)
                finally:
                    happened[recipe].append("ended")

            async def second(recipe: str) -> None:
                happened[recipe].append("followed")

            def contend(by: Coordination, work: Callable[[str], Awaitable[None]]) -> Any:
                return harness.outcomes(
                    *(
                        _contend(by, f"{root}/{recipe}", block, partial(work, recipe))
                        for recipe, (block, _) in BODIES.items()
                    )
                )

            async with harness.background(contend(client, first)) as holding:
                for recipe in BODIES:
                    await wait_for_line(harness, patient, f"{root}/{recipe}", 1)
                async with harness.background(contend(patient, second)) as following:
                    for recipe in BODIES:
                        await wait_for_line(harness, patient, f"{root}/{recipe}", 2)
                    session = client.session
                    faults.freeze_renewals()
                    async with harness.deadline(10):
                        outcomes = await holding.result()
                        assert session.state is SessionState.LOST
                        # The other one's session is longer, and lives.
                        faults.thaw_renewals()
                        await following.result()
            for (_, error), (_, expected) in zip(outcomes, BODIES.values(), strict=True):
                assert type(error) is expected
            assert happened == {recipe: ["ended", "followed"] for recipe in BODIES}

    async def test_lock_lost_while_nobody_looked_is_an_error_at_the_end(
        self,
        open_coordination: OpenCoordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            held = await Lock(client, root).acquire()
            ended: list[str] = []

            async def body() -> None:
                async with Lock(client, f"{root}/b"):
                    faults.expire_session(client.session.id)
                    # It swallows what tells it.
                    await harness.outcomes(held.session.lost.wait())
                    ended.append("body")

            ((_, error),) = await harness.outcomes(body())
            assert isinstance(error, SessionLostError)
            assert held.lost.is_set()
            # There is nothing to give back; and nothing of another is touched.
            async with harness.deadline(5):
                await held.release()

    async def test_waiter_whose_session_is_lost_waits_on_with_the_next_one(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            session = client.session
            first = await Lock(coordination, root).acquire()
            async with harness.background(Lock(client, root).acquire()) as waiting:
                await wait_for_line(harness, coordination, root, 2)
                faults.expire_session(session.id)
                assert await coordination.contenders(root) == [first.ticket]
                await wait_for_line(harness, coordination, root, 2)
                await first.release()
                async with harness.deadline(5):
                    held = await waiting.result()
            assert held.session.id == held.ticket.session_id != session.id
            assert await coordination.contenders(root) == [held.ticket]
            await held.release()
            assert await is_empty(coordination, root)

    async def test_suspended_client_is_granted_nothing(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            first = await Lock(coordination, root).acquire()
            held: list[Held] = []

            async def acquire() -> None:
                held.append(await Lock(client, root).acquire())

            async with harness.background(acquire()) as waiting:
                await wait_for_line(harness, coordination, root, 2)
                faults.freeze_renewals()

                async def suspended() -> bool:
                    return client.session.state is SessionState.SUSPENDED

                assert await harness.eventually(suspended)
                await first.release()
                await harness.sleep(0.1)
                assert held == []
                faults.thaw_renewals()
                async with harness.deadline(5):
                    await waiting.result()
            assert held[0].session.state is SessionState.CONNECTED
            await held[0].release()

    async def test_lost_replies_hold_and_leave_nothing(
        self, coordination: Coordination, other: Coordination, faults: SessionFaults, root: str
    ) -> None:
        for _ in range(3):
            faults.lose_reply("contend")
            async with Lock(coordination, root) as held:
                assert await other.contenders(root) == [held.ticket]
                faults.lose_reply("withdraw")
            assert await is_empty(other, root)

    async def test_cancelled_anywhere_among_lost_replies(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async def hold() -> None:
            async with Lock(coordination, root):
                await harness.sleep(0)

        async def cancelled(suspension: int) -> bool:
            for operation in ("contend", "withdraw", "contenders"):
                faults.lose_reply(operation)
            completed = await harness.cancel_at(hold(), suspension)
            faults.clear()
            return completed

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.after(cancelled(suspension)):
                return
        pytest.fail("it did not end")

    async def test_cancelled_while_the_link_is_down(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT, operation_timeout=1) as client:
            first = await Lock(other, root).acquire()
            waiting = harness.background(Lock(client, root).acquire())
            await waiting.__aenter__()
            await wait_for_line(harness, other, root, 2)
            faults.drop_connection()
            async with harness.background(_restored(harness, faults, 1.2)) as restored:
                # It is cancelled, and ends when its place is taken back.
                await waiting.__aexit__(None, None, None)
                await restored.result()
            await _nobody_left_but(harness, other, root, first)
            await first.release()
            async with harness.deadline(5), Lock(client, root):
                pass

    async def test_observer_sees_through_lost_links(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with harness.deadline(20), Election(other, root).observe() as leaders:
            assert await harness.collect(leaders, 1) == [None]
            for number in range(3):
                async with Election(coordination, root, str(number)).lead():
                    faults.drop_events(1)
                    faults.drop_connection()
                    await harness.sleep(0.01)
                    faults.restore_connection()
                    wanted = str(number).encode()
                    leader = None
                    while leader is None or leader.value != wanted:
                        (leader,) = await harness.collect(leaders, 1)

    @pytest.mark.parametrize("rejoin", [True, False])
    async def test_member_whose_session_is_lost(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
        rejoin: bool,
    ) -> None:
        went_on: list[bool] = []
        done: list[bool] = []
        async with open_coordination(**SHORT) as client:

            async def belong() -> None:
                async with Group(client, root).join("a", {"n": 1}, rejoin=rejoin):
                    while not done:
                        await harness.sleep(0.005)
                    went_on.append(True)

            async with (
                Group(coordination, root).watch() as events,
                harness.background(harness.outcomes(belong())) as belonging,
                harness.deadline(10),
            ):
                await member_events(harness, events, 1)
                faults.expire_session(client.session.id)
                assert await member_events(harness, events, 1) == [MemberEvent("left", "a")]
                if rejoin:
                    (back,) = await member_events(harness, events, 1)
                    assert back == MemberEvent("joined", "a", {"n": 1})
                    done.append(True)
                ((_, error),) = await belonging.result()
        assert went_on == ([True] if rejoin else [])
        assert (error is None) if rejoin else isinstance(error, SessionLostError)
        assert await Group(coordination, root).members() == {}


async def _restored(harness: Harness, faults: SessionFaults, seconds: float) -> None:
    await harness.sleep(seconds)
    faults.restore_connection()


async def _nobody_left_but(harness: Harness, client: Coordination, path: str, held: Held) -> None:
    """Wait until one holder is alone."""

    async def alone() -> bool:
        return await client.contenders(path) == [held.ticket]

    assert await harness.eventually(alone)
