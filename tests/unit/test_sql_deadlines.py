"""Deadlines end what waits, as asyncio.timeout does, with one timer for all."""

import asyncio

import pytest

from asyncbackends.errors import OperationTimeoutError
from asyncbackends.sql.deadlines import Deadline, Deadlines


def late(deadline: Deadline) -> OperationTimeoutError:
    return OperationTimeoutError("late with" if deadline.connected else "late without")


async def test_late_operation_raises_its_own_error_and_is_not_cancelled_any_more() -> None:
    deadlines = Deadlines(0.02, late)
    with pytest.raises(OperationTimeoutError, match="late with") as caught, deadlines() as deadline:
        deadline.connected = True
        await asyncio.sleep(5)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_is_in_time_is_left_alone() -> None:
    deadlines = Deadlines(0.05, late)
    for _ in range(5):
        with deadlines():
            await asyncio.sleep(0.015)
    await asyncio.sleep(0.06)


async def test_each_ends_at_its_own_time() -> None:
    deadlines = Deadlines(0.1, late)
    loop = asyncio.get_running_loop()

    async def operation(delay: float) -> float:
        await asyncio.sleep(delay)
        begun = loop.time()
        with pytest.raises(OperationTimeoutError), deadlines():
            await asyncio.sleep(5)
        return loop.time() - begun

    for seconds in await asyncio.gather(*(operation(delay / 50) for delay in range(5))):
        assert 0.09 <= seconds < 0.3


async def test_cancellation_from_outside_stays_one() -> None:
    deadlines = Deadlines(0.5, late)

    async def operation() -> None:
        with deadlines():
            await asyncio.sleep(5)

    task = asyncio.create_task(operation())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_from_outside_at_the_same_time_wins() -> None:
    deadlines = Deadlines(0.02, late)

    async def operation() -> None:
        with deadlines():
            try:
                await asyncio.sleep(5)
            finally:
                await asyncio.sleep(0.05)

    task = asyncio.create_task(operation())
    await asyncio.sleep(0.04)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_operation_is_its_own() -> None:
    deadlines = Deadlines(0.02, late)
    with pytest.raises(KeyError), deadlines():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise KeyError from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_outer_deadline_is_not_mistaken_for_the_inner_one() -> None:
    outer = Deadlines(0.02, lambda _: OperationTimeoutError("outer"))
    inner = Deadlines(5, late)
    with pytest.raises(OperationTimeoutError, match="outer"), outer(), inner():
        await asyncio.sleep(5)


async def test_closed_deadlines_look_no_more() -> None:
    deadlines = Deadlines(0.02, late)
    with deadlines():
        deadlines.close()
        await asyncio.sleep(0.04)
