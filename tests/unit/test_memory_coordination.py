"""The memory engine's tree: its switchboard, its clock, and who shares a name."""

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import pytest

from asyncbackends import (
    ConnectionState,
    DistributedCoordinationService,
    ManualClock,
    SessionState,
    SystemClock,
    open_coordination,
)
from asyncbackends.errors import (
    AccessDeniedError,
    BackendClosedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    NodeNotFoundError,
    OperationTimeoutError,
    TransactionFailedError,
    WriteContentionError,
)
from asyncbackends.opening import Opener
from asyncbackends_memory import CoordinationFaults, coordination_faults
from tests.unit.watched import given

NAME = "switched tree"
CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST


@pytest.fixture
def clock(switchboard: CoordinationFaults) -> ManualClock:
    switchboard.clock = clock = ManualClock()
    return clock


@pytest.fixture
def switchboard() -> Generator[CoordinationFaults]:
    faults = coordination_faults(NAME)
    assert coordination_faults(NAME) is faults
    yield faults
    faults.clear()
    faults.clock, faults.max_pending = SystemClock(), 10_000


def opened(timeout: float = 5.0, **options: Any) -> Opener[DistributedCoordinationService]:
    return open_coordination(engine="memory", endpoints=NAME, operation_timeout=timeout, **options)


# Faults of operations


async def test_fail_next_refuses_and_nothing_is_applied(switchboard: CoordinationFaults) -> None:
    async with opened() as tree:
        switchboard.fail_next(WriteContentionError("busy"), "create_node")
        assert await tree.exists("/a") is None
        with pytest.raises(WriteContentionError):
            await tree.create_node("/a")
        assert await tree.exists("/a") is None
        assert (await tree.create_node("/a")).version == 1


async def test_a_transaction_that_fails_in_the_middle_is_taken_back(
    switchboard: CoordinationFaults,
) -> None:
    async with opened() as tree:
        await tree.create_node("/kept/child", "before", ephemeral=True)
        switchboard.fail_next(ConnectionLostError("killed"), "transaction", at_write=3)
        transaction = (
            tree.transaction()
            .create("/new/node", ephemeral=True)
            .update("/kept/child", "after")
            .delete("/kept/child")
            .delete("/kept")
        )
        async with tree.watch("/", scope="tree") as events:
            with pytest.raises(ConnectionLostError, match="killed"):
                await transaction.commit()
            assert await given(events) == []
        assert await tree.get_children("/") == ["kept"]
        assert await tree.read_node("/kept/child") == b"before"
        # Its revisions are free again, and what goes with the session is still known to.
        assert (await tree.create_node("/b")).version == 3
        switchboard.expire_session()
        assert await tree.get_children("/kept") == []


async def test_a_lost_reply_leaves_the_write_applied(switchboard: CoordinationFaults) -> None:
    async with opened() as tree:
        switchboard.lose_reply("create_node")
        with pytest.raises(ConnectionLostError) as raised:
            await tree.create_node("/a", "v")
        assert raised.value.maybe_applied
        assert raised.value.operation == "create_node"
        switchboard.lose_reply()
        with pytest.raises(ConnectionLostError) as raised:
            await tree.read_node("/a")
        assert not raised.value.maybe_applied
        assert await tree.read_node("/a") == b"v"


async def test_a_delay_past_the_deadline_is_a_timeout_without_effect(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        switchboard.delay(60, "create_node")
        create = asyncio.create_task(tree.create_node("/a"))
        await clock.advance(4.9)
        assert not create.done()
        await clock.advance(0.1)
        with pytest.raises(OperationTimeoutError) as raised:
            await create
        assert not raised.value.maybe_applied
        switchboard.delay(4, "create_node")
        create = asyncio.create_task(tree.create_node("/a"))
        await clock.advance(3.9)
        assert await tree.exists("/a") is None
        await clock.advance(0.1)
        assert (await create).version == 1


async def test_operations_wait_for_a_dropped_connection(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        switchboard.drop_connection()
        assert tree.state is ConnectionState.DISCONNECTED
        create = asyncio.create_task(tree.create_node("/a"))
        await clock.advance(4.9)
        assert not create.done()
        switchboard.restore_connection()
        assert (await asyncio.wait_for(create, 1)).version == 1
        switchboard.drop_connection()
        create = asyncio.create_task(tree.create_node("/b"))
        await clock.advance(5)
        with pytest.raises(ConnectionLostError) as raised:
            await create
        assert not raised.value.maybe_applied
        switchboard.restore_connection()
        assert await tree.exists("/b") is None


async def test_a_fault_for_any_operation_is_not_for_the_keeper(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        session = tree.session
        switchboard.fail_next(AccessDeniedError("no"))
        switchboard.lose_reply()
        switchboard.delay(60)
        await clock.advance(100)
        assert session.state is CONNECTED
        switchboard.clear()
        switchboard.fail_next(ConnectionLostError("gone"), "renew_session", times=10**6)
        await clock.advance(6)
        assert session.state is SUSPENDED


async def test_closing_ends_every_waiting(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        watch = await tree.watch("/a").__aenter__()
        entered = tree.watch("/a")
        switchboard.drop_connection()
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(anext(watch)),
            asyncio.ensure_future(entered.__aenter__()),
            asyncio.ensure_future(tree.read_node("/a")),
            asyncio.ensure_future(tree.create_node("/a", ephemeral=True)),
            asyncio.ensure_future(tree.contend("/a")),
        ]
        await clock.advance(1)
        assert not any(one.done() for one in waiting)
        session = tree.session
    for one in waiting:
        with pytest.raises(BackendClosedError):
            await asyncio.wait_for(one, 1)
    assert session.state is LOST
    for call in (lambda: tree.session, tree.transaction, lambda: tree.watch("/a")):
        with pytest.raises(BackendClosedError):
            call()
    with pytest.raises(BackendClosedError):
        await anext(watch)


async def test_no_session_within_the_connect_timeout(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    for fault in ("dropped", "delayed", "refused"):
        if fault == "dropped":
            switchboard.drop_connection()
        elif fault == "delayed":
            switchboard.delay(60, "open_session")
        else:
            switchboard.fail_next(AccessDeniedError("no"), "open_session")
        opening = asyncio.create_task(opened(connect_timeout=3).__aenter__())
        await clock.advance(0 if fault == "refused" else 3)
        expected = AccessDeniedError if fault == "refused" else ConnectionFailedError
        with pytest.raises(expected):
            await opening
        switchboard.clear()
    async with opened() as tree:
        assert (await tree.create_node("/a")).version == 1


# Sessions


async def test_ephemerals_go_when_the_service_had_no_renewal_for_the_ttl(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened(session_ttl=10) as tree:
        session = tree.session
        await tree.create_node("/a/b", ephemeral=True)
        await clock.advance(8)
        switchboard.freeze_renewals()
        await clock.advance(5)
        assert session.state is SUSPENDED
        # The last renewal was at 6.67 s: lost 9 s later for us, 10 s later for the service.
        await clock.advance(2.6)
        assert session.state is SUSPENDED
        await clock.advance(0.1)
        assert session.state is LOST
        assert await tree.exists("/a/b") is not None
        await clock.advance(0.9)
        assert await tree.exists("/a/b") is not None
        await clock.advance(0.1)
        assert await tree.exists("/a/b") is None
        assert await tree.exists("/a") is not None
        switchboard.thaw_renewals()
        await clock.advance(20)
        assert tree.session.id != session.id
        assert tree.session.state is CONNECTED


async def test_an_expired_session_is_noticed_by_the_next_call(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree, opened() as other:
        session, others = tree.session, other.session
        await tree.create_node("/a", ephemeral=True)
        switchboard.expire_session(session.id)
        assert await other.exists("/a") is None
        assert session.state is CONNECTED
        await tree.exists("/a")
        assert session.state is LOST
        stat = await tree.create_node("/a", ephemeral=True)
        assert stat.ephemeral_owner == tree.session.id != session.id
        assert other.session is others
        with pytest.raises(InvalidRequestError, match="no session"):
            switchboard.expire_session(session.id)


async def test_an_ephemeral_node_goes_with_the_session_that_lives_when_it_is_made(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        session = tree.session
        switchboard.delay(1, "create_node")
        create = asyncio.create_task(tree.create_node("/a", ephemeral=True))
        await clock.advance(0.5)
        switchboard.expire_session()
        await clock.advance(3)
        stat = await create
        assert stat.ephemeral_owner == tree.session.id != session.id
        # Suspended while it was on its way: it waits for the renewal.
        switchboard.delay(1, "transaction")
        commit = asyncio.create_task(tree.transaction().create("/b", ephemeral=True).commit())
        await clock.advance(0.5)
        switchboard.drop_connection()
        switchboard.restore_connection()
        switchboard.fail_next(ConnectionLostError("gone"), "renew_session", times=5)
        await clock.advance(1)
        assert await tree.exists("/b") is None
        await clock.advance(3)
        (made,) = await commit
        assert made is not None
        assert made.ephemeral_owner == tree.session.id


async def test_an_ephemeral_node_waits_for_a_session_until_the_deadline(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        switchboard.fail_next(ConnectionLostError("gone"), "open_session", times=10**6)
        switchboard.expire_session()
        await clock.advance(5)
        create = asyncio.create_task(tree.create_node("/a", ephemeral=True))
        contend = asyncio.create_task(tree.contend("/b"))
        await clock.advance(4.9)
        assert not create.done()
        assert (await tree.create_node("/lasting")).ephemeral_owner is None
        await clock.advance(0.1)
        for task in (create, contend):
            with pytest.raises(ConnectionLostError, match="no live session") as raised:
                await task
            assert not raised.value.maybe_applied
        switchboard.clear()
        await clock.advance(1)
        assert (await tree.create_node("/a", ephemeral=True)).ephemeral_owner == tree.session.id


async def test_shutdown_takes_ephemerals_away_at_once() -> None:
    async with opened() as other, other.watch("/a/b") as events:
        async with opened() as tree:
            await tree.create_node("/a/b", ephemeral=True)
            await tree.contend("/a/c")
        assert await other.get_children("/a/c") == []
        assert await given(events) == ["created /a/b 2", "deleted /a/b 5"]


# Contenders


async def test_a_contender_whose_reply_is_lost_is_found(switchboard: CoordinationFaults) -> None:
    async with opened() as tree:
        switchboard.lose_reply("contend", times=3)
        ticket = await tree.contend("/lock", "me")
        assert await tree.contenders("/lock") == [ticket]
        assert await tree.read_node(ticket.path) == b"me"


async def test_a_contender_that_nobody_can_find_goes_with_its_session(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree:
        session = tree.session
        switchboard.lose_reply("contend")
        switchboard.delay(1, "contend")
        contend = asyncio.create_task(tree.contend("/lock"))
        await clock.advance(1.5)
        switchboard.drop_connection()
        await clock.advance(3.5)
        with pytest.raises(ConnectionLostError, match="nobody could find out") as raised:
            await contend
        assert not raised.value.maybe_applied
        assert session.state is LOST
        switchboard.clear()
        await clock.advance(2)
        assert await tree.contenders("/lock") == []


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_contender_that_is_cancelled_leaves_nothing(
    switchboard: CoordinationFaults, clock: ManualClock, is_down: bool
) -> None:
    async with opened() as tree:
        for turns in range(10):
            session = tree.session
            switchboard.lose_reply("contend", times=2)
            contend = asyncio.create_task(tree.contend("/lock"))
            for _ in range(turns):
                await asyncio.sleep(0)
            if is_down:
                switchboard.drop_connection()
                await asyncio.sleep(0)
            contend.cancel()
            await asyncio.wait({contend})
            switchboard.clear()
            if not contend.cancelled():
                await tree.withdraw(contend.result())
            await clock.advance(2)
            assert await tree.contenders("/lock") == []
            assert is_down or tree.session is session


async def test_a_place_is_given_up_and_guarded_by_its_order() -> None:
    async with opened() as tree, opened(namespace="other", fence_epoch=3) as other:
        first, second = await tree.contend("/lock"), await tree.contend("/lock")
        await tree.create_node("/lock/of another kind", ephemeral=True)
        assert await tree.contenders("/lock") == [first, second]
        assert first.fence < second.fence
        assert first.fence.name == "asyncbackends/lock"
        assert (await other.contend("/lock")).fence.epoch == 3
        await tree.withdraw(first)
        await tree.withdraw(first)
        await tree.create_node(first.path, "another")
        await tree.withdraw(first)
        assert await tree.read_node(first.path) == b"another"
        with pytest.raises(TransactionFailedError) as raised:
            await tree.transaction().create("/a").guard(first).commit()
        assert isinstance(raised.value.error, NodeNotFoundError)
        assert raised.value.index == 1
        assert await tree.exists("/a") is None
        await tree.transaction().guard(second).create("/a").commit()


# Sharing


async def test_openers_of_one_name_share_until_the_last_closes() -> None:
    async with opened() as first:
        async with opened() as second, opened(namespace="other") as apart:
            await first.create_node("/a", "v")
            assert await second.read_node("/a") == b"v"
            assert await apart.get_children("/") == []
        assert await first.get_children("/") == ["a"]
    async with opened() as third:
        assert await third.get_children("/") == []


async def test_another_event_loop_is_refused() -> None:
    problems: list[Exception] = []

    async def open_too() -> None:
        async with opened():
            pass

    def other_loop() -> None:
        try:
            asyncio.run(open_too())
        except ConfigurationError as error:
            problems.append(error)

    async with opened():
        thread = threading.Thread(target=other_loop)
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
    assert "another event loop" in str(problems[0])


async def test_no_timer_is_left_after_the_last_has_closed(
    switchboard: CoordinationFaults, clock: ManualClock
) -> None:
    async with opened() as tree, opened() as other:
        await tree.contend("/a")
        await other.contend("/a")
        await clock.advance(30)
        switchboard.lose_reply("open_session")
        switchboard.expire_session(tree.session.id)
        await clock.advance(5)
    due = [timer for _, _, timer in clock._due if timer.call is not None]  # pyright: ignore[reportPrivateUsage] nobody else asks
    assert due == []
