"""How recipes wait: errors that pass are tried again, what must be done at the end is done."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import anyio

from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    OperationTimeoutError,
)
from asyncbackends.protocols.coordination import Session

__all__ = ("clean_up", "finished", "patiently", "short_pause")

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 1.0
SPARE: Final = 1.0
"""Seconds beyond the session's deadline, so that the session's own clock speaks first."""

ResultT = TypeVar("ResultT")

_logger = logging.getLogger("asyncbackends.coordination")


async def short_pause(longest: float = FIRST_PAUSE) -> None:
    """Let a moment pass, of a length that differs between those who wait together."""
    await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311  # no secret


async def patiently(attempt: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Await ``attempt`` until it gives a result, again after every retryable error.

    The pause in between doubles up to one second. The caller sets the bound.
    """
    longest = FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except BackendError as error:
            if not error.retryable:
                raise
            # Inside the handler: who is cancelled here is told by the traceback what went wrong.
            await short_pause(longest)
        longest = min(LONGEST_PAUSE, longest * 2)


async def finished(call: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Await a call to its end, whoever cancels meanwhile; such a cancellation is raised then.

    An anyio scope alone would not do: it does not hold ``Task.cancel`` off.
    """
    ended = asyncio.Event()
    task = asyncio.create_task(_told(call, ended))
    # Of one that is cancelled before it began nothing else tells.
    task.add_done_callback(lambda _: ended.set())
    try:
        await ended.wait()
    except asyncio.CancelledError as error:
        cancelled = error
    else:
        return await task
    with anyio.CancelScope(shield=True):
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
    if not task.cancelled():
        task.exception()  # else asyncio reports it as never retrieved
    raise cancelled


async def _told(call: Coroutine[Any, Any, ResultT], ended: asyncio.Event) -> ResultT:
    # Who waits for the task itself is woken a turn of the loop later.
    try:
        return await call
    finally:
        ended.set()


async def clean_up(step: Callable[[], Awaitable[None]], session: Session, what: str) -> None:
    """Do what takes something of ``session`` back, also when the caller is cancelled.

    Tried again after retryable errors until it is done or the session is LOST, which takes back
    whatever was its own, and for at most the seconds that the session has left now, and one more.

    :param what: names what is taken back.
    :raises BackendError: it could not be done and the session lives on.
    """
    if not session.lost.is_set():
        await finished(_cleaned_up(step, session, what))


async def _cleaned_up(step: Callable[[], Awaitable[None]], session: Session, what: str) -> None:
    try:
        with anyio.move_on_after(session.remaining() + SPARE) as scope:
            forget = session.on_lost(scope.cancel)
            try:
                await patiently(step)
            finally:
                forget()
        if scope.cancelled_caught and not session.lost.is_set():
            message = f"{what} could not be taken back in time; it goes with session {session.id}"
            raise OperationTimeoutError(message, maybe_applied=True)
    except BackendClosedError:
        return  # Its session ends with the backend.
    except BackendError as error:
        _logger.warning("%s stays until session %s ends: %s", what, session.id, error)
        raise
