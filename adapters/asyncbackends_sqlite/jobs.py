"""What is handed to a thread, and how its answer comes back."""

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Any

from asyncbackends.errors import (
    BackendError,
    OperationTimeoutError,
    ResourceExhaustedError,
    WriteContentionError,
)
from asyncbackends.native import SimpleQueue

__all__ = ("PROGRESS_STEPS", "Answer", "Answers", "Calls", "Job", "JobKind", "post", "settle")

# So many may wait; each is answered in milliseconds, so more is a flood.
LONGEST_QUEUE = 10_000
# Steps of SQLite's machine, about a millisecond, between looks whether somebody still waits.
PROGRESS_STEPS = 20_000


class JobKind(enum.Enum):
    """What a job does to the database."""

    STATEMENT = enum.auto()
    """Read by one statement, which is a snapshot of its own."""
    SNAPSHOT = enum.auto()
    """Read by several statements, in one snapshot."""
    WRITE = enum.auto()


class Job:
    """Work for a thread. The loop and the thread race for its claim, and one of them has it."""

    __slots__ = ("_claim", "abandoned", "answer", "kind", "work")

    def __init__(
        self, work: Callable[[Any], Any], answer: asyncio.Future[Any], kind: JobKind
    ) -> None:
        self.work = work
        self.answer = answer
        self.kind = kind
        self.abandoned = False
        """Nobody waits for the answer any more."""
        self._claim = [None]

    def claim(self) -> bool:
        """Say whether the caller is the first to claim it. Popping is atomic between threads."""
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True

    def abandon(self) -> bool:
        """Stop waiting, and say whether the job is never begun."""
        self.abandoned = True
        return self.claim()


Answer = tuple[asyncio.Future[Any], Any, BaseException | None]
Answers = list[Answer]


class Calls:
    """The loop's side of the jobs: hands them over, and ends those whose time is up."""

    def __init__(self, seconds: float, contended: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._contended = contended
        self._loop = asyncio.get_running_loop()
        self._outbox: list[tuple[SimpleQueue[Any], Job]] = []
        # All have the same time, so the first is the first to end: one timer instead of one each.
        self._deadlines: dict[Job, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def result(
        self, queue: "SimpleQueue[Any]", work: Callable[[Any], Any], kind: JobKind
    ) -> Any:
        """Have a thread do work and give what it answers.

        Work that has not begun when its time is up or the caller is cancelled is never done.

        :raises OperationTimeoutError: ``maybe_applied`` if it is a write that has begun.
        :raises WriteContentionError: another process held the lock all the time.
        """
        if queue.qsize() + len(self._outbox) >= LONGEST_QUEUE:
            message = f"{LONGEST_QUEUE} operations wait already; this one was not begun"
            raise ResourceExhaustedError(message)
        job = Job(work, self._loop.create_future(), kind)
        deadline = self._deadlines[job] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._end_late)
        if not self._outbox:
            # Handed over when the tasks that are ready now have run: a thread that wakes up
            # between them would only fight them for the interpreter's lock.
            self._loop.call_soon(self._hand_over)
        self._outbox.append((queue, job))
        try:
            return await job.answer
        except asyncio.CancelledError:
            job.abandon()
            raise
        finally:
            del self._deadlines[job]

    def _hand_over(self) -> None:
        for queue, job in self._outbox:
            queue.put(job)
        self._outbox.clear()

    def _end_late(self) -> None:
        self._timer = None
        now = self._loop.time()
        for job, deadline in self._deadlines.items():
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._end_late)
                return
            if not job.answer.done():
                job.answer.set_exception(self._late(job))

    def _late(self, job: Job) -> BackendError:
        never_begun = job.abandon()
        if never_begun and job.kind is JobKind.WRITE and self._contended():
            message = f"another process held the file's lock for {self._seconds:g} s"
            return WriteContentionError(message)
        unknown = job.kind is JobKind.WRITE and not never_begun
        message = f"no answer within {self._seconds:g} s{'; it may be applied' * unknown}"
        return OperationTimeoutError(message, maybe_applied=unknown)

    def close(self) -> None:
        """Hand over what is left, and look at no deadline any more."""
        self._hand_over()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def post(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    """Have the loop call a function, from a thread; a closed loop has nobody who waits."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def settle(answers: Answers) -> None:
    """Give answers to those who still wait; runs in the loop."""
    for future, value, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
