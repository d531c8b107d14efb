"""Sessions on a clock that is turned by hand: deadlines, loss, and what is left afterwards."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import count

import anyio
import pytest

from asyncbackends.clock import ManualClock
from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.session import LiveSession, margin
from asyncbackends.errors import (
    AccessDeniedError,
    BackendClosedError,
    BackendError,
    ConnectionLostError,
)
from asyncbackends.observability import Seam
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.coordination import Session, SessionState

CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST
TTL = 9.0
"""Renewals every 3 s, margin 0.9 s: the deadline is 8.1 s after the last one."""
USABLE = TTL - 0.9


class Clock(ManualClock):
    """One that can be seen into."""

    def jump(self, seconds: float) -> None:
        """Let time pass while the loop is held up: no timer is called."""
        self._now += seconds

    def timers(self) -> int:
        return sum(timer.call is not None for _, _, timer in self._due)


class Service:
    """Answers at once, unless told otherwise, and keeps a diary of (what, when)."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.began = clock.monotonic()
        self.ttl = TTL
        self.known: set[str] = set()
        self.diary: list[tuple[str, float]] = []
        self.errors: dict[str, BackendError] = {}
        self.answering = {"open": True, "renew": True, "close": True}
        self._numbers = count(1)
        self._changed = asyncio.Event()

    def note(self, what: str) -> None:
        self.diary.append((what, round(self.clock.monotonic() - self.began, 3)))

    def times(self, what: str) -> list[float]:
        return [at for noted, at in self.diary if noted == what]

    def answer(self, what: str, *, yes: bool) -> None:
        self.answering[what] = yes
        self._changed.set()

    async def _passed(self, what: str) -> None:
        await asyncio.sleep(0)
        if what in self.errors:
            raise self.errors[what]
        while not self.answering[what]:
            self._changed.clear()
            await self._changed.wait()

    async def open(self, ttl: float) -> tuple[str, float]:
        session = f"s{next(self._numbers)}"
        self.note(f"open {session}")
        await self._passed("open")
        self.known.add(session)
        return session, self.ttl

    async def renew(self, session_id: str) -> bool:
        self.note("renew")
        await self._passed("renew")
        return session_id in self.known

    async def close(self, session_id: str) -> None:
        self.note(f"close {session_id}")
        await self._passed("close")
        self.known.discard(session_id)


class Kept:
    """A keeper at work."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.service = Service(self.clock)
        self.changes: list[SessionState] = []
        seam = Seam(Kind.COORDINATION, "scripted", lambda _: None)
        self.keeper = SessionKeeper(self.service, TTL, self.clock, seam, self.changes.append)
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> Session:
        await self.keeper.start()
        self.task = asyncio.create_task(self.keeper.run())
        return self.keeper.session

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=1)
            assert self.task.cancelled()
            self.task = None
            await self.keeper.close(0)


@pytest.fixture
async def kept() -> AsyncGenerator[Kept]:
    kept = Kept()
    yield kept
    await kept.stop()


def test_the_margin_is_a_tenth_and_at_least_a_fifth_of_a_second() -> None:
    assert (margin(2), margin(1), margin(10)) == (0.2, 0.2, 1.0)


async def test_renews_every_third_and_the_deadline_counts_from_the_sending(kept: Kept) -> None:
    session = await kept.start()
    opened = kept.clock.monotonic()
    assert (session.id, session.ttl, session.state) == ("s1", TTL, CONNECTED)
    assert session.deadline() == opened + USABLE
    await kept.clock.advance(100)
    assert kept.service.times("renew") == [3.0 * turn for turn in range(1, 34)]
    assert session.deadline() == opened + 99 + USABLE
    assert session.remaining() == pytest.approx(USABLE - 1)
    assert session.state is CONNECTED
    assert kept.changes == [CONNECTED]


async def test_the_granted_ttl_counts_not_the_one_asked_for(kept: Kept) -> None:
    kept.service.ttl = 30.0
    session = await kept.start()
    assert (session.ttl, session.remaining()) == (30.0, 27.0)
    await kept.clock.advance(21)
    assert kept.service.times("renew") == [10.0, 20.0]


async def test_a_slow_answer_counts_from_its_sending(kept: Kept) -> None:
    session = await kept.start()
    kept.service.answer("renew", yes=False)
    await kept.clock.advance(3.5)
    assert session.state is CONNECTED
    await kept.clock.advance(0.5)
    assert session.state is SUSPENDED
    kept.service.answer("renew", yes=True)
    await kept.clock.advance(0.5)
    assert session.state is CONNECTED
    assert session.deadline() == kept.service.began + 3 + USABLE
    await kept.clock.advance(2)
    # The next is due 3 s after the last was sent, not after its answer.
    assert kept.service.times("renew") == [3.0, 6.0]


async def test_lost_exactly_at_the_deadline_without_asking(kept: Kept) -> None:
    session = await kept.start()
    lost: list[float] = []
    session.on_lost(lambda: lost.append(kept.clock.monotonic()))
    kept.service.answer("renew", yes=False)
    kept.service.answer("open", yes=False)
    await kept.clock.advance(USABLE - 0.001)
    assert session.state is SUSPENDED
    assert not session.lost.is_set()
    await kept.clock.advance(5)
    assert session.state is LOST
    assert session.lost.is_set()
    assert await session.lost.wait()
    assert lost == [session.deadline()] == [kept.service.began + USABLE]
    assert session.remaining() == 0.0
    # It was sent again when a third had passed without an answer.
    assert kept.service.times("renew")[:2] == [3.0, 6.0]


async def test_an_answer_at_the_deadline_is_too_late(kept: Kept) -> None:
    session = await kept.start()
    kept.service.answer("renew", yes=False)
    kept.service.answer("open", yes=False)
    # It comes in the same turn in which the time is up, before the timer is called.
    kept.clock.call_later(USABLE, lambda: kept.service.answer("renew", yes=True))
    await kept.clock.advance(USABLE)
    assert session.state is LOST
    assert session.deadline() == kept.service.began + USABLE


async def test_a_held_up_loop_does_not_see_a_dead_session_alive() -> None:
    clock, changes = Clock(), list[SessionState]()
    session = LiveSession("s", TTL, clock.monotonic(), clock, lambda one: changes.append(one.state))
    session.connect()
    calls: list[str] = []
    session.on_lost(lambda: calls.append("lost"))
    clock.jump(USABLE)
    session.renewed(clock.monotonic() - 1)
    assert (session.state, session.lost.is_set(), session.remaining()) == (LOST, True, 0.0)
    assert calls == ["lost"]
    session.connect()
    session.suspend()
    session.lose()
    assert session.state is LOST
    assert changes == [CONNECTED, LOST]
    assert calls == ["lost"]


async def test_a_lost_session_is_closed_where_it_may_be_known_and_another_opens(
    kept: Kept,
) -> None:
    session = await kept.start()
    kept.service.answer("renew", yes=False)
    await kept.clock.advance(USABLE)
    assert session.state is LOST
    assert kept.keeper.session is session
    await kept.clock.advance(0.8)
    # Its holders have the margin to stop before others get what they held.
    assert kept.service.known == {"s1"}
    await kept.clock.advance(0.1)
    assert kept.service.diary[-2:] == [("close s1", TTL), ("open s2", TTL)]
    assert kept.service.known == {"s2"}
    assert (kept.keeper.session.id, kept.keeper.session.state) == ("s2", CONNECTED)
    assert kept.changes == [CONNECTED, SUSPENDED, LOST, CONNECTED]
    assert session.state is LOST


async def test_one_that_the_service_does_not_know_is_lost_at_once(kept: Kept) -> None:
    session = await kept.start()
    kept.service.known.clear()
    await kept.clock.advance(3)
    assert session.state is LOST
    assert kept.keeper.session.id == "s2"
    assert kept.service.times("close s1") == []


async def test_a_call_that_hears_that_the_session_is_unknown_loses_it(kept: Kept) -> None:
    session = await kept.start()
    kept.keeper.forgotten("another")
    assert session.state is CONNECTED
    kept.keeper.forgotten("s1")
    assert session.state is LOST
    await kept.clock.advance(0)
    assert kept.keeper.session.id == "s2"
    # Who hears it late does not harm the next one.
    kept.keeper.forgotten("s1")
    assert kept.keeper.session.state is CONNECTED


async def test_an_abandoned_session_is_closed_at_the_service(kept: Kept) -> None:
    session = await kept.start()
    kept.keeper.abandon("s1")
    assert session.state is LOST
    await kept.clock.advance(1)
    assert kept.service.times("close s1") == [0.9]
    assert kept.keeper.session.id == "s2"


async def test_on_lost_is_called_once_and_can_be_taken_back(kept: Kept) -> None:
    session = await kept.start()
    calls: list[str] = []
    take_back = session.on_lost(lambda: calls.append("taken back"))
    session.on_lost(lambda: calls.append("called"))
    take_back()
    take_back()
    kept.keeper.abandon("s1")
    kept.keeper.abandon("s1")
    assert calls == ["called"]
    session.on_lost(lambda: calls.append("at once"))()
    assert calls == ["called", "at once"]


async def test_a_callback_that_fails_keeps_no_other_from_being_called(kept: Kept) -> None:
    session = await kept.start()
    calls: list[str] = []
    problems: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))

    def fails() -> None:
        raise RuntimeError("no")

    session.on_lost(fails)
    session.on_lost(lambda: calls.append("called"))
    kept.keeper.abandon("s1")
    assert calls == ["called"]
    assert [str(problem) for problem in problems] == ["no"]


async def test_states_give_the_present_one_first_and_end_after_lost(kept: Kept) -> None:
    session = await kept.start()
    seen: list[SessionState] = []

    async def follow() -> None:
        async with session.states() as states:
            seen.extend([state async for state in states])

    task = asyncio.create_task(follow())
    kept.service.answer("renew", yes=False)
    await kept.clock.advance(TTL)
    await asyncio.wait_for(task, 1)
    assert seen == [CONNECTED, SUSPENDED, LOST]
    async with session.states() as states:
        assert [state async for state in states] == [LOST]


# The link


async def test_a_lost_link_suspends_and_a_restored_one_renews_at_once(kept: Kept) -> None:
    session = await kept.start()
    await kept.clock.advance(1)
    kept.keeper.link_lost()
    assert session.state is SUSPENDED
    await kept.clock.advance(4)
    assert kept.service.times("renew") == []
    kept.keeper.link_restored()
    await kept.clock.advance(0)
    assert session.state is CONNECTED
    await kept.clock.advance(3)
    assert kept.service.times("renew") == [5.0, 8.0]


async def test_a_link_that_goes_ends_the_waiting_for_an_answer(kept: Kept) -> None:
    session = await kept.start()
    kept.service.answer("renew", yes=False)
    await kept.clock.advance(3)
    kept.keeper.link_lost()
    await kept.clock.advance(0)
    assert session.state is SUSPENDED
    kept.service.answer("renew", yes=True)
    kept.keeper.link_restored()
    await kept.clock.advance(0)
    assert kept.service.times("renew") == [3.0, 3.0]
    assert session.state is CONNECTED


async def test_a_link_that_stays_away_loses_the_session_and_nothing_is_sent(kept: Kept) -> None:
    session = await kept.start()
    kept.keeper.link_lost()
    await kept.clock.advance(1000)
    assert session.state is LOST
    assert kept.service.diary == [("open s1", 0.0)]
    kept.keeper.link_restored()
    await kept.clock.advance(0)
    assert kept.service.diary[1:] == [("close s1", 1000.0), ("open s2", 1000.0)]
    assert kept.keeper.session.state is CONNECTED


async def test_an_error_is_no_answer_and_it_is_tried_again_soon(kept: Kept) -> None:
    session = await kept.start()
    kept.service.errors["renew"] = ConnectionLostError("gone")
    await kept.clock.advance(3.1)
    assert session.state is SUSPENDED
    del kept.service.errors["renew"]
    await kept.clock.advance(0.1)
    assert session.state is CONNECTED
    assert kept.service.times("renew") == [3.0, 3.05, 3.15]


async def test_the_next_session_is_tried_for_until_there_is_one(kept: Kept) -> None:
    await kept.start()
    kept.service.known.clear()
    kept.service.errors["open"] = AccessDeniedError("not now")
    await kept.clock.advance(10)
    tries = [what for what, _ in kept.service.diary if what.startswith("open")]
    assert 5 < len(tries) < 20
    del kept.service.errors["open"]
    await kept.clock.advance(1)
    assert kept.keeper.session.state is CONNECTED


async def test_what_could_not_be_closed_is_closed_later(kept: Kept) -> None:
    await kept.start()
    kept.service.errors["close"] = ConnectionLostError("gone")
    kept.keeper.abandon("s1")
    await kept.clock.advance(1)
    assert kept.keeper.session.id == "s2"
    assert kept.service.known == {"s1", "s2"}
    del kept.service.errors["close"]
    await kept.clock.advance(3)
    assert kept.service.known == {"s2"}


async def test_a_session_whose_opening_took_longer_than_it_lives_is_none(kept: Kept) -> None:
    await kept.start()
    kept.service.known.clear()
    kept.service.answer("open", yes=False)
    kept.clock.call_later(3 + USABLE, lambda: kept.service.answer("open", yes=True))
    await kept.clock.advance(3 + USABLE + 0.1)
    assert kept.keeper.session.id == "s3"
    assert kept.keeper.session.state is CONNECTED
    assert kept.service.known == {"s3"}


async def test_a_wall_clock_that_is_set_changes_nothing(kept: Kept) -> None:
    session = await kept.start()
    for seconds in (1e9, -2e9):
        kept.clock.step_utc(seconds)
        await kept.clock.advance(4)
        assert session.state is CONNECTED
    assert kept.service.times("renew") == [3.0, 6.0]


# Waiting for a live session


async def test_live_waits_for_a_connected_session(kept: Kept) -> None:
    await kept.start()
    assert (await kept.keeper.live(1)).id == "s1"
    kept.keeper.link_lost()
    waiting = asyncio.create_task(kept.keeper.live(10))
    await kept.clock.advance(5)
    assert not waiting.done()
    kept.keeper.link_restored()
    await kept.clock.advance(0)
    assert (await waiting).id == "s1"


async def test_live_gives_up_when_its_time_is_over(kept: Kept) -> None:
    await kept.start()
    kept.keeper.link_lost()
    waiting = asyncio.create_task(kept.keeper.live(20))
    await kept.clock.advance(19.9)
    assert not waiting.done()
    await kept.clock.advance(0.1)
    with pytest.raises(ConnectionLostError, match="no live session for 20 s") as raised:
        await waiting
    assert not raised.value.maybe_applied


# The end


async def test_close_loses_the_session_and_ends_it_at_the_service(kept: Kept) -> None:
    session = await kept.start()
    kept.keeper.link_lost()
    waiting = asyncio.create_task(kept.keeper.live(10))
    await kept.clock.advance(0)
    kept.keeper.link_restored()
    kept.service.answer("renew", yes=False)
    await kept.clock.advance(0)
    await kept.stop()
    assert session.state is LOST
    assert kept.service.known == set()
    with pytest.raises(BackendClosedError):
        await waiting
    with pytest.raises(BackendClosedError):
        await kept.keeper.live(10)


async def test_close_ends_within_its_time_also_when_nobody_answers(kept: Kept) -> None:
    session = await kept.start()
    kept.service.answer("close", yes=False)
    with anyio.fail_after(3):
        await kept.stop()
    assert session.state is LOST


@pytest.mark.parametrize("phase", ["resting", "renewing", "margin", "closing", "opening", "away"])
async def test_the_end_in_every_phase_leaves_nothing(kept: Kept, phase: str) -> None:
    service = kept.service
    await kept.start()
    if phase == "renewing":
        service.answer("renew", yes=False)
        await kept.clock.advance(3.5)
    elif phase == "away":
        kept.keeper.link_lost()
        await kept.clock.advance(1)
    elif phase != "resting":
        for what in ("close", "open"):
            service.answer(what, yes=phase == "margin")
        kept.keeper.abandon("s1")
        seconds = {"margin": 0.5, "closing": 1.0, "opening": 5.0}[phase]
        await kept.clock.advance(seconds)
    for what in ("renew", "open", "close"):
        service.answer(what, yes=True)
    await kept.stop()
    assert service.known == ({"s1"} if phase == "away" else set())
    diary = list(service.diary)
    await kept.clock.advance(100)
    assert service.diary == diary
    assert kept.clock.timers() == 0
