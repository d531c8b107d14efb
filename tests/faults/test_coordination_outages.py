"""Coordination servers that are killed, frozen or out of reach: sessions, locks and watches go on."""

import asyncio
import socket
import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest

from asyncbackends import ConnectionState, DistributedCoordinationService
from asyncbackends.errors import ConnectionLostError, OperationTimeoutError, SessionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.recipes import Lock
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    Seen,
    beside,
    each_coordination,
)
from tests.faults.server_trials import Ending
from tests.servers.proxy import Proxy

KILLS = {"ci": 3, "soak": 10}
OUTAGES = {"ci": 15.0, "soak": 90.0}
LINK_TIMEOUT = 2.0
NOTICED = 0.05
GRACE = 1.0
"""A call may end so many seconds after its deadline."""

pytestmark = [each_coordination, pytest.mark.timeout(600)]


class Links:
    """When a backend's link went down and came up."""

    def __init__(self) -> None:
        self.down: list[float] = []
        self.up: list[float] = []

    async def watch(self, coordination: DistributedCoordinationService) -> None:
        async with coordination.states() as states:
            async for status in states:
                if status.state is ConnectionState.DISCONNECTED:
                    self.down.append(time.monotonic())
                elif status.state is ConnectionState.CONNECTED:
                    self.up.append(time.monotonic())

    async def lost(self, turn: int, *, patience: float = 5) -> float:
        """Wait until a link was lost for the so-manieth time, from 1; give when it was."""
        end = time.monotonic() + patience
        while len(self.down) < turn:
            assert time.monotonic() < end, f"the link was lost {len(self.down)} times, not {turn}"
            await asyncio.sleep(0.005)
        return self.down[turn - 1]


def hung_up(address: tuple[str, int]) -> float:
    """Give the time at which a connection that says nothing is closed by the far end."""
    with socket.create_connection(address, timeout=30) as link:
        try:
            while link.recv(65536):
                pass
        except ConnectionError:
            pass
        return time.monotonic()


@pytest.mark.promise("coordination.kill-keeps-the-session", "coordination.kill-is-noticed-at-once")
def test_killed(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(killed))


async def killed(trial: CoordinationTrial) -> str:
    """Waiters get their lock, the watch shows what is there, and nobody has another session."""
    kills = KILLS[trial.length]
    address = ("127.0.0.1", trial.server.port)
    seen, links = Seen(), Links()
    noticed: list[float] = []
    back: list[float] = []
    # A server may take its time to start.
    patient = {"operation_timeout": 60.0, "session_ttl": 30.0}
    async with trial.open(**patient) as one, trial.open(**patient) as two:
        sessions = [one.session, two.session]
        await one.create_node("/kept/mine", b"0", ephemeral=True)
        expected = {"/kept", "/kept/mine"}
        following = seen.follow(two.watch("/kept", scope="tree", initial=True))
        async with beside(following, links.watch(one)):
            await seen.shows(expected)
            held = await Lock(one, "/lock").acquire(5)
            waiting = asyncio.create_task(Lock(two, "/lock").acquire(120))
            for kill in range(1, kills + 1):
                reference = asyncio.create_task(trial.fleet.do(hung_up, address))
                await asyncio.sleep(0.2)
                before = len(links.down)
                await trial.kill()
                closed = await reference
                # A server that is just starting may take a link and lose it again.
                noticed.append(await links.lost(before + 1) - closed)
                reading = asyncio.create_task(two.read_node("/kept/mine"))
                writing = asyncio.create_task(one.create_node(f"/kept/later-{kill}"))
                await trial.start()
                began = time.monotonic()
                assert await reading == b"0"
                await writing
                back.append(time.monotonic() - began)
                expected.add(f"/kept/later-{kill}")
                for client in (one, two):
                    await trial.session_is(client.session, SessionState.CONNECTED)
                await seen.shows(expected)
                assert [one.session, two.session] == sessions
                assert len(seen.gaps) == kill, seen.gaps
                assert {gap.reason for gap in seen.gaps} == {"reconnect"}
                assert not waiting.done()
            owner = await two.exists("/kept/mine")
            assert owner is not None
            assert owner.ephemeral_owner == sessions[0].id
            await held.release()
            next_one = await asyncio.wait_for(waiting, 5)
            assert next_one.session is sessions[1]
            assert next_one.fence > held.fence
            await next_one.release()
            await one.delete_node("/kept/mine")
            await seen.shows(expected - {"/kept/mine"})
    assert statistics.median(noticed) < NOTICED, noticed
    return (
        f"{trial.engine}: {kills} kills, noticed after {statistics.median(noticed) * 1000:.0f} ms "
        f"(at most {max(noticed) * 1000:.0f}), the same sessions, the lock handed on, one Gap each, "
        f"at work at most {max(back):.2f} s after the server"
    )


@pytest.mark.promise("coordination.frozen-server-is-noticed")
def test_frozen(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(frozen))


async def frozen(trial: CoordinationTrial) -> str:
    """In a task group that one spurious cancellation would end without a word."""
    seen, links = Seen(), Links()
    reached_the_end = False
    async with trial.open(link_timeout=LINK_TIMEOUT, operation_timeout=LINK_TIMEOUT) as one:
        session = one.session
        await one.create_node("/here/mine", b"0", ephemeral=True)
        following = seen.follow(one.watch("/here", scope="tree", initial=True))
        async with beside(following, links.watch(one)), asyncio.TaskGroup() as group:

            def calls(numbers: range) -> list[asyncio.Task[Ending]]:
                made = [trial.ending(one.create_node(f"/here/{number}")) for number in numbers]
                read = [trial.ending(one.read_node("/here/mine")) for _ in numbers]
                return [group.create_task(call) for call in [*made, *read]]

            # Only a watch that has begun outlives links.
            await seen.shows({"/here", "/here/mine"})
            before = calls(range(5))
            await asyncio.wait(before)
            await trial.freeze()
            frozen_at = time.monotonic()
            during = calls(range(5, 10))
            noticed = await links.lost(1, patience=2 * LINK_TIMEOUT + GRACE) - frozen_at
            assert session.state is SessionState.SUSPENDED
            late = calls(range(10, 15))
            await asyncio.sleep(frozen_at + 3 * LINK_TIMEOUT - time.monotonic())
            _, waiting = await asyncio.wait([*during, *late], timeout=GRACE)
            assert not waiting, f"{len(waiting)} calls outlive their deadlines"
            await trial.thaw()
            await trial.in_state(one, ConnectionState.CONNECTED)
            await trial.session_is(session, SessionState.CONNECTED)
            after = calls(range(15, 20))
            await asyncio.wait(after)
            assert not [task for task in [*before, *during, *late, *after] if task.cancelled()]
            names = {f"/here/{name}" for name in await one.get_children("/here")}
            await seen.shows({"/here", *names})
            assert one.session is session
            reached_the_end = True
    assert reached_the_end
    assert noticed <= 2 * LINK_TIMEOUT, f"noticed after {noticed:.2f} s"
    for task in [*before, *after]:
        assert task.result().error is None, repr(task.result().error)
    doubtful = 0
    for task, number in zip(during[:5], range(5, 10), strict=True):
        error = task.result().error
        assert isinstance(error, OperationTimeoutError | ConnectionLostError)
        doubtful += error.maybe_applied
        assert error.maybe_applied or f"/here/{number}" not in names
    for task, number in zip(late[:5], range(10, 15), strict=True):
        # There was no link: nothing was sent, and so it is nowhere.
        assert not task.result().failed(ConnectionLostError).maybe_applied
        assert f"/here/{number}" not in names
    slowest = max(task.result().seconds for task in [*during, *late])
    return (
        f"{trial.engine}: frozen for {3 * LINK_TIMEOUT:g} s, noticed after {noticed:.1f} of at "
        f"most {2 * LINK_TIMEOUT:g} s; {len(during) + len(late)} calls ended after at most "
        f"{slowest:.1f} of {LINK_TIMEOUT:g} s, {doubtful} of 10 writes in doubt, 0 cancelled, the "
        "same session"
    )


@pytest.mark.promise("lock.loss-is-told-before-another-enters")
def test_holder_is_cut_off(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(holder_is_cut_off))


async def holder_is_cut_off(trial: CoordinationTrial) -> str:
    """Its link carries nothing, or the server itself stands still, for longer than its ttl."""
    ttl, rounds = 2.0, {"ci": 3, "soak": 20}[trial.length]
    told_before: list[float] = []
    entered_after: list[float] = []
    async with Proxy(trial.server.endpoint) as proxy:
        others = {"session_ttl": ttl, "link_timeout": LINK_TIMEOUT}
        async with (
            trial.open(endpoints=proxy.endpoint, **others) as one,
            trial.open(**others) as two,
        ):
            for turn in range(rounds):
                server_too = turn % 3 == 2
                session, lost_at = one.session, list[float]()
                session.on_lost(partial(note_time, lost_at))
                holding, over = asyncio.Event(), asyncio.Event()
                body = asyncio.create_task(hold(one, holding, over))
                await asyncio.wait_for(holding.wait(), 10)
                waiting = asyncio.create_task(entered(two))
                await asyncio.sleep(0.3)
                cut_at = time.monotonic()
                proxy.freeze()
                if server_too:
                    await trial.freeze()
                    await asyncio.sleep(2 * ttl)
                    await trial.thaw()
                at = await asyncio.wait_for(waiting, 6 * ttl)
                assert over.is_set(), "the body still runs"
                assert isinstance(await asyncio.gather(body, return_exceptions=True), list)
                assert lost_at, "nobody was told"
                told_before.append(at - lost_at[0])
                if not server_too:
                    entered_after.append(at - cut_at)
                proxy.thaw()
                for client in (one, two):
                    await trial.in_state(client, ConnectionState.CONNECTED)

                await trial.new_session(one, session)
                assert session.id not in await trial.sessions()
    assert min(told_before) > 0, told_before
    return (
        f"{trial.engine}: {rounds} holders cut off with a ttl of {ttl:g} s, each told "
        f"{min(told_before):.2f} to {max(told_before):.2f} s before the next one held, which was "
        f"at most {max(entered_after):.2f} s after the cut"
    )


def note_time(times: list[float]) -> None:
    times.append(time.monotonic())


async def hold(
    client: DistributedCoordinationService, holding: asyncio.Event, over: asyncio.Event
) -> None:
    with pytest.raises(SessionLostError):
        async with Lock(client, "/lock"):
            try:
                holding.set()
                await asyncio.Event().wait()
            finally:
                over.set()


async def entered(client: DistributedCoordinationService) -> float:
    while True:
        try:
            async with Lock(client, "/lock"):
                return time.monotonic()
        except SessionLostError:
            continue


@pytest.mark.promise("coordination.long-outage")
def test_long_outage(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(long_outage))


async def long_outage(trial: CoordinationTrial) -> str:
    """The server is silent for the first half and gone for the second, longer than any ttl."""
    seconds, ttl = OUTAGES[trial.length], 3.0
    seen = Seen()
    others = {"session_ttl": ttl, "link_timeout": LINK_TIMEOUT, "operation_timeout": 2.0}
    async with trial.open(**others) as one, trial.open(**others) as two:
        before = one.session, two.session
        await one.create_node("/there/mine", ephemeral=True)
        await two.create_node("/there/stays", b"1")
        async with beside(seen.follow(two.watch("/there", scope="tree", initial=True))):
            await seen.shows({"/there", "/there/mine", "/there/stays"})
            held = await Lock(one, "/lock").acquire(5)
            waiting = asyncio.create_task(Lock(two, "/lock").acquire(seconds + 60))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await trial.freeze()
            for session in before:
                await trial.session_is(session, SessionState.LOST)
            lost = time.monotonic() - began
            assert lost <= ttl
            assert held.lost.is_set()
            await asyncio.sleep(began + seconds / 2 - time.monotonic())
            await trial.kill()
            for _ in range(3):
                ending = await trial.ending(one.create_node("/there/never"))
                assert not ending.failed(ConnectionLostError).maybe_applied
                assert ending.seconds <= 2.0 + GRACE
            await asyncio.sleep(began + seconds - time.monotonic())
            assert not waiting.done()
            await trial.start()
            began = time.monotonic()
            next_one = await asyncio.wait_for(waiting, 30)
            back = time.monotonic() - began
            assert next_one.session is two.session
            assert next_one.fence > held.fence
            await seen.shows({"/there", "/there/stays"}, patience=15)
            await next_one.release()
        for client, session in zip((one, two), before, strict=True):
            await trial.new_session(client, session)
        assert await one.read_node("/there/stays") == b"1"
        # Nothing comes back by itself, and nothing that was refused is there.
        assert await one.get_children("/there") == ["stays"]

        async def only_ours() -> bool:
            return await trial.sessions() == {one.session.id, two.session.id}

        await trial.settled(only_ours, "old sessions stay", patience=20)
    return (
        f"{trial.engine}: {seconds:.0f} s of outage: sessions LOST after {lost:.1f} s of a ttl of "
        f"{ttl:g} s, new ones, the next in line held the lock {back:.1f} s after the server began, "
        "the watch showed what was there, nothing that was refused"
    )
