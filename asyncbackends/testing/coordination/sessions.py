"""The session of a client: its deadline, its states, and its end."""

import pytest

from asyncbackends.errors import ConfigurationError
from asyncbackends.protocols.coordination import Session, SessionState
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    MakeCoordination,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness

__all__ = ("SessionsConformance", "assert_lost", "states_of")

SHORT = 2.0
"""The least that can be asked for, so that a session ends soon."""


async def states_of(session: Session) -> list[SessionState]:
    """Give the states of a session until it is LOST."""
    async with session.states() as states:
        return [state async for state in states]


async def _waited(session: Session) -> bool:
    """Wait until the session is lost."""
    return await session.lost.wait()


def assert_lost(session: Session) -> None:
    """It is over, and stays so."""
    assert session.state is SessionState.LOST
    assert session.lost.is_set()
    assert session.remaining() == 0.0


class SessionsConformance(CoordinationFixtures):
    """``Sessions`` and ``Session``, without a fault but the client's own."""

    async def test_session_says_what_it_is(self, coordination: Coordination) -> None:
        session = coordination.session
        assert type(session.id) is str
        assert session.id
        assert session.state is SessionState.CONNECTED
        assert not session.lost.is_set()
        assert session.ttl >= SHORT
        margin = max(0.2, session.ttl / 10)
        assert 0 < session.remaining() <= session.ttl - margin
        # It comes nearer while nothing is renewed, and both speak of one moment.
        left, deadline = session.remaining(), session.deadline()
        assert session.remaining() <= left
        assert session.deadline() >= deadline
        assert coordination.session is session

    async def test_every_session_has_an_id_of_its_own(
        self, coordination: Coordination, other: Coordination, open_coordination: OpenCoordination
    ) -> None:
        ids = [coordination.session.id, other.session.id]
        for _ in range(3):
            async with open_coordination() as opened:
                ids.append(opened.session.id)
        assert len({*ids}) == 5

    @pytest.mark.parametrize("asked", [2, 2.5, 30])
    async def test_granted_ttl_is_at_least_what_was_asked_for(
        self, open_coordination: OpenCoordination, asked: float
    ) -> None:
        async with open_coordination(session_ttl=asked) as opened:
            assert opened.session.ttl >= asked

    @pytest.mark.parametrize("wrong", [0, -1, 1.9, "soon"])
    async def test_wrong_ttl_is_refused(
        self, open_coordination: OpenCoordination, wrong: object
    ) -> None:
        with pytest.raises(ConfigurationError, match="session_ttl"):
            async with open_coordination(session_ttl=wrong):
                pass

    async def test_session_ends_with_the_shutdown(
        self, make_coordination: MakeCoordination, harness: Harness
    ) -> None:
        opened = make_coordination()
        await opened.connect()
        session = opened.session
        called: list[str] = []
        session.on_lost(lambda: called.append("kept"))
        take_back = session.on_lost(lambda: called.append("taken back"))
        take_back()
        take_back()
        async with (
            harness.background(states_of(session)) as states,
            harness.background(_waited(session)) as waiting,
        ):
            await harness.sleep(0.01)
            assert called == []
            await opened.shutdown()
            async with harness.deadline(5):
                assert await states.result() == [SessionState.CONNECTED, SessionState.LOST]
                assert await waiting.result() is True
        assert called == ["kept"]
        assert_lost(session)
        session.on_lost(lambda: called.append("at once"))
        assert called == ["kept", "at once"]
        assert await states_of(session) == [SessionState.LOST]
