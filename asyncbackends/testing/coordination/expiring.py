"""Sessions and the time: kept by who runs, lost by who stands still."""

from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.testing.coordination.feeds import Replay, replay_until
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.coordination.sessions import assert_lost
from asyncbackends.testing.harness import Harness

__all__ = ("ExpiringSessionsConformance",)


class ExpiringSessionsConformance(CoordinationFixtures):
    """``EXPIRING_SESSIONS``, in real time."""

    async def test_idle_session_is_renewed_and_keeps_its_nodes(
        self, open_coordination: OpenCoordination, root: str, harness: Harness
    ) -> None:
        """Beyond the ttl; and what keeps it alive is no event and no change of its state."""
        async with open_coordination(session_ttl=2) as idle:
            session, deadline = idle.session, idle.session.deadline()
            stat = await idle.create_node(f"{root}/a", ephemeral=True)
            ticket = await idle.contend(f"{root}/queue")
            async with idle.watch(root, scope="tree") as feed, session.states() as states:
                assert await harness.collect(states, 1) == [SessionState.CONNECTED]
                silences = (
                    harness.quiet(feed, session.ttl + 0.2),
                    harness.quiet(states, session.ttl + 0.2),
                )
                assert await harness.gather(*silences) == [True, True]
            assert session.deadline() >= deadline + session.ttl - session.ttl / 3
            assert session.remaining() > session.ttl / 3
            assert idle.session is session
            assert await idle.exists(f"{root}/a") == stat
            assert await idle.contenders(f"{root}/queue") == [ticket]

    async def test_expiring_sessions(
        self, open_coordination: OpenCoordination, root: str, harness: Harness
    ) -> None:
        """Whoever does not renew has lost its session, knows it, and its nodes are gone."""
        async with open_coordination(session_ttl=2) as paused, open_coordination() as looking:
            session, patient = paused.session, looking.session
            assert patient.ttl > session.ttl + 1
            called: list[SessionState] = []
            session.on_lost(lambda: called.append(session.state))
            await paused.create_node(f"{root}/ephemeral", ephemeral=True)
            await paused.create_node(f"{root}/lasting", b"x")
            ticket = await paused.contend(f"{root}/queue")
            mine = await looking.create_node(f"{root}/patient", ephemeral=True)
            async with paused.watch(root, scope="children") as feed:
                harness.pause(session.ttl + 0.5)
                if Guarantee.EXPIRING_SESSIONS not in paused.guarantees:
                    assert await looking.exists(f"{root}/ephemeral") is not None
                    return
                # By its own clock, before anything was asked or answered.
                assert_lost(session)
                # The service keeps the time, too: it need not hear from anybody.
                names = ("lasting", "patient", "queue")
                assert await harness.eventually(lambda: _has_children(looking, root, names))
                assert await harness.eventually(lambda: _has_children(looking, f"{root}/queue"))

                async def replaced() -> bool:
                    present = paused.session
                    return present.id != session.id and present.state is SessionState.CONNECTED

                assert await harness.eventually(replaced)
                replay = Replay([f"{root}/{name}" for name in (*names, "ephemeral")])
                wanted = dict.fromkeys(f"{root}/{name}" for name in names)
                await replay_until(harness, feed, replay, wanted)
                assert replay.gaps <= 1
            assert called == [SessionState.LOST]
            assert_lost(session)
            # Nobody makes them anew but who made them.
            assert await looking.get_children(root) == [*names]
            await paused.withdraw(ticket)
            again = await paused.create_node(f"{root}/ephemeral", ephemeral=True)
            assert again.ephemeral_owner == paused.session.id != session.id
            later = await paused.contend(f"{root}/queue")
            assert later.order > ticket.order
            # Whoever asked for a longer session has it still.
            assert looking.session is patient
            assert await paused.exists(f"{root}/patient") == mine


async def _has_children(coordination: Coordination, path: str, names: tuple[str, ...] = ()) -> bool:
    return await coordination.get_children(path) == [*names]
