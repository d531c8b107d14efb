"""Takes contenders' entries away over a wire: none stays that somebody has given up."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from asyncbackends.coordination.contending import EntryNames
from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.transaction import Delete, Guard, NodeOperation
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.coordination.wire_access import Access
from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import Ticket

__all__ = ("Withdrawals",)

AGAIN: Final = 0.1
"""Seconds before what could not be withdrawn is tried again."""
LOOKS: Final = (0.0, 0.5, 2.0, 8.0)
"""Seconds before each look for an entry whose request may still be on its way."""
MOST: Final = 1000


class Withdrawals:
    """Withdraws entries, also when whoever made them has no more patience, or never knew of them.

    It goes on for as long as their session lives, which ends them, too. An outage that the session
    outlives costs nobody else anything.
    """

    def __init__(
        self,
        access: Access,
        keeper: SessionKeeper,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], bool],
        names: EntryNames,
    ) -> None:
        """Make it.

        :param start: runs something in the owner's group; False when that is closed.
        :param names: hears which are free again.
        """
        self._access = access
        self._names = names
        self._keeper = keeper
        self._start = start
        self._going: set[str] = set()

    async def withdraw(self, ticket: Ticket) -> None:
        """Take an entry away; one that is gone is no error.

        What could not be done goes on behind the caller's back: else a place that somebody gave up
        blocks all behind it, and nobody knows of it.

        :raises BackendError: it is not done yet; ``maybe_applied`` where it still may be.
        """
        operations = (Guard(ticket), Delete(ticket.path))
        again = partial(self._until_gone, operations, ticket.session_id, AGAIN)
        try:
            if await self._once(operations):
                self._names.withdrawn(ticket.path)
        except BackendError as error:
            if self._go_on(ticket.path, ticket.session_id, again):
                error.maybe_applied = True
            raise
        except BaseException:
            self._go_on(ticket.path, ticket.session_id, again)
            raise

    async def take_back(self, entry: str, session_id: str) -> None:
        """Take an entry away that nobody has a ticket for."""
        await self._until_gone((Delete(entry),), session_id)

    def look_for(self, entry: str, session_id: str) -> None:
        """See that a request to make an entry, of which nobody knows, leaves nothing behind."""
        self._go_on(entry, session_id, partial(self._look_for, entry, session_id))

    async def _look_for(self, entry: str, session_id: str) -> None:
        for seconds in LOOKS:
            await self._until_gone((Delete(entry),), session_id, seconds)

    def _go_on(
        self, entry: str, session_id: str, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> bool:
        """Take care that an entry goes, and say whether it will."""
        if not self._lives(session_id):
            return False
        if entry in self._going:
            return True
        if len(self._going) >= MOST:
            self._keeper.abandon(session_id)
            return True
        if not self._start(partial(self._going_on, entry, work)):
            return False
        self._going.add(entry)
        return True

    async def _going_on(self, entry: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        finally:
            self._going.discard(entry)

    async def _until_gone(
        self, operations: Sequence[NodeOperation], session_id: str, pause: float = 0.0
    ) -> None:
        """Take an entry away after a pause, and again until it is gone, or its session is over."""
        while True:
            await asyncio.sleep(pause)
            if not self._lives(session_id):
                return
            try:
                await self._once(operations)
            except BackendError as error:
                if not error.retryable:
                    # Whatever is in the way, the entry goes with its session.
                    self._keeper.abandon(session_id)
                pause = AGAIN
            else:
                return

    async def _once(self, operations: Sequence[NodeOperation]) -> bool:
        """Say whether this took it away; else it was gone already."""
        try:
            await self._access.write(operations)
        except RefusedError:
            return False
        return True

    def _lives(self, session_id: str) -> bool:
        session = self._keeper.session
        return session.id == session_id and session.state is not SessionState.LOST
