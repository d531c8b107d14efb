"""The one task that owns whatever runs in the background for a backend."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeGuard

import anyio
from anyio.abc import TaskGroup

from asyncbackends.errors import BackendClosedError, BackendError, ForkedError

__all__ = ("Owner",)

CLEAN_UP = 2.0
"""Seconds that clean-up may take beyond the grace."""

Step = Callable[[], Awaitable[None]]


class Owner:
    """Starts, holds and ends a backend's background work, in one task of its own.

    So ``connect`` and ``shutdown`` may run in different tasks. ``opening`` runs in the owner's
    task and may start tasks in ``group``; ``closing`` runs there too, after these have ended, also
    when one of them failed. A failure ends the backend: :meth:`check` then raises it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._open = False
        self._grace = 0.0
        self._process: int | None = None
        """The one that opened it; in a fork of that neither its loop nor its links are there."""
        self.group: TaskGroup | None = None

    def check(self) -> None:
        """Raise BackendClosedError or ForkedError unless the backend is open here."""
        if self._is_forked():
            message = f"the {self._what} was opened before a fork; open it again in this process"
            raise ForkedError(message)
        if self._open:
            return
        if self._failure is not None:
            message = f"the {self._what} failed: {self._failure}"
            raise BackendClosedError(message) from self._failure
        state = "not connected yet" if self._task is None else "closed"
        message = f"the {self._what} is {state}"
        raise BackendClosedError(message)

    def _is_forked(self) -> bool:
        return self._process is not None and self._process != os.getpid()

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._task is not None

    @property
    def failure(self) -> BaseException | None:
        """What ended the owner's task, if not :meth:`stop`."""
        return self._failure

    async def start(self, opening: Step, closing: Callable[[float], Awaitable[None]]) -> None:
        """Run ``opening`` and return when it has; its error is raised here.

        :param closing: is given the grace in seconds that :meth:`stop` left.
        """
        self._process = os.getpid()
        self._stop = asyncio.Event()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(
            self._run(opening, closing, opened, self._stop), name=f"owner of {self._what}"
        )
        try:
            await asyncio.shield(opened)
        except BaseException:
            self._task.cancel()
            await self._ended(CLEAN_UP)
            self._task = None
            # The error is raised already: asyncio must not report it as never retrieved.
            if opened.done() and not opened.cancelled():
                opened.exception()
            raise

    async def _run(
        self,
        opening: Step,
        closing: Callable[[float], Awaitable[None]],
        opened: asyncio.Future[None],
        stop: asyncio.Event,
    ) -> None:
        try:
            async with anyio.create_task_group() as self.group:
                await opening()
                self._open = True
                if not opened.done():
                    opened.set_result(None)
                await stop.wait()
                self.group.cancel_scope.cancel()
            if not stop.is_set():
                # Without an error the group ends only so.
                message = "one of its tasks was cancelled, and not by what it belongs to"
                self._failure = RuntimeError(message)
                if not opened.done():
                    opened.set_exception(self._failure)
        except BaseException as error:
            cause = _single(error)
            self._failure = cause if isinstance(cause, Exception) else None
            if not opened.done():
                opened.set_exception(
                    cause if isinstance(cause, Exception) else BackendClosedError("cancelled")
                )
            if not isinstance(cause, Exception):
                raise
        finally:
            self._open = False
            self.group = None
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._grace + CLEAN_UP):
                await closing(self._grace)

    async def stop(self, grace: float) -> None:
        """End everything and wait for it, at most ``grace`` + 2 seconds; idempotent.

        In a fork of the process that opened it there is nothing to end.
        """
        if self._task is None or self._stop is None or self._is_forked():
            return
        self._open = False
        self._grace = grace
        self._stop.set()
        await self._ended(grace + CLEAN_UP)

    async def _ended(self, seconds: float) -> None:
        if self._task is None or self._task.done():
            return
        with anyio.CancelScope(shield=True):
            await asyncio.wait({self._task}, timeout=seconds)
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=CLEAN_UP)


def _single(error: BaseException) -> BaseException:
    """Give a task's failure, not anyio's wrapping of it.

    Links of one backend fail together, as when a password was changed: the first one's error says it.
    """
    while _is_group(error) and (
        len(error.exceptions) == 1 or all(isinstance(one, BackendError) for one in error.exceptions)
    ):
        error = error.exceptions[0]
    return error


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
