"""Sessions that the service forgets, or that are not renewed: for suites that can provoke it."""

from collections.abc import Coroutine
from typing import Any

import pytest

from asyncbackends.errors import ConnectionLostError, TransactionFailedError
from asyncbackends.protocols.coordination import Session, SessionState
from asyncbackends.testing.coordination.feeds import Replay, events_of, replay_until
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    FaultFixtures,
    OpenCoordination,
    SessionFaults,
)
from asyncbackends.testing.coordination.sessions import states_of
from asyncbackends.testing.harness import Harness

__all__ = ("LostSessionsConformance",)

SHORT: dict[str, Any] = {"session_ttl": 2}

CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST


async def _another_session(harness: Harness, client: Coordination, lost: Session) -> Session:
    """Wait for the session after a lost one."""

    async def opened() -> bool:
        return client.session.id != lost.id and client.session.state is CONNECTED

    assert await harness.eventually(opened)
    return client.session


async def _gone(client: Coordination, path: str) -> bool:
    return await client.exists(path) is None


class LostSessionsConformance(FaultFixtures):
    """SUSPENDED, LOST, and the next session."""

    async def test_forgotten_session_is_lost(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            session = client.session
            await client.create_node(f"{root}/ephemeral", ephemeral=True)
            await client.create_node(f"{root}/lasting", b"x")
            ticket = await client.contend(f"{root}/queue")
            async with harness.background(states_of(session)) as states:
                faults.expire_session(session.id)
                # At once for everybody else; the client finds out.
                assert await other.get_children(root) == ["lasting", "queue"]
                async with harness.deadline(session.ttl):
                    assert (await states.result())[-1] is LOST
            another = await _another_session(harness, client, session)
            assert another.id != session.id
            assert session.state is LOST
            # Nothing comes back by itself, and nothing else was touched.
            await harness.sleep(0.05)
            assert await client.get_children(root) == ["lasting", "queue"]
            assert await client.contenders(f"{root}/queue") == []
            with pytest.raises(TransactionFailedError):
                await client.transaction().guard(ticket).commit()
            again = await client.create_node(f"{root}/ephemeral", ephemeral=True)
            assert again.ephemeral_owner == another.id

    async def test_sessions_of_others_live_on(
        self,
        coordination: Coordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        session, theirs = coordination.session, other.session
        await coordination.create_node(f"{root}/mine", ephemeral=True)
        await other.create_node(f"{root}/theirs", ephemeral=True)
        faults.expire_session(theirs.id)
        assert await coordination.get_children(root) == ["mine"]
        # A call of its client is enough to notice.
        await harness.outcomes(other.create_node(f"{root}/again", ephemeral=True))
        await _another_session(harness, other, theirs)
        assert coordination.session is session
        assert session.state is CONNECTED

    async def test_unanswered_renewals_suspend_then_lose(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        # Long enough for a busy service to answer in, and over before the session is.
        async with open_coordination(session_ttl=4, operation_timeout=1) as client:
            session = client.session
            await client.create_node(f"{root}/ephemeral", ephemeral=True)
            left_when: dict[SessionState, float] = {}
            there_when: dict[SessionState, bool] = {}

            async def follow() -> list[SessionState]:
                found: list[SessionState] = []
                async with session.states() as states:
                    async for state in states:
                        found.append(state)
                        left_when[state] = session.remaining()
                        there = await other.exists(f"{root}/ephemeral")
                        there_when[state] = there is not None
                return found

            async def suspended() -> bool:
                return session.state is SUSPENDED

            async with harness.background(follow()) as following:
                await harness.sleep(0)
                faults.freeze_renewals()
                assert await harness.eventually(suspended)
                deadline = session.deadline()
                # What is held is still held, but nothing new is tied to it.
                calls: tuple[Coroutine[Any, Any, object], ...] = (
                    client.create_node(f"{root}/late", ephemeral=True),
                    client.contend(f"{root}/queue"),
                )
                for _, error in await harness.outcomes(*calls):
                    assert isinstance(error, ConnectionLostError)
                    assert not error.maybe_applied
                assert session.state is SUSPENDED
                async with harness.deadline(session.ttl):
                    assert await following.result() == [CONNECTED, SUSPENDED, LOST]
                assert session.deadline() == deadline
            assert left_when[CONNECTED] > left_when[SUSPENDED] > left_when[LOST] == 0.0
            # This side was never later than the service.
            assert there_when[LOST]
            faults.thaw_renewals()
            another = await _another_session(harness, client, session)
            assert await harness.eventually(lambda: _gone(other, f"{root}/ephemeral"))
            assert another.id != session.id
            assert session.state is LOST
            assert await other.contenders(f"{root}/queue") == []
            assert await other.exists(f"{root}/late") is None

    async def test_answered_renewal_ends_a_suspension(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            session = client.session
            stat = await client.create_node(root, ephemeral=True)
            called: list[bool] = []
            session.on_lost(lambda: called.append(True))
            async with session.states() as states:
                faults.freeze_renewals()
                assert await harness.collect(states, 2) == [CONNECTED, SUSPENDED]
                deadline = session.deadline()
                faults.thaw_renewals()
                assert await harness.collect(states, 1) == [CONNECTED]
            assert session.deadline() > deadline
            assert client.session is session
            assert await other.exists(root) == stat
            assert called == []

    async def test_watch_outlives_its_session(
        self,
        open_coordination: OpenCoordination,
        other: Coordination,
        faults: SessionFaults,
        root: str,
        harness: Harness,
    ) -> None:
        async with open_coordination(**SHORT) as client:
            session = client.session
            await client.create_node(f"{root}/mine", ephemeral=True)
            await client.create_node(f"{root}/lasting")
            async with client.watch(root, scope="children") as feed:
                faults.expire_session(session.id)
                await _another_session(harness, client, session)
                await other.create_node(f"{root}/later")
                replay = Replay([f"{root}/mine", f"{root}/lasting"])
                wanted = {f"{root}/lasting": b"", f"{root}/later": b""}
                await replay_until(harness, feed, replay, wanted)
                assert replay.gaps <= 1
                await other.delete_node(f"{root}/later")
                (event,) = await events_of(harness, feed, 1)
                assert (event.kind, event.path) == ("deleted", f"{root}/later")
