"""What an open database does for those who watch: reads changes, looks for new ones, prunes."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from asyncbackends.errors import BackendError, ConnectionLostError, OperationTimeoutError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.sql.feed import Feed, Pulled
from asyncbackends.sql.server import Connection, Contended, Row

if TYPE_CHECKING:
    from asyncbackends.sql.session import Session

__all__ = ("Following",)

# Counting what is kept takes a scan: it is done again after a hundredth more of it.
AGAIN: Final = 100

ON_DISK: Final = 0.05
"""Seconds that a commit which is seen may take to be on disk, and looks for that."""
LOOK: Final = 0.002


class Following:
    """The feed of one open database."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.seam = session.seam
        self.feed = Feed()
        self._polled = -1
        self._unpruned = 0
        self._prunable = asyncio.Event()

    def begin(self, revision: int, compacted: int) -> None:
        """Hear what the counters say at the beginning."""
        # Those who write little, and end, prune too.
        self._unpruned = max(0, revision - compacted - self._session.options.watch_history)

    def written(self) -> None:
        """Hear of a write of this process."""
        self.feed.wake()
        self._unpruned += 1
        if self._unpruned * AGAIN >= self._session.options.watch_history:
            self._prunable.set()

    async def counters(self) -> tuple[int, int]:
        """Read revision and compacted."""
        revision, compacted, _ = (await self._session.read(self._session.sql.counter))[0]
        return revision, compacted

    async def pull(self, seen: int) -> Pulled:
        """Read a page of changes; a link that is down is waited for as long as it takes."""
        rows = await self._pulled(seen)
        changes: list[tuple[int, int, str, str]] = []
        revision = compacted = 0
        for op, number, gone, obj_type, uuid in rows:
            if op < 0:
                revision, compacted = number, gone
            else:
                changes.append((number, op, obj_type, uuid))
        changes.sort()
        return Pulled(revision, compacted, changes)

    async def _pulled(self, seen: int) -> Sequence[Row]:
        session = self._session
        while True:
            with contextlib.suppress(ConnectionLostError, OperationTimeoutError):
                if session.engine.log_positions is None:
                    return await session.read(session.sql.pull, (seen,))
                return await session.work(self._pull_from_disk, seen, session.engine.log_positions)
            await asyncio.sleep(session.options.poll_interval)

    async def _pull_from_disk(
        self, connection: Connection, seen: int, log_positions: str
    ) -> Sequence[Row]:
        """Read changes, and give them when they are on disk.

        InnoDB shows a commit before its log is written: after a crash it may be gone, and its
        revision another one's. Whoever commits waits for the disk, so that takes no time of its
        own; what else writes to the log does not wait, and is not waited for.
        """
        session = self._session
        try:
            rows = await connection.fetch(session.sql.pull, (seen,))
            if len(rows) > 1 and Guarantee.SURVIVES_POWER_LOSS in session.guarantees:
                end = asyncio.get_running_loop().time() + ON_DISK
                written, on_disk = await _positions(connection, log_positions)
                while on_disk < written and asyncio.get_running_loop().time() < end:
                    await asyncio.sleep(LOOK)
                    _, on_disk = await _positions(connection, log_positions)
        except Exception as error:
            if session.worth_another(error):
                raise ConnectionLostError(str(error)) from error
            raise
        return rows

    async def poll(self) -> None:
        """Look for others' writes while somebody waits; runs until it is cancelled."""
        session = self._session
        while True:
            await self.feed.awaited()
            try:
                with self.seam("watch"):
                    revision, _ = await self.counters()
            except BackendError:
                # Those who wait read for themselves, and see what is wrong.
                self.feed.wake()
            else:
                if revision != self._polled:
                    self._polled = revision
                    self.feed.wake()
            await asyncio.sleep(session.options.poll_interval)

    async def prune(self) -> None:
        """Throw away old changes as new ones are written; runs until it is cancelled."""
        session = self._session
        while True:
            await self._prunable.wait()
            self._prunable.clear()
            self._unpruned = 0
            try:
                with self.seam("prune"):
                    await self._prune_all()
            except (BackendError, Contended):
                # The seam has logged it; what is left is pruned with what comes after it.
                await asyncio.sleep(session.options.reconnect_max)

    async def _prune_all(self) -> None:
        """Throw away what is beyond the history, in chunks.

        Whoever reads finds either the changes or that they are gone. The counter is locked last, as
        every write does, and only for a moment.
        """
        session = self._session
        rows = await session.read(session.sql.last_to_prune, (session.options.watch_history,))
        if not rows:
            return
        last: int = rows[0][0]
        _, gone = await self.counters()
        while True:
            rows = await session.read(session.sql.chunk_to_prune, (gone, last))
            chunk: int | None = rows[0][0]
            if chunk is None:
                return
            gone = chunk
            await session.work(self._prune_to, gone)

    async def _prune_to(self, connection: Connection, gone: int) -> None:
        sql = self._session.sql
        await connection.begin()
        await connection.fetch(sql.prune, (gone,))
        await connection.fetch(sql.raise_compacted, (gone, gone))
        await connection.commit()


async def _positions(connection: Connection, statement: str) -> tuple[int, int]:
    positions = {name: int(value) for name, value in await connection.fetch(statement)}
    written, on_disk = (positions[name] for name in sorted(positions))
    return written, on_disk
