"""Time and concurrency as tests of the kit see them, and nothing beside it.

The test bodies never name asyncio or anyio, so the same bodies can be driven over synchronous
twins, where no loop is running, by another harness with these methods.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import anyio

__all__ = ("AsyncioHarness", "Background", "Cancelling", "Harness", "Outcome", "Process")

ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

Cancelling = Literal["task", "late", "scope"]
"""How a call is cancelled: at once, after what it waits for had a chance, or again and again."""

Outcome = tuple[ResultT | None, Exception | None]


class Background(Protocol[ResultT_co]):
    """Something that runs beside the test."""

    async def result(self) -> ResultT_co:
        """Wait for its end; its error is raised here."""
        ...


class Process(Protocol):
    """Another Python process that reads and writes lines."""

    async def line(self) -> str:
        """Wait for the next line that it prints; '' when there is none any more."""
        ...

    async def kill(self) -> None:
        """End it with the signal that it cannot catch, and wait for its end."""
        ...


class Harness(Protocol):
    """What a test of the kit may do beside calling the database."""

    async def gather(self, *calls: Coroutine[Any, Any, ResultT]) -> list[ResultT]:
        """Run calls side by side and give their results in order; the first error is raised."""
        ...

    async def outcomes(self, *calls: Coroutine[Any, Any, ResultT]) -> list[Outcome[ResultT]]:
        """Run calls side by side and give (result, error) of each."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def pause(self, seconds: float) -> None:
        """Hold up the whole process, as a suspended machine does: nothing runs meanwhile."""
        ...

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Raise TimeoutError in a block that takes longer."""
        ...

    async def collect(self, iterator: AsyncIterator[ResultT], count: int) -> list[ResultT]:
        """Give the next ``count`` items; when one of them does not come, fail and show the rest."""
        ...

    async def quiet(self, iterator: AsyncIterator[object], seconds: float = 0.1) -> bool:
        """Say whether no item comes for so long; the iterator is not used afterwards."""
        ...

    async def eventually(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Say whether a condition becomes true in time."""
        ...

    def background(
        self, call: Coroutine[Any, Any, ResultT]
    ) -> AbstractAsyncContextManager[Background[ResultT]]:
        """Run a call beside the block; it is cancelled if it has not ended with it."""
        ...

    async def cancel_at(
        self, call: Coroutine[Any, Any, object], suspension: int, how: Cancelling = "task"
    ) -> bool:
        """Cancel a call when it is suspended for the n-th time; True if it never got there."""
        ...

    def process(self, *arguments: str) -> AbstractAsyncContextManager[Process]:
        """Run another Python with these arguments; it is killed at the end of the block."""
        ...

    def now(self) -> datetime:
        """Give the present time, UTC."""
        ...

    def running(self) -> int:
        """Give the number of tasks that are alive."""
        ...


class AsyncioHarness:
    """The harness over a running asyncio loop.

    :param patience: the seconds after which what should happen counts as not happening.
    """

    def __init__(self, patience: float = 10.0) -> None:
        self.patience = patience

    async def gather(self, *calls: Coroutine[Any, Any, ResultT]) -> list[ResultT]:
        results: list[ResultT] = []
        for result, error in await self.outcomes(*calls):
            if error is not None:
                raise error
            results.append(result)  # type: ignore[arg-type]  # without an error it is the result
        return results

    async def outcomes(self, *calls: Coroutine[Any, Any, ResultT]) -> list[Outcome[ResultT]]:
        return list(await asyncio.gather(*map(_outcome, calls)))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)

    async def collect(self, iterator: AsyncIterator[ResultT], count: int) -> list[ResultT]:
        items: list[ResultT] = []
        try:
            while len(items) < count:
                async with asyncio.timeout(self.patience):
                    items.append(await anext(iterator))
        except (TimeoutError, StopAsyncIteration) as error:
            message = f"{count} items were expected, and only these came: {items}"
            raise AssertionError(message) from error
        return items

    async def quiet(self, iterator: AsyncIterator[object], seconds: float = 0.1) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await anext(iterator)
        except TimeoutError:
            return True
        return False

    async def eventually(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        while not await condition():
            if loop.time() > end:
                return False
            await asyncio.sleep(0.005)
        return True

    def background(
        self, call: Coroutine[Any, Any, ResultT]
    ) -> AbstractAsyncContextManager[Background[ResultT]]:
        return _Task(call)

    async def cancel_at(
        self, call: Coroutine[Any, Any, object], suspension: int, how: Cancelling = "task"
    ) -> bool:
        scope = anyio.CancelScope()
        counted = _Counted(call, suspension, how, scope)

        async def run() -> None:
            with scope:
                await counted

        task = asyncio.create_task(run())
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return not counted.reached

    def process(self, *arguments: str) -> AbstractAsyncContextManager[Process]:
        return _Process(arguments)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def running(self) -> int:
        return len(asyncio.all_tasks())


async def _outcome(call: Coroutine[Any, Any, ResultT]) -> Outcome[ResultT]:
    try:
        return await call, None
    except Exception as error:  # noqa: BLE001  # it is handed to the test
        return None, error


class _Task(Generic[ResultT]):
    def __init__(self, call: Coroutine[Any, Any, ResultT]) -> None:
        self._call = call
        self._task: asyncio.Task[ResultT] | None = None

    async def result(self) -> ResultT:
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._call)
        # It has begun when the block begins.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()


class _Counted:
    """Awaits a call and cancels its task when it is suspended for the n-th time."""

    def __init__(
        self,
        call: Coroutine[Any, Any, object],
        suspension: int,
        how: Cancelling,
        scope: anyio.CancelScope,
    ) -> None:
        self._call = call
        self._suspension = suspension
        self._how = how
        self._scope = scope
        self.reached = False

    def __await__(self) -> Generator[Any, Any, None]:
        count, answer, thrown = 0, None, None
        while True:
            try:
                step = self._call.send(answer) if thrown is None else self._call.throw(thrown)
            except StopIteration:
                return
            count += 1
            if count == self._suspension:
                self.reached = True
                self._cancel()
            answer = thrown = None
            try:
                answer = yield step
            except BaseException as error:  # noqa: BLE001  # the call is told, whatever it is
                thrown = error

    def _cancel(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        match self._how:
            case "task":
                task.cancel()
            case "late":
                asyncio.get_running_loop().call_soon(task.cancel)
            case _:
                self._scope.cancel()


class _Process:
    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()
