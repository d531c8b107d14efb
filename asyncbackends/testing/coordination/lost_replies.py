"""Writes that were applied and not answered: for suites that can provoke it."""

import pytest

from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.testing.coordination.clean_ends import CleanEnds
from asyncbackends.testing.coordination.every_write import (
    EVERY_WRITE,
    Write,
    prepared_place,
    state_of,
)
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    FaultFixtures,
    OpenCoordination,
    SessionFaults,
)
from asyncbackends.testing.harness import Harness

__all__ = ("LostRepliesConformance",)


class LostRepliesConformance(FaultFixtures):
    """``maybe_applied``, and contenders that never stay unknown."""

    @pytest.mark.parametrize(
        "write",
        [write for write in EVERY_WRITE if write.operation != "contend"],
        ids=lambda write: write.name,
    )
    async def test_lost_reply_leaves_the_caller_in_doubt(
        self, coordination: Coordination, other: Coordination, faults: SessionFaults, write: Write
    ) -> None:
        """It was applied, and the caller is told that nobody knows; unless the engine found out."""
        example, place = await prepared_place(coordination), await prepared_place(coordination)
        await write.perform(coordination, example)
        faults.lose_reply(write.operation)
        try:
            await write.perform(coordination, place)
        except ConnectionLostError as error:
            assert error.maybe_applied
            assert error.retryable
            assert error.operation == write.operation
        assert await state_of(other, place) == await state_of(other, example)

    async def test_lost_reply_to_a_contender_leaves_no_orphan(
        self, coordination: Coordination, other: Coordination, faults: SessionFaults, root: str
    ) -> None:
        for _ in range(3):
            faults.lose_reply("contend")
            ticket = await coordination.contend(root, b"x")
            assert await other.contenders(root) == [ticket]
            assert await other.read_node(ticket.path) == b"x"
            await coordination.withdraw(ticket)
        assert await other.contenders(root) == []

    async def test_contender_cancelled_after_a_lost_reply_leaves_no_orphan(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async def cancelled(suspension: int) -> bool:
            faults.clear()
            faults.lose_reply("contend")
            completed = await harness.cancel_at(coordination.contend(root), suspension)
            if completed:
                (ticket,) = await other.contenders(root)
                await other.withdraw(ticket)
            return completed

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, 60):
            if await ends.after(cancelled(suspension)):
                return
        pytest.fail("it did not end")

    async def test_contender_that_cannot_find_out_leaves_no_orphan(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        """Its reply is lost, then the link: it may take the end of the session."""
        async with open_coordination(session_ttl=3, operation_timeout=2) as client:
            session = client.session
            stat = await client.create_node(root)
            async with client.watch(root, scope="children", since=stat.created_revision) as feed:
                faults.lose_reply("contend")
                contending = harness.outcomes(client.contend(root))
                async with harness.background(contending) as waiting:
                    await harness.collect(feed, 1)
                    faults.drop_connection()
                    ((ticket, error),) = await waiting.result()
                faults.restore_connection()
            if ticket is not None:
                assert await other.contenders(root) == [ticket]
                return
            assert isinstance(error, ConnectionLostError)
            assert not error.maybe_applied

            async def nobody() -> bool:
                return await other.contenders(root) == []

            assert await harness.eventually(nobody)
            # Either it was withdrawn, or it went with the session.
            assert client.session is session or session.state is SessionState.LOST
