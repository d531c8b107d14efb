"""The lock: one holder, first come, first served, and nothing left by anybody."""

from typing import Any

import pytest

from asyncbackends.errors import (
    InvalidRequestError,
    LockNotAcquiredError,
    NodeNotFoundError,
    SessionLostError,
    TransactionFailedError,
)
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.lock import Held, Lock
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
    nobody_left,
    wait_for_line,
    wait_for_some,
)

__all__ = ("LockConformance",)


class LockConformance(CoordinationFixtures):
    """The recipe Lock."""

    async def test_held_lock_says_what_it_stands_on(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        async with Lock(coordination, root, "host-1") as held:
            assert await other.contenders(root) == [held.ticket]
            assert await other.read_node(held.ticket.path) == b"host-1"
            assert held.session is coordination.session
            assert held.fence == held.ticket.fence
            assert not held.lost.is_set()
            assert 0 < held.remaining() < held.session.ttl
        assert held.remaining() == 0.0
        assert not held.lost.is_set()
        assert await is_empty(other, root)

    async def test_lock_has_one_holder(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        holders: list[int] = []
        fences: list[Fence] = []

        async def hold(number: int, client: Coordination) -> None:
            for _ in range(5):
                async with Lock(client, root) as held:
                    holders.append(number)
                    assert holders == [number]
                    fences.append(held.fence)
                    await harness.sleep(0.001)
                    assert holders == [number]
                    holders.remove(number)

        async with harness.deadline(30):
            await harness.gather(
                *(hold(number, client) for number, client in enumerate([coordination, other] * 4))
            )
        assert len(fences) == 40
        assert fences == sorted({*fences}, key=lambda fence: fence.order)
        assert await is_empty(other, root)

    async def test_twenty_contenders_hold_it_in_the_order_of_their_coming(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        order: list[int] = []
        locks = [Lock(coordination, root), Lock(other, root)]

        async def hold(number: int) -> None:
            await wait_for_line(harness, other, root, number + 1)
            async with locks[number % 2] as held:
                order.append(number)
                fences.append(held.fence)
                await harness.sleep(0.001)

        fences: list[Fence] = []
        first = await locks[0].acquire()
        async with harness.background(harness.gather(*(hold(n) for n in range(20)))) as holding:
            await wait_for_line(harness, other, root, 21)
            assert order == []
            await first.release()
            async with harness.deadline(30):
                await holding.result()
        assert order == [*range(20)]
        assert [fence.order for fence in fences] == sorted({fence.order for fence in fences})
        assert first.fence.order < fences[0].order
        assert await is_empty(other, root)

    async def test_fence_grows_whatever_happens_to_the_path(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        fences: list[Fence] = []
        for number in range(6):
            async with Lock((coordination, other)[number % 2], root) as held:
                fences.append(held.fence)
            if number % 2:
                await coordination.delete_node(root, recursive=True)
        assert [fence.order for fence in fences] == sorted({fence.order for fence in fences})
        assert len({fence.name for fence in fences}) == 1

    async def test_locks_of_other_paths_are_free(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with harness.deadline(5), Lock(coordination, f"{root}/a") as first:
            async with Lock(coordination, f"{root}/b"), Lock(other, f"{root}/a/b") as third:
                assert first.fence.name != third.fence.name
                # What else is below the path is no contender.
                await other.create_node(f"{root}/a/0", ephemeral=True)
            assert not first.lost.is_set()

    async def test_acquired_lock_is_released_by_whoever(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        (held,) = await harness.gather(Lock(coordination, root).acquire())
        async with harness.background(Lock(other, root).acquire()) as waiting:
            await wait_for_line(harness, other, root, 2)
            await harness.gather(held.release(), held.release())
            async with harness.deadline(5):
                later = await waiting.result()
        assert later.fence.order > held.fence.order
        assert held.remaining() == 0.0
        for one in (held, later, later):
            await one.release()
        assert await is_empty(coordination, root)

    async def test_lock_that_is_not_to_be_had_in_time(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async with Lock(coordination, root) as held:
            for client in (coordination, other):
                with pytest.raises(LockNotAcquiredError):
                    async with harness.deadline(5):
                        await Lock(client, root).acquire(timeout=0.05)
                assert await other.contenders(root) == [held.ticket]
        async with harness.deadline(5):
            later = await Lock(other, root).acquire(timeout=4)
            await later.release()
        assert await is_empty(coordination, root)

    @pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "1"])
    async def test_timeout_must_be_finite_and_above_0(
        self, coordination: Coordination, root: str, timeout: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            await Lock(coordination, root).acquire(timeout)
        assert await coordination.exists(root) is None

    async def test_lock_is_not_reentrant(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        lock = Lock(coordination, root)
        entered: list[Held] = []

        async def enter() -> None:
            async with lock as held:
                entered.append(held)

        async with harness.deadline(5), lock as held:
            with pytest.raises(InvalidRequestError):
                async with lock:
                    pass
            assert await coordination.contenders(root) == [held.ticket]
            # Another task is another contender, also by the same object.
            async with harness.background(enter()) as waiting:
                await wait_for_line(harness, coordination, root, 2)
                assert entered == []
                await held.release()
                await waiting.result()
        async with lock:
            pass
        assert len(entered) == 1

    async def test_body_may_fail(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with Lock(coordination, root):
                raise KeyError("mine")
        assert await is_empty(other, root)

    async def test_guarded_transaction_of_a_former_holder_is_refused(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        register = f"{root}-register"
        await coordination.create_node(register, b"0")
        async with Lock(coordination, root) as first:
            guarded = coordination.transaction().guard(first.ticket)
            await guarded.update(register, b"1").commit()
        async with Lock(other, root) as second:
            late = coordination.transaction().guard(first.ticket).update(register, b"2")
            with pytest.raises(TransactionFailedError) as refusal:
                await late.commit()
            assert refusal.value.index == 0
            assert isinstance(refusal.value.error, NodeNotFoundError)
            await other.transaction().guard(second.ticket).update(register, b"3").commit()
        assert await coordination.read_node(register) == b"3"

    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    async def test_cancelled_anywhere_while_it_is_free(
        self,
        coordination: Coordination,
        other: Coordination,
        root: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        ends = CleanEnds(harness, other, root)

        async def hold() -> None:
            async with Lock(coordination, root):
                await harness.sleep(0)

        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.cancel_at(hold(), suspension, how):
                break
        else:
            pytest.fail("it did not end")
        async with harness.deadline(5), Lock(other, root):
            pass

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_cancelled_anywhere_while_it_waits(
        self,
        coordination: Coordination,
        other: Coordination,
        root: str,
        harness: Harness,
        how: Cancelling,
    ) -> None:
        """Cancelled in line, when its turn comes, and when it lets go."""

        async def hold() -> None:
            async with Lock(coordination, root):
                await harness.sleep(0)

        async def cancelled(suspension: int) -> bool:
            holder = await Lock(other, root).acquire()
            call = harness.cancel_at(hold(), suspension, how)
            async with harness.background(call) as waiting:
                await harness.sleep(0.005)
                await holder.release()
                async with harness.deadline(5):
                    return await waiting.result()

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.after(cancelled(suspension)):
                assert suspension > 3
                return
        pytest.fail("it did not end")

    async def test_one_in_line_who_leaves_lets_nobody_in(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """The others keep their order, and wait on."""
        order: list[str] = []

        async def hold(name: str, client: Coordination) -> None:
            async with Lock(client, root):
                order.append(name)

        first = await Lock(coordination, root).acquire()
        async with harness.background(hold("second", other)):
            await wait_for_line(harness, other, root, 2)
            async with harness.background(hold("third", coordination)) as third:
                await wait_for_line(harness, other, root, 3)
                leaving = (await other.contenders(root))[1]
                # The second is cancelled by the end of a block of its own.
                async with harness.background(hold("fourth", other)) as fourth:
                    await wait_for_line(harness, other, root, 4)
                    await coordination.withdraw(leaving)
                    await harness.sleep(0.05)
                    assert order == []
                    await first.release()
                    async with harness.deadline(5):
                        await third.result()
                        await fourth.result()
        # Whose place was taken from it came again, behind the others.
        assert order[:2] == ["third", "fourth"]
        await nobody_left(harness, coordination, root)

    async def test_holder_that_shuts_down_lets_the_next_one_in(
        self,
        make_coordination: MakeCoordination,
        coordination: Coordination,
        root: str,
        harness: Harness,
    ) -> None:
        leaving = make_coordination()
        await leaving.connect()
        ended: list[str] = []
        entered: list[Fence] = []

        async def hold() -> None:
            async with Lock(leaving, root) as held:
                entered.append(held.fence)
                await harness.sleep(FOR_EVER)
                ended.append("went on")

        async with harness.background(harness.outcomes(hold())) as holding:
            await wait_for_some(harness, entered)
            async with harness.background(Lock(coordination, root).acquire()) as waiting:
                await wait_for_line(harness, coordination, root, 2)
                async with harness.deadline(10):
                    await leaving.shutdown()
                    ((_, error),) = await holding.result()
                    later = await waiting.result()
        assert isinstance(error, SessionLostError)
        assert ended == []
        assert later.fence.order > entered[0].order
        await later.release()
