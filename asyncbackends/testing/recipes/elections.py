"""The election: one leader that everybody sees."""

from collections.abc import AsyncIterator

import pytest

from asyncbackends.errors import (
    InvalidRequestError,
    LeadershipLostError,
)
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.election import Election, Term
from asyncbackends.recipes.observing import Leader
from asyncbackends.testing.coordination.clean_ends import CleanEnds, is_empty
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    MakeCoordination,
)
from asyncbackends.testing.harness import Cancelling, Harness
from asyncbackends.testing.recipes.in_line import (
    FOR_EVER,
    MOST_SUSPENSIONS,
    wait_for_line,
    wait_for_some,
)

__all__ = ("ElectionConformance",)


async def _seen_until(
    harness: Harness, leaders: AsyncIterator[Leader | None], wanted: Leader | None
) -> list[Leader | None]:
    """Observe until a leader is seen; nothing comes twice in a row."""
    seen: list[Leader | None] = []
    while not seen or seen[-1] != wanted:
        seen += await harness.collect(leaders, 1)
        assert len(seen) < 2 or seen[-1] != seen[-2]
    return seen


def _leader_of(term: Term, value: bytes) -> Leader:
    return Leader(value, term.ticket.order, term.ticket.path)


class ElectionConformance(CoordinationFixtures):
    """The recipe Election."""

    async def test_term_says_what_it_stands_on(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        election = Election(coordination, root, "host-1")
        assert await election.leader() is None
        async with election.lead() as term:
            assert await other.contenders(root) == [term.ticket]
            assert term.session is coordination.session
            assert term.fence == term.ticket.fence
            assert not term.lost.is_set()
            assert not term.resigned
            assert 0 < term.remaining() < term.session.ttl
            for client in (coordination, other):
                assert await Election(client, root).leader() == _leader_of(term, b"host-1")
        assert term.resigned
        assert term.remaining() == 0.0
        assert await election.leader() is None
        assert await is_empty(other, root)

    async def test_one_leads_at_a_time_in_the_order_of_their_coming(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        leading: list[int] = []
        terms: list[tuple[int, int]] = []
        elections = [Election(coordination, root), Election(other, root)]

        async def lead(number: int) -> None:
            await wait_for_line(harness, other, root, number + 1)
            async with elections[number % 2].lead() as term:
                leading.append(number)
                assert leading == [number]
                leader = await elections[0].leader()
                assert leader == _leader_of(term, b"")
                terms.append((number, term.fence.token))
                leading.remove(number)

        async with elections[0].lead() as first:
            candidates = harness.gather(*(lead(number) for number in range(12)))
            async with harness.background(candidates) as led:
                await wait_for_line(harness, other, root, 13)
                assert terms == []
                await first.resign()
                async with harness.deadline(30):
                    await led.result()
        assert [number for number, _ in terms] == [*range(12)]
        tokens = [first.fence.token, *(token for _, token in terms)]
        assert tokens == sorted({*tokens})

    async def test_resigned_leader_goes_on(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with harness.deadline(10), Election(coordination, root).lead() as first:
            await first.resign()
            assert first.resigned
            assert first.remaining() == 0.0
            async with Election(other, root, b"2").lead() as second:
                await harness.sleep(0.01)
                await first.resign()
                leader = await Election(coordination, root).leader()
                assert leader == _leader_of(second, b"2")
                with pytest.raises(InvalidRequestError):
                    await first.proclaim(b"x")
        assert await is_empty(coordination, root)

    async def test_proclaimed_value_is_seen(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        election = Election(other, root)
        async with Election(coordination, root, "first").lead() as term:
            for value in ("second", b"", "grün"):
                await term.proclaim(value)
                stored = value.encode() if isinstance(value, str) else value
                assert await election.leader() == _leader_of(term, stored)
            # It is the same term still.
            await coordination.transaction().guard(term.ticket).commit()

    async def test_observer_sees_every_leader(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with harness.deadline(20), Election(other, root).observe() as leaders:
            assert await harness.collect(leaders, 1) == [None]
            async with Election(coordination, root, b"1").lead() as term:
                await _seen_until(harness, leaders, _leader_of(term, b"1"))
                await term.proclaim(b"2")
                assert await harness.collect(leaders, 1) == [_leader_of(term, b"2")]
                # Who is behind, and a value that is the same, are no news.
                ticket = await other.contend(root, b"behind")
                await term.proclaim(b"2")
                await term.proclaim(b"3")
                assert await _seen_until(harness, leaders, _leader_of(term, b"3"))
                async with Election(other, root).observe() as late:
                    assert await harness.collect(late, 1) == [_leader_of(term, b"3")]
            behind = Leader(b"behind", ticket.order, ticket.path)
            await _seen_until(harness, leaders, behind)
            await other.withdraw(ticket)
            assert await harness.collect(leaders, 1) == [None]
            assert await harness.quiet(leaders, 0.05)

    async def test_observer_misses_no_end(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """However fast leaders change, the last one is seen, and orders never go back."""
        async with harness.deadline(30), Election(other, root).observe() as leaders:
            for number in range(20):
                async with Election(coordination, root, str(number)).lead():
                    pass
            async with Election(coordination, root, "last").lead() as term:
                seen = await _seen_until(harness, leaders, _leader_of(term, b"last"))
        orders = [leader.order for leader in seen if leader is not None]
        assert orders == sorted(orders)

    async def test_observing_can_be_cancelled_and_resumed(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with Election(other, root).observe() as leaders:
            seen: list[Leader | None] = []

            async def take() -> None:
                seen.append(await anext(leaders))

            for number in range(10):
                async with Election(coordination, root, str(number)).lead() as term:
                    taking = harness.cancel_at(take(), 1 + number % 5)
                    async with harness.background(taking) as done:
                        await harness.sleep(0.005)
                        await harness.outcomes(done.result())
                    wanted = _leader_of(term, str(number).encode())
                    if not seen or seen[-1] != wanted:
                        seen += await _seen_until(harness, leaders, wanted)

    async def test_term_is_entered_once(self, coordination: Coordination, root: str) -> None:
        leading = Election(coordination, root).lead()
        async with leading:
            with pytest.raises(InvalidRequestError):
                async with leading:
                    pass
        with pytest.raises(InvalidRequestError):
            async with leading:
                pass
        assert await is_empty(coordination, root)

    async def test_leader_may_fail(self, coordination: Coordination, root: str) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with Election(coordination, root).lead():
                raise KeyError("mine")
        assert await is_empty(coordination, root)

    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    async def test_cancelled_anywhere_leads_nobody(
        self,
        coordination: Coordination,
        other: Coordination,
        root: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        ends = CleanEnds(harness, other, root)

        async def lead() -> None:
            async with Election(coordination, root).lead() as term:
                await term.proclaim(b"x")
                await term.resign()

        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.cancel_at(lead(), suspension, how):
                return
        pytest.fail("it did not end")

    async def test_cancelled_candidate_leaves_no_place(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async def lead() -> None:
            async with Election(coordination, root).lead():
                pass

        async def cancelled(suspension: int) -> bool:
            async with Election(other, root).lead() as leader:
                candidate = harness.cancel_at(lead(), suspension)
                async with harness.background(candidate) as waiting:
                    await harness.sleep(0.005)
                    await leader.resign()
                    async with harness.deadline(5):
                        return await waiting.result()

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.after(cancelled(suspension)):
                return
        pytest.fail("it did not end")

    async def test_leader_that_shuts_down_is_followed(
        self,
        make_coordination: MakeCoordination,
        coordination: Coordination,
        root: str,
        harness: Harness,
    ) -> None:
        leaving = make_coordination()
        await leaving.connect()
        terms: list[Fence] = []

        async def lead() -> None:
            async with Election(leaving, root).lead() as term:
                terms.append(term.fence)
                await harness.sleep(FOR_EVER)

        async with harness.background(harness.outcomes(lead())) as leading:
            await wait_for_some(harness, terms)
            async with harness.deadline(10):
                await leaving.shutdown()
                async with Election(coordination, root).lead() as second:
                    assert second.fence.order > terms[0].order
                ((_, error),) = await leading.result()
        assert isinstance(error, LeadershipLostError)
