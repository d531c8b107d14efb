"""Holders, leaders and members whose whole process stood still for longer than their session."""

import pytest

from asyncbackends.errors import LeadershipLostError, SessionLostError, TransactionFailedError
from asyncbackends.recipes.election import Election, Term
from asyncbackends.recipes.group import Group
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.recipes.in_line import FOR_EVER, wait_for_line

__all__ = ("PausedHoldersConformance",)


class PausedHoldersConformance(CoordinationFixtures):
    """What a suspended machine finds when it goes on; all at once, as it waits long."""

    async def test_paused_holder_is_told_before_it_goes_on(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        root: str,
        harness: Harness,
    ) -> None:
        lock, election, group = f"{root}/lock", f"{root}/election", f"{root}/group"
        held: list[Held] = []
        terms: list[Term] = []
        went_on: list[str] = []
        async with open_coordination(session_ttl=2) as paused:
            session = paused.session

            async def hold() -> None:
                async with Lock(paused, lock) as one:
                    held.append(one)
                    await harness.sleep(FOR_EVER)
                    went_on.append("lock")

            async def lead() -> None:
                async with Election(paused, election, "first").lead() as term:
                    terms.append(term)
                    await harness.sleep(FOR_EVER)
                    went_on.append("election")

            async def belong() -> None:
                async with Group(paused, group).join("a", {"n": 1}, rejoin=False):
                    await harness.sleep(FOR_EVER)
                    went_on.append("group")

            async def pause() -> None:
                await wait_for_line(harness, coordination, lock, 1)
                await wait_for_line(harness, coordination, election, 1)
                async with Lock(paused, f"{root}/own") as own:
                    harness.pause(session.ttl + 0.3)
                    # It may ask, and the end of its block tells it, though it never waited.
                    assert own.lost.is_set()
                    assert own.remaining() == 0.0

            async with Group(paused, group).join("b", {"n": 1}) as membership:
                async with harness.deadline(20):
                    outcomes = await harness.outcomes(hold(), lead(), belong(), pause())
                assert [type(error) for _, error in outcomes] == [
                    SessionLostError,
                    LeadershipLostError,
                    SessionLostError,
                    SessionLostError,
                ]
                assert went_on == []
                ((first,), (term,)) = (held, terms)
                assert not term.resigned
                with pytest.raises(LeadershipLostError):
                    await term.proclaim(b"too late")
                async with harness.deadline(10), Lock(coordination, lock) as later:
                    assert later.fence.order > first.fence.order
                async with harness.deadline(10), Election(coordination, election).lead() as next_:
                    assert next_.fence.order > term.fence.order
                # A service may keep a session a little beyond its ttl, until others are granted.
                for ticket in (first.ticket, term.ticket):
                    with pytest.raises(TransactionFailedError):
                        await paused.transaction().guard(ticket).commit()
                # Who wants to be back is back, with the next session and what it says now.
                await membership.update({"n": 2})

                async def back() -> bool:
                    stat = await coordination.exists(f"{group}/b")
                    owner = stat and stat.ephemeral_owner
                    return owner == paused.session.id != session.id

                assert await harness.eventually(back)
                assert await Group(coordination, group).members() == {"b": {"n": 2}}
            assert await Group(coordination, group).members() == {}
            # And may contend as before.
            async with harness.deadline(10), Lock(paused, lock) as again:
                assert again.fence.order > later.fence.order
