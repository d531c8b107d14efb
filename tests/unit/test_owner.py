"""The owner task: starts, holds and ends what runs in the background, whatever happens."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from asyncbackends import owner as owner_module
from asyncbackends.errors import AuthenticationFailedError, BackendClosedError, ForkedError
from asyncbackends.owner import Owner


class Background:
    """A backend's background work, and a diary of it."""

    def __init__(self) -> None:
        self.owner = Owner("test database")
        self.diary: list[str] = []

    async def opening(self) -> None:
        self.diary.append("opening")
        assert self.owner.group is not None
        self.owner.group.start_soon(self.work)

    async def work(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            self.diary.append("work ended")

    async def closing(self, grace: float) -> None:
        self.diary.append(f"closing {grace}")


@pytest.fixture
def background() -> Background:
    return Background()


async def wait_in_vain() -> None:
    """Wait for what a stranger has cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks()


async def test_opens_and_closes_in_one_task(background: Background) -> None:
    before, owner = tasks(), background.owner
    seen: list[asyncio.Task[object] | None] = []

    async def opening() -> None:
        seen.append(asyncio.current_task())
        await background.opening()

    async def closing(grace: float) -> None:
        seen.append(asyncio.current_task())
        await background.closing(grace)

    with pytest.raises(BackendClosedError, match="test database is not connected yet"):
        owner.check()
    await owner.start(opening, closing)
    assert owner.started
    owner.check()
    assert len(tasks() - before) == 2
    await owner.stop(1.5)
    assert background.diary == ["opening", "work ended", "closing 1.5"]
    assert seen[0] is seen[1] is not asyncio.current_task()
    assert tasks() == before
    assert owner.failure is None
    with pytest.raises(BackendClosedError, match="test database is closed"):
        owner.check()


async def test_ends_may_be_in_different_tasks(background: Background) -> None:
    owner = background.owner
    await asyncio.create_task(owner.start(background.opening, background.closing))
    owner.check()
    await asyncio.create_task(owner.stop(0))
    assert background.diary[-1] == "closing 0"


async def test_stop_is_idempotent(background: Background) -> None:
    owner = background.owner
    await owner.stop(0)
    await owner.start(background.opening, background.closing)
    await asyncio.gather(owner.stop(0), owner.stop(0), owner.stop(0))
    await owner.stop(0)
    assert background.diary.count("closing 0") == 1


async def test_error_of_opening_is_raised_and_cleaned_up(background: Background) -> None:
    before, owner = tasks(), background.owner

    async def opening() -> None:
        await background.opening()
        await asyncio.sleep(0)
        raise OSError("no such file")  # as Python says it

    with pytest.raises(OSError, match="no such file"):
        await owner.start(opening, background.closing)
    assert background.diary == ["opening", "work ended", "closing 0.0"]
    assert tasks() == before
    with pytest.raises(BackendClosedError):
        owner.check()


@pytest.mark.parametrize("cancel", ["task", "scope"])
async def test_cancelled_start_is_cleaned_up(background: Background, cancel: str) -> None:
    before, owner = tasks(), background.owner
    reached = asyncio.Event()

    async def opening() -> None:
        await background.opening()
        reached.set()
        await asyncio.sleep(3600)

    if cancel == "scope":
        with anyio.move_on_after(0.02) as scope:
            await owner.start(opening, background.closing)
        assert scope.cancelled_caught
    else:
        starting = asyncio.create_task(owner.start(opening, background.closing))
        await reached.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert background.diary == ["opening", "work ended", "closing 0.0"]
    assert tasks() == before


async def test_failure_in_the_background_ends_the_backend(background: Background) -> None:
    before, owner = tasks(), background.owner

    async def opening() -> None:
        await background.opening()
        assert owner.group is not None
        owner.group.start_soon(failing)

    async def failing() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the feed broke")  # it is looked for

    await owner.start(opening, background.closing)
    for _ in range(100):
        await asyncio.sleep(0)
    assert background.diary == ["opening", "work ended", "closing 0.0"]
    with pytest.raises(BackendClosedError, match="test database failed: the feed broke") as refusal:
        owner.check()
    assert isinstance(refusal.value.__cause__, RuntimeError)
    assert owner.failure is refusal.value.__cause__
    await owner.stop(0)
    assert tasks() == before


async def test_failures_at_once_are_one(background: Background) -> None:
    """Both links hear that the password was changed."""
    owner = background.owner

    async def opening() -> None:
        assert owner.group is not None
        for _ in range(2):
            owner.group.start_soon(failing)

    async def failing() -> None:
        await asyncio.sleep(0)
        raise AuthenticationFailedError("the password is wrong")

    await owner.start(opening, background.closing)
    for _ in range(100):
        await asyncio.sleep(0)
    with pytest.raises(BackendClosedError, match="failed: the password is wrong") as refusal:
        owner.check()
    assert isinstance(refusal.value.__cause__, AuthenticationFailedError)
    await owner.stop(0)


async def test_cancelled_stop_ends_all_the_same(background: Background) -> None:
    owner = background.owner
    await owner.start(background.opening, background.closing)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await owner.stop(0)
    assert background.diary[-1] == "closing 0"


@pytest.mark.parametrize("stubborn", ["closing", "work"])
async def test_what_does_not_end_is_given_up(
    background: Background, stubborn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner_module, "CLEAN_UP", 0.05)
    owner = background.owner
    release = asyncio.Event()

    async def closing(grace: float) -> None:
        if stubborn == "closing":
            await asyncio.sleep(3600)

    async def work() -> None:
        while stubborn == "work" and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def opening() -> None:
        assert owner.group is not None
        owner.group.start_soon(work)

    await owner.start(opening, closing)
    async with asyncio.timeout(2):
        await owner.stop(0.05)
    release.set()
    await settled(lambda: len(tasks()) <= 2)
    with pytest.raises(BackendClosedError):
        owner.check()


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110  # the end of a task sets no event
            await asyncio.sleep(0.005)


async def test_what_a_fork_inherited_is_refused_and_left_alone(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    await background.owner.start(background.opening, background.closing)
    with monkeypatch.context() as forked:
        forked.setattr("os.getpid", lambda: -1)
        with pytest.raises(ForkedError, match=r"test database .* before a fork"):
            background.owner.check()
        # Its loop is in the other process, where nobody would answer.
        async with asyncio.timeout(1):
            await background.owner.stop(grace=5)
    background.owner.check()
    await background.owner.stop(grace=1)
    with pytest.raises(BackendClosedError):
        background.owner.check()


async def test_task_that_was_cancelled_by_a_stranger_is_a_failure(background: Background) -> None:
    """anyio's groups end without a word then."""
    owner = background.owner

    await owner.start(background.opening, background.closing)
    assert owner.group is not None
    owner.group.start_soon(wait_in_vain)
    await asyncio.sleep(0.01)
    with pytest.raises(BackendClosedError, match=r"failed: one of its tasks was cancelled"):
        owner.check()
    await owner.stop(0.0)


async def test_task_that_was_cancelled_by_a_stranger_ends_the_opening(
    background: Background,
) -> None:
    owner = background.owner

    async def opening() -> None:
        assert owner.group is not None
        owner.group.start_soon(wait_in_vain)
        await asyncio.sleep(3600)

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="one of its tasks was cancelled"):
            await owner.start(opening, background.closing)
