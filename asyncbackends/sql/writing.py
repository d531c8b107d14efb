"""Applies writes: at first blindly, then after a look, at last with what they touch locked."""

import asyncio
import random
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
    WriteContentionError,
)
from asyncbackends.object_model.applying import Refused as Refusal
from asyncbackends.object_model.applying import itself
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.writes import Write
from asyncbackends.protocols.values import Fence
from asyncbackends.sql.assuming import Indexed, assumed
from asyncbackends.sql.deadlines import Deadline, Late
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.gathering import Wanted, gathered, wanted_by
from asyncbackends.sql.grouping import Grouping
from asyncbackends.sql.planning import Plan, planned
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.server import Connection, Contended, Refused, SqlEngine
from asyncbackends.sql.statements import Statements

__all__ = ("Writing", "no_connection", "write_unit")

ResultT = TypeVar("ResultT")

PATIENT: Final = 3
"""From this attempt on, rows are locked before they are looked at."""
PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.2

LOCKS: Final = (
    "SELECT 1 FROM ~state WHERE uuid IN ? ORDER BY uuid LOCK(update)",
    "SELECT 1 FROM ~object WHERE uuid IN ? ORDER BY uuid LOCK(update)",
)


class Writing(Protocol):
    """What writes need of an open database."""

    engine: SqlEngine
    sql: Statements
    pool: Pool
    grouping: Grouping
    indexed: Indexed
    stamp: int
    """The counter's, when ``indexed`` was read."""

    @property
    def operation_timeout(self) -> float:
        """Seconds for a write, all its attempts together."""
        ...

    def rules(self) -> ObjectModel:
        """Give the rules of the schema in force."""
        ...

    def within_deadline(self, late: Late | None = None) -> Deadline:
        """Give a block that ends with what ``late`` gives when an operation's time is up."""
        ...

    async def read_indexed(self, connection: Connection) -> None:
        """Read ``indexed`` and ``stamp`` anew."""
        ...

    def written(self) -> None:
        """Hear that something was written."""
        ...


async def write_unit(
    session: Writing, writes: Sequence[Write], fence: Fence | None, refused: Refusal = itself
) -> list[Any]:
    """Apply writes as one unit and give their results.

    :param refused: gives the error when one of them is refused.
    """
    call = _Call(session, writes, fence, refused)
    with session.within_deadline(call.late):
        try:
            results = await call.run()
        except TimeoutError as error:
            # That of the group that it went with.
            raise call.late() from error
    session.written()
    return results


def no_connection(pool: Pool, seconds: str) -> BackendError:
    """Say how a call ends that was never given a connection."""
    if pool.is_down:
        message = f"no connection within {seconds}: {pool.last_failure}"
        return ConnectionLostError(message)
    message = f"all connections were in use for {seconds}; see the option pool_size"
    return OperationTimeoutError(message)


class _Call:
    def __init__(
        self, session: Writing, writes: Sequence[Write], fence: Fence | None, refused: Refusal
    ) -> None:
        self._session = session
        self._writes = writes
        self._fence = fence
        self._refused = refused
        self._connected = False
        self._sent = False
        """The server may be applying it."""
        self._attempt = 0

    def late(self, _: Deadline | None = None) -> BackendError:
        """Say how a write ends whose time is up."""
        self._session.pool.timed_out()
        seconds = f"{self._session.operation_timeout:g} s"
        if self._sent:
            message = f"no answer within {seconds}; it may be applied"
            return OperationTimeoutError(message, maybe_applied=True)
        if not self._connected:
            return no_connection(self._session.pool, seconds)
        if self._attempt > 1:
            message = f"others changed what it needs, {self._attempt} times within {seconds}"
            return WriteContentionError(message)
        return OperationTimeoutError(f"no answer within {seconds}")

    async def run(self) -> list[Any]:
        session = self._session
        if len(self._writes) == 1:
            rules = session.rules()
            blind = assumed(
                rules.view, session.indexed, session.stamp, self._writes[0], self._fence
            )
            if blind is not None:
                effects, result = blind
                try:
                    return [result(await self._applied(effects))]
                except (Refused, Contended):
                    self._sent = False
        wanted = wanted_by(self._writes, self._fence)
        while True:
            self._attempt += 1
            self._connected = False
            try:
                if self._attempt < PATIENT:
                    return await self._looked(wanted)
                return await self._locked(wanted)
            except (Refused, Contended):
                self._sent = False
            except Exception as error:
                if self._sent or not self._connected or not session.engine.lost(error):
                    raise
                # Nothing was written yet.
                self._attempt -= 1
            longest = min(LONGEST_PAUSE, PAUSE * 2**self._attempt)
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  # to be out of step

    async def _looked(self, wanted: Wanted) -> list[Any]:
        """Read what the writes look at, then apply what follows if that is still so."""
        async with self._session.pool.connection() as connection:
            self._connected = True
            plan = await self._planned(connection, wanted)
        if not plan.segments:
            return plan.results(None)
        if len(plan.segments) > 1:
            return await self._locked(wanted)
        return plan.results(await self._applied(plan.segments[0]))

    async def _locked(self, wanted: Wanted) -> list[Any]:
        """Do so with the objects locked, and in several steps where one cannot say it all."""
        async with self._session.pool.connection() as connection:
            self._connected = True
            await connection.begin()
            try:
                plan, first = await self._steps(connection, wanted)
            except (Refused, Contended, BackendError):
                # Whatever else ends it leaves a connection that is not used again.
                await connection.rollback()
                raise
            self._sending()
            await self._outcome(connection.commit())
        return plan.results(first)

    async def _steps(self, connection: Connection, wanted: Wanted) -> tuple[Plan, Applied | None]:
        sql = self._session.sql
        uuids = sql.ids(sorted(wanted.documents))
        if uuids:
            for lock in LOCKS[: 2 if wanted.deletes else 1]:
                await connection.fetch(sql.kept(lock, partial(str, lock)), [uuids])
        plan = await self._planned(connection, wanted)
        first: Applied | None = None
        for effects in plan.segments:
            if first is None:
                first = await connection.apply(effects)
            else:
                await connection.apply(plan.after_first(effects, first))
        return plan, first

    async def _planned(self, connection: Connection, wanted: Wanted) -> Plan:
        session, model = self._session, self._session.rules()
        rows = await connection.fetch(*wanted.statement(session.sql))
        found = gathered(rows, model.view)
        if found.stamp != session.stamp:
            await session.read_indexed(connection)
        return planned(
            found.tables,
            model,
            session.indexed,
            found.stamp,
            self._writes,
            self._fence,
            self._refused,
        )

    def _sending(self) -> None:
        self._connected = self._sent = True

    async def _applied(self, effects: Effects) -> Applied:
        return await self._outcome(self._session.grouping.apply(effects, self._sending))

    async def _outcome(self, sent: Awaitable[ResultT]) -> ResultT:
        """Await what was sent; an error that leaves its outcome open says so."""
        try:
            return await sent
        except (Refused, Contended):
            raise
        except Exception as error:
            if not self._sent or not self._session.engine.lost(error):
                raise
            message = "the connection was lost before the answer; it may be applied"
            raise ConnectionLostError(message, maybe_applied=True) from error
