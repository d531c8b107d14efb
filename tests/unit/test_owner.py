"""The one task that owns a backend's background work."""

import asyncio

import anyio
import pytest

from asyncbackends.errors import BackendClosedError, ConnectionFailedError
from asyncbackends.owner import Owner


class Backend:
    """The smallest that has an owner."""

    def __init__(self, error: Exception | None = None) -> None:
        self.owner = Owner("thing")
        self.events: list[str] = []
        self.error = error

    async def opening(self) -> None:
        if self.error is not None:
            raise self.error
        assert self.owner.group is not None
        self.owner.group.start_soon(self.background)
        self.events.append("open")

    async def background(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.events.append("background ended")

    async def closing(self, grace: float) -> None:
        self.events.append(f"closed with {grace:g}")

    async def start(self) -> None:
        await self.owner.start(self.opening, self.closing)


async def test_ends_may_be_in_different_tasks() -> None:
    backend = Backend()
    await asyncio.create_task(backend.start())
    backend.owner.check()
    await asyncio.create_task(backend.owner.stop(1))
    assert backend.events == ["open", "background ended", "closed with 1"]


async def test_calls_before_and_after_are_refused() -> None:
    backend = Backend()
    with pytest.raises(BackendClosedError, match="not connected yet"):
        backend.owner.check()
    await backend.start()
    await backend.owner.stop(0)
    with pytest.raises(BackendClosedError, match="closed"):
        backend.owner.check()
    await backend.owner.stop(0)


async def test_an_error_while_opening_is_raised_as_it_is() -> None:
    backend = Backend(ConnectionFailedError("nobody there"))
    with pytest.raises(ConnectionFailedError, match="nobody there"):
        await backend.start()
    assert backend.events == ["closed with 0"]


async def test_a_cancelled_start_leaves_nothing() -> None:
    backend = Backend()

    async def slow() -> None:
        await backend.opening()
        await anyio.sleep_forever()

    task = asyncio.create_task(backend.owner.start(slow, backend.closing))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.events == ["open", "background ended", "closed with 0"]


async def test_background_work_that_dies_fails_the_backend_with_its_cause() -> None:
    backend = Backend()

    async def dies() -> None:
        raise OSError("the disk is gone")

    async def opening() -> None:
        await backend.opening()
        assert backend.owner.group is not None
        backend.owner.group.start_soon(dies)

    await backend.owner.start(opening, backend.closing)
    await asyncio.sleep(0.01)
    with pytest.raises(BackendClosedError, match="the disk is gone") as raised:
        backend.owner.check()
    assert isinstance(raised.value.__cause__, OSError)
    assert backend.events[-1] == "closed with 0"
    await backend.owner.stop(0)


async def test_clean_up_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncbackends.owner.CLEAN_UP", 0.05)
    backend = Backend()

    async def hangs(grace: float) -> None:
        await anyio.sleep_forever()

    await backend.owner.start(backend.opening, hangs)
    with anyio.fail_after(1):
        await backend.owner.stop(0.05)


async def test_stop_is_not_cut_short_by_a_callers_scope() -> None:
    backend = Backend()
    await backend.start()
    with anyio.move_on_after(0):
        await backend.owner.stop(1)
    assert backend.events[-1] == "closed with 1"
