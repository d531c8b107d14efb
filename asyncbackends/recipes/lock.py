"""A lock that many processes share, fair, and with a fence."""

import asyncio
from types import TracebackType

from asyncbackends.clock import checked_timeout
from asyncbackends.errors import InvalidRequestError, LockNotAcquiredError, SessionLostError
from asyncbackends.protocols.nodes import NodeValue
from asyncbackends.recipes.holding import Place, PlaceBlock
from asyncbackends.recipes.waiting import Contending, first_place

__all__ = ("Held", "Lock")


class Held(Place):
    """A lock that was acquired."""

    async def release(self) -> None:
        """Let the next one have it; nothing happens when it was released, or is lost.

        Also when this is cancelled: it ends first, in bounded time, as clean-up does (see Lock).

        :raises BackendError: that failed; the lock is free when the session ends, or when another
            call of this succeeds.
        """
        await self._give_up()


class Lock:
    """Mutual exclusion between processes: one holder at a time, first come, first served.

    ::

        async with Lock(coordination, "/devices/7") as held:
            await database.object_update("device", uuid, change, fence=held.fence)

    The lock is held by a node that goes with this client's session, so a killed holder blocks
    nobody for longer than its ttl. The body is cancelled at the moment when the session is LOST
    by this machine's clock, before the service can have given the lock to another, and the block
    raises SessionLostError; it does so too when the body ended without noticing. A cancellation
    by anybody else stays one, and an exception of the body goes out, with a note.

    What no lock can do is stop a write that is on its way, or a process that is paused and goes
    on for a moment before it looks at its clock. Only the ``fence`` does, in every write that the
    lock is to protect: a database refuses the older one. ``transaction().guard(held.ticket)``
    does the same for writes to the coordination service.

    While a session is SUSPENDED nobody is granted anything with it. Who waits watches the one
    before alone: a release wakes one. Errors that pass (a lost connection, a timeout) are waited
    out; the others are raised.

    Cancelling is safe anywhere: the place in the queue is taken back before the cancellation goes
    on. That, and every release, is shielded, tried again while the service does not answer, and
    bounded: it ends at the latest when the session is LOST, since its nodes end with it, or a
    second after the time that the session had left when it began.

    One object may be entered by any number of tasks at once; each is a contender of its own. It
    is not reentrant.

    :param path: what is contended for; every contender is a child of it.
    :param value: what others see of the holder, in its node.
    """

    def __init__(self, coordination: Contending, path: str, value: NodeValue = b"") -> None:
        self.path = path
        self._coordination = coordination
        self._value = value
        self._blocks: dict[asyncio.Task[object] | None, PlaceBlock] = {}

    async def acquire(self, timeout: float | None = None) -> Held:
        """Wait for the lock and hold it until ``release()``, in whatever task.

        There is no body to cancel: watch ``lost``. Prefer ``async with``.

        :param timeout: seconds, finite and > 0; None waits without end.
        :raises LockNotAcquiredError: it was not to be had within ``timeout``; nothing is left.
        """
        deadline = asyncio.timeout(None if timeout is None else checked_timeout(timeout))
        try:
            async with deadline:
                ticket, session = await first_place(self._coordination, self.path, self._value)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            message = f"the lock {self.path} was not to be had within {timeout:g} s"
            raise LockNotAcquiredError(message) from error
        return Held(self._coordination, ticket, session)

    async def __aenter__(self) -> Held:
        """Wait for the lock without end; narrow it with ``acquire`` or a scope around the block.

        :raises InvalidRequestError: this task holds it already.
        """
        task = asyncio.current_task()
        if task in self._blocks:
            message = f"this task holds the lock {self.path} already: it is not reentrant"
            raise InvalidRequestError(message)
        held = await self.acquire()
        self._blocks[task] = PlaceBlock(held, held.release, SessionLostError)
        return held

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release it.

        :raises SessionLostError: the session was lost before the body ended.
        """
        block = self._blocks.pop(asyncio.current_task(), None)
        if block is None:
            message = f"the lock {self.path} is left by another task than the one that entered"
            raise InvalidRequestError(message)
        await block.leave(exc_type, exc, traceback)
