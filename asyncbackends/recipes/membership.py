"""One member of a group: there as long as its block lasts, through lost sessions too."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType

from asyncbackends.clock import checked_timeout
from asyncbackends.errors import (
    BackendError,
    InvalidRequestError,
    SessionLostError,
)
from asyncbackends.protocols.coordination import Session
from asyncbackends.protocols.values import Json
from asyncbackends.recipes.holding import Block
from asyncbackends.recipes.patience import finished, patiently
from asyncbackends.recipes.seats import Seat

__all__ = ("Joining", "Membership")


class Membership:
    """One's place in a group."""

    def __init__(self, member: str, seat: Seat) -> None:
        self.member = member
        self._seat = seat

    @property
    def path(self) -> str:
        """The member's node."""
        return self._seat.path

    @property
    def capabilities(self) -> dict[str, Json]:
        """What the others see, or will see once the member is back."""
        return self._seat.capabilities

    async def update(self, capabilities: Mapping[str, Json]) -> None:
        """Let the others see other capabilities, as a whole.

        :raises InvalidRequestError: they are no JSON object.
        :raises SessionLostError: the session was lost, and ``rejoin`` is off. With it the member
            comes back with these.
        :raises NodeExistsError: the session was lost, and another has the name by now.
        """
        await self._seat.update(capabilities)


class Joining:
    """Joins on entering, leaves on leaving, and comes back in between if its session is lost."""

    def __init__(self, member: str, seat: Seat, timeout: float | None) -> None:
        self._membership = Membership(member, seat)
        self._seat = seat
        self._timeout = None if timeout is None else checked_timeout(timeout)
        self._block = Block()
        self._rejoining: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None
        self._entered = False

    async def __aenter__(self) -> Membership:
        """Join.

        :raises NodeExistsError: another has the name, still after ``timeout``.
        :raises InvalidRequestError: it was entered before.
        """
        if self._entered:
            message = "join() joins once; call it again to join again"
            raise InvalidRequestError(message)
        self._entered = True
        seat = self._seat
        try:
            session = await self._joined()
        except BaseException:
            with contextlib.suppress(BackendError):  # logged; what went wrong first is raised
                await seat.leave()
            raise
        self._block.enter()
        if seat.rejoin:
            name = f"member {seat.path}"
            self._rejoining = asyncio.create_task(self._rejoin(session), name=name)
        else:
            message = f"session {session.id} was lost, and with it the member {seat.path}"
            self._forget = session.on_lost(partial(self._block.stop, SessionLostError(message)))
        return self._membership

    async def _joined(self) -> Session:
        if self._timeout is None:
            return await self._seat.enter()
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                return await patiently(self._seat.enter_when_free)
        except TimeoutError:
            if not deadline.expired():
                raise
            # Whoever has the name is named by this error.
            return await self._seat.enter()

    async def _rejoin(self, session: Session) -> None:
        try:
            while True:
                await session.lost.wait()
                session = await patiently(self._seat.enter_when_free)
        except BackendError as error:
            self._block.stop(error)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave.

        :raises SessionLostError: the session was lost, and ``rejoin`` is off.
        """
        if self._forget is not None:
            self._forget()
        await self._block.leave(exc_type, exc, traceback, self._left)

    async def _left(self) -> None:
        await finished(self._ended())

    async def _ended(self) -> None:
        task = self._rejoining
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._seat.leave()
        if task is not None and not task.cancelled():
            task.result()
