"""Takes contenders' entries away over a wire: none stays that somebody has given up."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.transaction import Delete, Guard
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.coordination.wire_access import Access
from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import Ticket

__all__ = ("Withdrawals",)

AGAIN: Final = 0.1
"""Seconds before what could not be withdrawn is tried again."""
MOST: Final = 1000


class Withdrawals:
    """Withdraws entries, also when whoever asked for it has no more patience."""

    def __init__(
        self,
        access: Access,
        keeper: SessionKeeper,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], bool],
    ) -> None:
        """Make it.

        :param start: runs something in the owner's group; False when that is closed.
        """
        self._access = access
        self._keeper = keeper
        self._start = start
        self._going: set[str] = set()

    async def withdraw(self, ticket: Ticket) -> None:
        """Take an entry away; one that is gone is no error.

        What could not be done goes on behind the caller's back for as long as the session lives:
        else a place that somebody gave up blocks all behind it, and nobody knows of it.

        :raises BackendError: it is not done yet; ``maybe_applied`` where it still may be.
        """
        try:
            await self._once(ticket)
        except BackendError as error:
            if self._goes_on(ticket):
                error.maybe_applied = True
            raise
        except BaseException:
            self._goes_on(ticket)
            raise

    async def _once(self, ticket: Ticket) -> None:
        try:
            await self._access.write([Guard(ticket), Delete(ticket.path)])
        except RefusedError:
            return  # it is gone already

    def _goes_on(self, ticket: Ticket) -> bool:
        """Take care that the entry goes, and say whether it will."""
        if not self._is_ours(ticket):
            return False
        if ticket.path in self._going:
            return True
        if len(self._going) >= MOST:
            self._keeper.abandon(ticket.session_id)
            return True
        if not self._start(partial(self._until_gone, ticket)):
            return False
        self._going.add(ticket.path)
        return True

    async def _until_gone(self, ticket: Ticket) -> None:
        try:
            while self._is_ours(ticket):
                await asyncio.sleep(AGAIN)
                try:
                    await self._once(ticket)
                except BackendError as error:
                    if not error.retryable:
                        # Whatever is in the way, the entry goes with its session.
                        self._keeper.abandon(ticket.session_id)
                else:
                    return
        finally:
            self._going.discard(ticket.path)

    def _is_ours(self, ticket: Ticket) -> bool:
        session = self._keeper.session
        return session.id == ticket.session_id and session.state is not SessionState.LOST
