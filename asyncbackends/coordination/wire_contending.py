"""Makes contenders' entries over a wire: none stays of which nobody knows."""

import asyncio
from typing import Final

import anyio

from asyncbackends.coordination.contending import EntryNames
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.transaction import Create
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.coordination.wire_access import Access
from asyncbackends.coordination.wire_withdrawing import Withdrawals
from asyncbackends.errors import BackendClosedError, BackendError, ConnectionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeStat

__all__ = ("Entries",)

CLEAN_UP: Final = 1.0
"""Seconds that a cancelled caller waits for its entry to be gone; then it goes behind its back."""


class Entries:
    """Makes entries, each in a task of the backend's owner.

    So a caller that is cancelled does not leave a request behind whose answer nobody hears.
    """

    def __init__(self, access: Access, withdrawals: Withdrawals, names: EntryNames) -> None:
        self._access = access
        self._withdrawals = withdrawals
        self._names = names
        self._group: asyncio.TaskGroup | None = None

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

        :raises ConnectionLostError: none was made, and none will be, or stay.
        """
        if self._group is None:
            message = "the coordination service was closed meanwhile"
            raise BackendClosedError(message)
        attempt = _Attempt()
        making = self._group.create_task(self._run(attempt, path, value, self._access.end()))
        try:
            await attempt.settled.wait()
        except BaseException:
            attempt.disowned = True
            if not attempt.sessions:
                # Nothing was sent.
                making.cancel()
                raise
            if attempt.over.is_set() and attempt.stat is not None:
                # It was made in the very turn in which this was cancelled.
                self._begin_to_take_back(attempt, attempt.stat)
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_UP):
                await attempt.over.wait()
            raise
        if attempt.error is not None:
            raise attempt.error
        assert attempt.stat is not None  # noqa: S101  # it has settled without an error
        self._names.made(attempt.stat.path, attempt.sessions[-1].id)
        return attempt.stat, attempt.first

    async def _run(self, attempt: "_Attempt", path: str, value: bytes, end: float) -> None:
        try:
            await self._try(attempt, path, value, end)
            if attempt.disowned and attempt.stat is not None:
                await self._take_back(attempt, attempt.stat)
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
            await self._withdrawals.take_back(stat.path, attempt.sessions[-1].id)
        finally:
            attempt.over.set()

    async def _try(self, attempt: "_Attempt", path: str, value: bytes, end: float) -> None:
        try:
            while attempt.stat is None and not attempt.disowned:
                create = Create(self._names.entry(path), value, ephemeral=True)
                await self._once(attempt, create, end)
        except BackendError as error:
            attempt.error = error
        except RefusedError as refused:
            attempt.error = refused.error

    async def _once(self, attempt: "_Attempt", create: Create, end: float) -> None:
        """Make an entry; there is no stat when it went with its session, or will never be there."""
        stat: NodeStat | None
        first = False
        try:
            stat, first = await self._access.arrive(create, end, attempt.sessions.append)
        except BackendError as error:
            if not error.maybe_applied:
                raise
            stat = await self._found(create.path, attempt.sessions[-1], end)
        if attempt.sessions[-1].state is not SessionState.LOST:
            attempt.stat, attempt.first = stat, first

    async def _found(self, entry: str, session: LiveSession, end: float) -> NodeStat | None:
        """Look for an entry of which nobody knows whether it was made."""
        try:
            stat = await self._access.read(lambda link: link.stat(entry), end)
        except BackendError as error:
            self._withdrawals.look_for(entry, session.id)
            message = f"nobody could find out whether {entry!r} was made: it will be taken back"
            raise ConnectionLostError(message) from error
        if stat is None:
            self._withdrawals.look_for(entry, session.id)
        return stat


class _Attempt:
    """One entry on its way, and whether somebody still wants it."""

    def __init__(self) -> None:
        self.sessions: list[LiveSession] = []
        """What it was sent with, each time."""
        self.stat: NodeStat | None = None
        self.first = False
        self.error: BackendError | None = None
        self.disowned = False
        self.settled = asyncio.Event()
        self.over = asyncio.Event()
        """Nothing is left to do for whoever was cancelled."""
