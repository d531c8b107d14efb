"""A body that stands on a session: who cancelled it is never mixed up, and clean-up ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import pytest

from asyncbackends.clock import ManualClock
from asyncbackends.coordination.session import LiveSession
from asyncbackends.errors import (
    AccessDeniedError,
    ConnectionLostError,
    OperationTimeoutError,
    SessionLostError,
)
from asyncbackends.protocols.nodes import Ticket
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes import Held, patience
from asyncbackends.recipes.holding import PlaceBlock
from asyncbackends.recipes.patience import clean_up, finished
from asyncbackends.recipes.waiting import withdrawn

TICKET = Ticket("/lock/me", 7, "s1", Fence("/lock", 0, 7))


class Queue:
    """The part of the contract that gives a place up."""

    def __init__(self) -> None:
        self.withdrawals = 0
        self.step: Callable[[], Awaitable[None]] | None = None

    async def contend(self, path: str, value: object = b"") -> Ticket:
        raise NotImplementedError

    async def contenders(self, path: str) -> list[Ticket]:
        raise NotImplementedError

    async def withdraw(self, ticket: Ticket) -> None:
        self.withdrawals += 1
        await asyncio.sleep(0)
        if self.step is not None:
            await self.step()


def live_session(ttl: float = 10.0) -> LiveSession:
    session = LiveSession("s1", ttl, 1000.0, ManualClock(), lambda _: None)
    session.connect()
    return session


class Block:
    """A block as locks and terms have it."""

    def __init__(self, session: LiveSession, queue: Queue | None = None) -> None:
        self.session = session
        self.queue = queue or Queue()
        self.place = Held(self.queue, TICKET, session)

    async def __aenter__(self) -> Held:
        self._block = PlaceBlock(self.place, self.place.release, SessionLostError)
        return self.place

    async def __aexit__(self, *raised: object) -> None:
        await self._block.leave(*raised)  # type: ignore[arg-type]  # as the interpreter gives it


async def cancelling_after(*calls: Callable[[], object]) -> None:
    await asyncio.sleep(0.01)
    for call in calls:
        call()


async def test_lost_session_ends_the_body_and_only_that() -> None:
    session = live_session()
    block = Block(session)
    reached = False
    with pytest.raises(SessionLostError, match="s1"):
        async with block:
            asyncio.get_running_loop().call_later(0.01, session.lose)
            await asyncio.sleep(60)
            reached = True
    assert not reached
    assert block.place.lost.is_set()
    assert block.place.remaining() == 0.0
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.01)  # nothing cancels what comes after the block


Order = Literal["session first", "caller first"]


@pytest.mark.parametrize("order", ["session first", "caller first"])
@pytest.mark.parametrize("inner", ["plain", "asyncio.timeout", "anyio scope", "task group"])
async def test_cancellation_by_the_caller_at_the_same_time_stays_one(
    order: Order, inner: str
) -> None:
    session = live_session()

    async def body() -> None:
        match inner:
            case "asyncio.timeout":
                async with asyncio.timeout(60):
                    await asyncio.sleep(60)
            case "anyio scope":
                with anyio.move_on_after(60):
                    await asyncio.sleep(60)
            case "task group":
                async with anyio.create_task_group() as group:
                    group.start_soon(asyncio.sleep, 60)
            case _:
                await asyncio.sleep(60)

    async def run() -> None:
        async with Block(session):
            await body()

    task = asyncio.create_task(run())
    calls = (session.lose, task.cancel)
    await cancelling_after(*(calls if order == "session first" else reversed(calls)))
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize("order", ["session first", "caller first"])
async def test_scope_around_the_block_stays_cancelled(order: Order) -> None:
    session = live_session()
    after = False
    with anyio.CancelScope() as scope:
        calls = (session.lose, scope.cancel)
        loop = asyncio.get_running_loop()
        for call in calls if order == "session first" else reversed(calls):
            loop.call_later(0.01, call)
        async with Block(session):
            await asyncio.sleep(60)
        after = True
    assert scope.cancelled_caught
    assert not after


@pytest.mark.parametrize("order", ["session first", "caller first"])
async def test_timeout_around_the_block_stays_one(order: Order) -> None:
    session = live_session()
    loop = asyncio.get_running_loop()
    soon = loop.time() + 0.01
    first = order == "session first"
    deadline = asyncio.timeout_at(soon + first * 0.001)
    with pytest.raises(TimeoutError):
        async with deadline:
            loop.call_at(soon + (not first) * 0.001, session.lose)
            # Both are due by the time that the loop looks again.
            loop.call_later(0, time.sleep, 0.03)
            async with Block(session):
                await asyncio.sleep(60)
    assert deadline.expired()


@pytest.mark.parametrize("kind", ["asyncio.timeout", "anyio scope", "asyncio task group"])
async def test_scopes_of_the_body_do_not_take_our_cancellation_for_theirs(kind: str) -> None:
    session = live_session()
    asyncio.get_running_loop().call_later(0.01, session.lose)
    with pytest.raises(SessionLostError):
        async with Block(session):
            match kind:
                case "asyncio.timeout":
                    async with asyncio.timeout(60):
                        await asyncio.sleep(60)
                case "anyio scope":
                    with anyio.move_on_after(60):
                        await asyncio.sleep(60)
                case _:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(60))
            pytest.fail("the body went on")


async def test_own_timeout_of_the_body_is_its_own() -> None:
    session = live_session()
    async with Block(session) as place:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        with anyio.move_on_after(0.01) as scope:
            await asyncio.sleep(60)
        assert scope.cancelled_caught
        assert not place.lost.is_set()


async def test_body_that_swallows_its_cancellation_does_not_hide_the_loss() -> None:
    session = live_session()
    with pytest.raises(SessionLostError):
        async with Block(session):
            session.lose()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(60)


async def test_loss_that_the_body_did_not_notice_is_raised() -> None:
    session = live_session()
    queue = Queue()
    with pytest.raises(SessionLostError):
        async with Block(session, queue):
            session.lose()
    assert queue.withdrawals == 0


async def test_exception_of_the_body_wins_and_tells_of_the_loss() -> None:
    session = live_session()
    with pytest.raises(ZeroDivisionError) as failure:
        async with Block(session):
            session.lose()
            raise ZeroDivisionError
    assert "SessionLostError" in "".join(failure.value.__notes__)


async def test_group_with_our_cancellation_in_it_keeps_the_rest() -> None:
    session = live_session()
    queue = Queue()
    with pytest.raises(BaseExceptionGroup) as failure:
        async with Block(session, queue):
            session.lose()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                several = [error, ZeroDivisionError()]
                raise BaseExceptionGroup("both", several) from None
    assert failure.group_contains(ZeroDivisionError)


async def test_what_was_given_up_is_not_lost_any_more() -> None:
    session = live_session()
    queue = Queue()
    async with Block(session, queue) as place:
        await place.release()
        session.lose()
        await asyncio.sleep(0.01)
        assert place.remaining() == 0.0
    assert queue.withdrawals == 1


async def test_failed_clean_up_is_raised_or_noted() -> None:
    async def refused() -> None:
        raise AccessDeniedError("no")

    queue = Queue()
    queue.step = refused
    with pytest.raises(AccessDeniedError):
        async with Block(live_session(), queue):
            pass
    with pytest.raises(ZeroDivisionError) as failure:
        async with Block(live_session(), queue):
            raise ZeroDivisionError
    assert "AccessDeniedError: no" in failure.value.__notes__


async def test_clean_up_is_tried_again_while_the_session_lives() -> None:
    failures = 3

    async def flaky() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionLostError("gone", maybe_applied=True)

    queue = Queue()
    queue.step = flaky
    await withdrawn(queue, TICKET, live_session())
    assert queue.withdrawals == 4


async def test_hung_clean_up_ends_with_the_session() -> None:
    session, queue = live_session(), Queue()
    queue.step = asyncio.Event().wait  # type: ignore[assignment]  # it never ends
    asyncio.get_running_loop().call_later(0.01, session.lose)
    async with asyncio.timeout(5):
        await withdrawn(queue, TICKET, session)


async def test_hung_clean_up_ends_though_the_session_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def little(_: LiveSession) -> float:
        return 0.05

    monkeypatch.setattr(patience, "SPARE", 0.05)
    monkeypatch.setattr(LiveSession, "remaining", little)
    session, queue = live_session(), Queue()
    queue.step = asyncio.Event().wait  # type: ignore[assignment]  # it never ends
    started = time.monotonic()
    with pytest.raises(OperationTimeoutError, match="s1") as failure:
        await withdrawn(queue, TICKET, session)
    assert failure.value.maybe_applied
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("how", ["task", "scope", "both"])
async def test_clean_up_is_not_cancelled(how: str) -> None:
    done = False

    async def slow() -> None:
        nonlocal done
        await asyncio.sleep(0.05)
        done = True

    async def run() -> None:
        with scope:
            await clean_up(slow, live_session(), "it")
            await asyncio.sleep(0)

    scope = anyio.CancelScope()
    task = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    if how != "task":
        scope.cancel()
    if how != "scope":
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait({task})
    assert done
    assert task.cancelled() == (how != "scope")
    assert scope.cancelled_caught == (how == "scope")


async def test_finished_gives_the_result_or_the_error() -> None:
    async def divided(by: int) -> int:
        return 6 // by

    assert await finished(divided(2)) == 3
    with pytest.raises(ZeroDivisionError):
        await finished(divided(0))
