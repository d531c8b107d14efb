"""Makes contenders' entries over a wire: none stays of which nobody knows."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Literal

import anyio

from asyncbackends.coordination.contending import new_entry
from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.transaction import Create, Delete
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.coordination.wire_access import Access
from asyncbackends.errors import BackendClosedError, BackendError, ConnectionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeStat

__all__ = ("Entries",)

CLEAN_UP: Final = 1.0
"""Seconds that a cancelled caller waits for its entry to be gone; then it goes behind its back."""
LOOKS: Final = (0.5, 2.0, 8.0)
"""Seconds between looks for an entry that was not there, and whose request may be on its way."""
MOST_STRAYS: Final = 1000


class Entries:
    """Makes entries, each in a task of the backend's owner.

    So a caller that is cancelled does not leave a request behind whose answer nobody hears.
    """

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
        self._group: asyncio.TaskGroup | None = None
        self._strays = 0

    async def run(self) -> None:
        """Hold the tasks, until this is cancelled; one of anyio's takes three times as long to start."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await anyio.sleep_forever()
            finally:
                # One that is ending takes no more.
                self._group = None

    async def make(self, path: str, value: bytes) -> tuple[NodeStat, bool]:
        """Make an entry for a contender on ``path``; give its stat, and whether it is surely first.

        :raises ConnectionLostError: none was made, and none will be.
        """
        if self._group is None:
            message = "the coordination service was closed meanwhile"
            raise BackendClosedError(message)
        attempt = _Attempt()
        self._group.create_task(self._run(attempt, path, value, self._access.end()))
        try:
            await attempt.settled.wait()
        except BaseException:
            attempt.disowned = True
            if attempt.over.is_set() and attempt.stat is not None:
                # It was made in the very turn in which this was cancelled.
                self._begin_to_take_back(attempt, attempt.stat)
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_UP):
                await attempt.over.wait()
            raise
        if attempt.error is not None:
            raise attempt.error
        assert attempt.stat is not None  # noqa: S101  # it has settled without an error
        return attempt.stat, attempt.first

    async def _run(self, attempt: "_Attempt", path: str, value: bytes, end: float) -> None:
        try:
            await self._try(attempt, path, value, end)
            if attempt.disowned and attempt.stat is not None:
                await self.remove(attempt.stat)
        finally:
            if attempt.stat is None and attempt.error is None:
                attempt.error = BackendClosedError("the coordination service was closed meanwhile")
            attempt.settled.set()
            attempt.over.set()

    def _begin_to_take_back(self, attempt: "_Attempt", stat: NodeStat) -> None:
        if self._group is not None:
            attempt.over.clear()
            self._group.create_task(self._take_back(attempt, stat))

    async def _take_back(self, attempt: "_Attempt", stat: NodeStat) -> None:
        try:
            await self.remove(stat)
        finally:
            attempt.over.set()

    async def _try(self, attempt: "_Attempt", path: str, value: bytes, end: float) -> None:
        try:
            while attempt.stat is None:
                attempt.stat, attempt.first = await self._made(new_entry(path), value, end)
        except BackendError as error:
            attempt.error = error
        except RefusedError as refused:
            attempt.error = refused.error

    async def _made(
        self, entry: str, value: bytes, end: float
    ) -> tuple[NodeStat, bool] | tuple[None, Literal[False]]:
        """Make one; None when it went with its session, or is not there and never will be."""
        session: LiveSession | None = None
        stat: NodeStat | None
        first = False
        try:
            create = Create(entry, value, ephemeral=True)
            (stat, first), session = await self._access.arrive(create, end)
        except BackendError as error:
            if not error.maybe_applied:
                raise
            session = self._keeper.session
            stat = await self._found(entry, session, end)
            if stat is None:
                self._look_later(entry, session)
        if stat is None or session is None or session.state is SessionState.LOST:
            return None, False
        return stat, first

    async def _found(self, entry: str, session: LiveSession, end: float) -> NodeStat | None:
        """Look for an entry of which nobody knows whether it was made."""
        try:
            return await self._access.read(lambda link: link.stat(entry), end)
        except BackendError as error:
            # Whatever became of it goes with the session.
            self._keeper.abandon(session.id)
            message = f"nobody could find out whether {entry!r} was made: its session is given up"
            raise ConnectionLostError(message) from error

    def _look_later(self, entry: str, session: LiveSession) -> None:
        """See that a request that was on its way leaves nothing behind."""
        if self._strays >= MOST_STRAYS or not self._start(partial(self._watch, entry, session)):
            self._keeper.abandon(session.id)
        else:
            self._strays += 1

    async def _watch(self, entry: str, session: LiveSession) -> None:
        try:
            for seconds in LOOKS:
                await asyncio.sleep(seconds)
                try:
                    stat = await self._access.read(lambda link: link.stat(entry))
                except BackendError:
                    self._keeper.abandon(session.id)
                    return
                if stat is not None:
                    await self.remove(stat)
                    return
        finally:
            self._strays -= 1

    async def remove(self, stat: NodeStat) -> None:
        """Take an entry away, or let it go with its session where that cannot be done."""
        end = self._access.end()
        while True:
            try:
                await self._access.write([Delete(stat.path)], end)
            except RefusedError:
                return  # it is gone
            except BackendError as error:
                if error.maybe_applied and isinstance(error, ConnectionLostError):
                    continue  # its name is never used again, so it can be asked for once more
                if stat.ephemeral_owner is not None:
                    self._keeper.abandon(stat.ephemeral_owner)
            return


class _Attempt:
    """One entry on its way, and whether somebody still wants it."""

    def __init__(self) -> None:
        self.stat: NodeStat | None = None
        self.first = False
        self.error: BackendError | None = None
        self.disowned = False
        self.settled = asyncio.Event()
        self.over = asyncio.Event()
        """Nothing is left to do for whoever was cancelled."""
