"""The recipe Lock, on the memory engine and a clock turned by hand."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio
import pytest

from asyncbackends.errors import (
    AccessDeniedError,
    BackendClosedError,
    ConnectionLostError,
    InvalidRequestError,
    LockNotAcquiredError,
    NodeNotFoundError,
    SessionLostError,
    TransactionFailedError,
)
from asyncbackends.protocols.coordination import DistributedCoordinationService, SessionState
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes import Held, Lock
from asyncbackends.testing.harness import AsyncioHarness, Cancelling
from tests.unit.coordinating import TTL, Tree, Waiter, Watched, contended, settled, until

PATH = "/devices/7"


@pytest.fixture
async def tree() -> AsyncGenerator[Tree]:
    async with Tree() as tree:
        yield tree


@pytest.fixture
async def client(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


@pytest.fixture
async def other(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


async def places(client: DistributedCoordinationService) -> int:
    return len(await client.contenders(PATH))


async def in_line(client: DistributedCoordinationService, count: int) -> None:
    await contended(client, PATH, count)


async def test_held_lock_says_what_it_stands_on(client: DistributedCoordinationService) -> None:
    async with Lock(client, PATH, "host-1") as held:
        assert held.session is client.session
        assert held.ticket == (await client.contenders(PATH))[0]
        assert held.fence == held.ticket.fence
        assert held.fence == Fence(f"asyncbackends{PATH}", 0, held.ticket.order)
        assert 0 < held.remaining() <= TTL - 1
        assert not held.lost.is_set()
        assert await client.read_node(held.ticket.path) == b"host-1"
    assert held.remaining() == 0.0
    assert await places(client) == 0


async def test_twenty_contenders_have_it_in_order_one_at_a_time(tree: Tree) -> None:
    clients = [await tree.client() for _ in range(4)]
    locks = [Lock(client, PATH) for client in clients]
    inside, fences, order = 0, list[Fence](), list[int]()

    async def contend(number: int) -> None:
        nonlocal inside
        async with locks[number % 4] as held:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.001)
            fences.append(held.fence)
            order.append(number)
            inside -= 1

    async with asyncio.TaskGroup() as group, Lock(clients[0], PATH):
        for number in range(20):
            group.create_task(contend(number))
            await in_line(clients[0], number + 2)
        assert order == []
    assert order == list(range(20))
    assert fences == sorted(set(fences))


async def test_release_wakes_the_next_one_alone(client: DistributedCoordinationService) -> None:
    first = Waiter(Lock(client, PATH))
    await in_line(client, 1)
    watched = [Watched(client) for _ in range(6)]
    waiters: list[Waiter] = []
    for number, one in enumerate(watched):
        waiters.append(Waiter(Lock(one, PATH)))
        await in_line(client, number + 2)
    line = [ticket.path for ticket in await client.contenders(PATH)]
    assert [one.watched for one in watched] == [[path] for path in line[:-1]]
    lists = [one.lists for one in watched]
    await first.end()
    await until(lambda: waiters[0].held is not None)
    await settled()
    assert [one.lists for one in watched][1:] == lists[1:]
    for waiter in waiters:
        await waiter.end()


async def test_change_between_reading_and_watching_is_not_missed(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    held = await Lock(other, PATH).acquire()
    watched = Watched(client)
    watched.before_watch = held.release
    async with asyncio.timeout(5), Lock(watched, PATH):
        assert watched.watched == [held.ticket.path]


@pytest.mark.parametrize("gap", ["dropped events", "reconnect", "value of the holder"])
async def test_spurious_wake_up_is_checked_again(
    tree: Tree,
    client: DistributedCoordinationService,
    other: DistributedCoordinationService,
    gap: str,
) -> None:
    held = await Lock(other, PATH).acquire()
    waiter = Waiter(Lock(client, PATH))
    await in_line(client, 2)
    match gap:
        case "dropped events":
            tree.faults.drop_events(100)
        case "reconnect":
            tree.faults.drop_connection()
            tree.faults.restore_connection()
            await tree.clock.advance(TTL / 3)
        case _:
            await other.update_node(held.ticket.path, b"changed")
    await settled()
    assert waiter.held is None
    await held.release()
    await tree.clock.advance(TTL / 3)
    await until(lambda: waiter.held is not None)
    await waiter.end()


async def test_lost_session_cancels_the_body_before_another_can_have_it(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    events: list[str] = []

    async def hold() -> None:
        try:
            async with Lock(client, PATH) as held:
                events.append(f"held {held.fence.token}")
                try:
                    await asyncio.Event().wait()
                finally:
                    events.append("stopped")
                    assert held.remaining() == 0.0
        except SessionLostError:
            events.append("lost")

    holder = asyncio.create_task(hold())
    await in_line(client, 1)
    waiter = Waiter(Lock(other, PATH))
    await in_line(client, 2)
    began = tree.clock.monotonic()
    session = client.session
    tree.faults.freeze_renewals()
    await tree.clock.advance(session.remaining() - 0.01)
    assert not holder.done()
    await tree.clock.advance(0.02)
    assert holder.done()
    assert events[1:] == ["stopped", "lost"]
    assert waiter.held is None
    assert tree.clock.monotonic() - began < TTL
    tree.faults.thaw_renewals()
    for _ in range(30):
        await tree.clock.advance(1)
    await until(lambda: waiter.held is not None)
    assert waiter.held is not None
    assert waiter.held.fence.token > int(events[0].split()[1])
    await waiter.end()


async def test_forgotten_holder_has_the_lower_fence(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    fences: list[Fence] = []
    with pytest.raises(SessionLostError):
        async with Lock(client, PATH) as held:
            fences.append(held.fence)
            tree.faults.expire_session(client.session.id)
            # The service gave it away, and the holder cannot know yet: this is what fences are for.
            async with asyncio.timeout(5), Lock(other, PATH) as second:
                assert not held.lost.is_set()
                fences.append(second.fence)
            await tree.clock.advance(TTL / 3 + 0.1)
            await asyncio.Event().wait()
    async with asyncio.timeout(5), Lock(client, PATH) as third:
        assert third.session is client.session
        fences.append(third.fence)
    assert fences == sorted(set(fences))


async def test_shutdown_ends_the_body(tree: Tree, client: DistributedCoordinationService) -> None:
    holder = Waiter(Lock(client, PATH))
    await until(lambda: holder.held is not None)
    await client.shutdown()
    with pytest.raises(SessionLostError):
        await holder.task
    with pytest.raises(BackendClosedError):
        await Lock(client, PATH).acquire()


@pytest.mark.parametrize("ending", ["release", "cancel", "expiry"])
async def test_next_but_one_moves_up_when_the_one_before_vanishes(
    tree: Tree, client: DistributedCoordinationService, ending: str
) -> None:
    between = await tree.client()
    last = await tree.client()
    first = Waiter(Lock(client, PATH))
    await in_line(client, 1)
    second = Waiter(Lock(between, PATH))
    await in_line(client, 2)
    third = Waiter(Lock(last, PATH))
    await in_line(client, 3)
    match ending:
        case "release":
            await first.end()
            await until(lambda: second.held is not None)
            await second.end()
        case "cancel":
            second.task.cancel()
            await asyncio.wait({second.task})
            await settled()
            assert third.held is None
            await first.end()
        case _:
            tree.faults.expire_session(between.session.id)
            await settled()
            assert third.held is None
            await first.end()
    await until(lambda: third.held is not None)
    await third.end()
    if not second.task.done():
        await tree.clock.advance(TTL)
        await until(lambda: second.held is not None)
        await second.end()
    assert await places(client) == 0


async def test_waiter_that_loses_its_session_waits_again_with_the_next(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    first = Waiter(Lock(client, PATH))
    await in_line(client, 1)
    second = Waiter(Lock(other, PATH))
    await in_line(client, 2)
    before = other.session.id
    await tree.lose_session(other)
    await in_line(client, 2)
    assert second.held is None
    await first.end()
    await until(lambda: second.held is not None)
    assert second.held is not None
    assert second.held.session is other.session
    assert second.held.ticket.session_id == other.session.id != before
    await second.end()


async def test_place_that_somebody_removed_is_taken_again(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    first = Waiter(Lock(client, PATH))
    await in_line(client, 1)
    second = Waiter(Lock(other, PATH))
    await in_line(client, 2)
    await client.delete_node((await client.contenders(PATH))[1].path)
    await first.end()
    await until(lambda: second.held is not None)
    await second.end()


async def test_suspended_session_is_granted_nothing(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    held = await Lock(client, PATH).acquire()
    waiter = Waiter(Lock(other, PATH))
    await in_line(client, 2)
    tree.faults.freeze_renewals()
    await tree.clock.advance(TTL * 0.7)
    suspended = other.session.state
    assert suspended is SessionState.SUSPENDED
    await held.release()
    await settled()
    assert waiter.held is None
    tree.faults.thaw_renewals()
    await tree.clock.advance(1)
    assert other.session.state is SessionState.CONNECTED
    await until(lambda: waiter.held is not None)
    await waiter.end()


async def test_timeout_leaves_no_place(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Lock(client, PATH):
        with pytest.raises(LockNotAcquiredError, match=PATH):
            await Lock(other, PATH).acquire(timeout=0.05)
        assert await places(client) == 1
    held = await Lock(other, PATH).acquire(timeout=5)
    await held.release()


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
async def test_timeout_is_finite_and_above_zero(
    client: DistributedCoordinationService, timeout: float
) -> None:
    with pytest.raises(InvalidRequestError, match="timeout"):
        await Lock(client, PATH).acquire(timeout)


async def test_error_that_passes_is_waited_out(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    lost = ConnectionLostError("gone")
    tree.faults.fail_next(lost, "contend")
    tree.faults.fail_next(lost, "contenders", times=2)
    async with asyncio.timeout(5), Lock(client, PATH):
        assert await places(client) == 1


async def test_error_that_stays_is_raised_and_leaves_no_place(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    for operation in ("contend", "contenders"):
        tree.faults.fail_next(AccessDeniedError("no"), operation)
        with pytest.raises(AccessDeniedError):
            await Lock(client, PATH).acquire()
        assert await places(client) == 0


@pytest.mark.parametrize("operation", ["contend", "contenders", "withdraw"])
async def test_lost_reply_leaves_no_place(
    tree: Tree, client: DistributedCoordinationService, operation: str
) -> None:
    tree.faults.lose_reply(operation)
    async with asyncio.timeout(5), Lock(client, PATH):
        assert await places(client) == 1
    assert await places(client) == 0


async def test_release_waits_for_the_link(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    holder = Waiter(Lock(client, PATH))
    await until(lambda: holder.held is not None)
    tree.faults.drop_connection()
    holder.leave.set()
    await settled()
    assert not holder.task.done()
    tree.faults.restore_connection()
    await holder.task
    assert await places(other) == 0


async def test_release_without_a_link_ends_with_the_session(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    holder = Waiter(Lock(client, PATH))
    await until(lambda: holder.held is not None)
    tree.faults.drop_connection()
    holder.leave.set()
    await settled()
    await tree.clock.advance(TTL)
    # The body ended while it was still held.
    await holder.task


async def test_acquired_lock_is_released_once(client: DistributedCoordinationService) -> None:
    held = await Lock(client, PATH).acquire()
    again = asyncio.create_task(Lock(client, PATH).acquire())
    await in_line(client, 2)
    await held.release()
    await held.release()
    assert held.remaining() == 0.0
    await (await again).release()


async def test_acquired_lock_knows_that_it_is_lost(
    tree: Tree, client: DistributedCoordinationService
) -> None:
    held = await Lock(client, PATH).acquire()
    await tree.lose_session(client)
    assert await held.lost.wait()
    assert held.remaining() == 0.0
    await held.release()


async def test_ticket_guards_a_transaction(client: DistributedCoordinationService) -> None:
    async with Lock(client, PATH) as held:
        await client.transaction().guard(held.ticket).create("/a").commit()
    with pytest.raises(TransactionFailedError) as refusal:
        await client.transaction().create("/b").guard(held.ticket).commit()
    assert refusal.value.index == 1
    assert isinstance(refusal.value.error, NodeNotFoundError)
    assert await client.exists("/b") is None


async def test_one_object_serves_many_tasks_and_no_task_twice(
    client: DistributedCoordinationService,
) -> None:
    lock = Lock(client, PATH)
    inside = 0

    async def use() -> None:
        nonlocal inside
        async with lock:
            inside += 1
            assert inside == 1
            with pytest.raises(InvalidRequestError, match="reentrant"):
                async with lock:
                    pass
            inside -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(use)
    await asyncio.gather(use(), use())
    await use()
    assert await places(client) == 0


async def test_several_locks_nest_in_a_stack(client: DistributedCoordinationService) -> None:
    async with AsyncExitStack() as stack:
        fences = {
            (await stack.enter_async_context(Lock(client, f"/{name}"))).fence.name
            for name in ("a", "b", "c")
        }
    assert len(fences) == 3


async def test_block_is_left_by_the_task_that_entered(
    client: DistributedCoordinationService,
) -> None:
    lock = Lock(client, PATH)
    await lock.__aenter__()
    with pytest.raises(InvalidRequestError, match="another task"):
        await asyncio.create_task(lock.__aexit__(None, None, None))
    await lock.__aexit__(None, None, None)


@pytest.mark.parametrize("how", ["task", "late", "scope"])
@pytest.mark.parametrize("contended", [False, True])
async def test_cancelled_at_any_await_nothing_is_left(
    client: DistributedCoordinationService,
    other: DistributedCoordinationService,
    how: Cancelling,
    contended: bool,
) -> None:
    harness = AsyncioHarness()

    async def use() -> None:
        async with Lock(client, PATH):
            await asyncio.sleep(0)

    async def release_soon(held: Held) -> None:
        await asyncio.sleep(0.005)
        await held.release()

    for suspension in range(1, 200):
        held = await Lock(other, PATH).acquire()
        if not contended:
            await held.release()
        release = asyncio.create_task(release_soon(held))
        completed = await harness.cancel_at(use(), suspension, how)
        await release
        assert await places(other) == 0
        if completed:
            break
    else:
        pytest.fail("it never came to its end")
    assert suspension > 3


async def test_timeout_around_the_block_leaves_no_place(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Lock(client, PATH):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), Lock(other, PATH):
                pytest.fail("it was not to be had")
        with anyio.move_on_after(0.02) as scope:
            async with Lock(other, PATH):
                pytest.fail("it was not to be had")
        assert scope.cancelled_caught
        assert await places(client) == 1
