"""The loop's side of an open file: its threads, its lifecycle, and the way to them."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from asyncbackends.coercion import changed_options
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ResourceExhaustedError,
)
from asyncbackends.native import SimpleQueue, start_thread
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.writes import PlainWrite, RevisedWrite, Write
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState, Kind
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.values import Fence, WriteResult
from asyncbackends.schema import Schema
from asyncbackends.sql.feed import Feed, Pulled
from asyncbackends_sqlite.connection import open_writer, patiently
from asyncbackends_sqlite.driver_errors import ours
from asyncbackends_sqlite.feed import pull
from asyncbackends_sqlite.jobs import Calls, JobKind
from asyncbackends_sqlite.options import (
    DATABASE_GUARANTEES,
    IN_MEMORY,
    SqliteDatabaseOptions,
    held_guarantees,
)
from asyncbackends_sqlite.reader_thread import Reader
from asyncbackends_sqlite.statements import statements_for
from asyncbackends_sqlite.tables import missing_tables, prepare_tables, stored_schema, use_schema
from asyncbackends_sqlite.unit import Unit
from asyncbackends_sqlite.writer_thread import LOOK, Writer
from asyncbackends_sqlite.writing import apply_write, apply_writes

__all__ = ("Session",)

ResultT = TypeVar("ResultT")

# What is left of the two seconds beyond the grace when threads have been told to hurry.
HURRY = 1.5
LAST_MOMENT = 0.001


class Session:
    """One opener of a file."""

    def __init__(self, endpoints: Sequence[str], options: SqliteDatabaseOptions) -> None:
        if len(endpoints) != 1:
            given = ", ".join(endpoints) or "none"
            message = f"the sqlite engine has one endpoint, a path or {IN_MEMORY}; not {given}"
            raise ConfigurationError(message)
        self.path = endpoints[0]
        self._options = options
        self.limits = Limits()
        self.guarantees: frozenset[Guarantee] = DATABASE_GUARANTEES
        self.seam = Seam(Kind.CONFIG_DATABASE, "sqlite", ours)
        self.links = LinkStates(self.seam)
        self.feed = Feed()
        self.sql = statements_for(options.namespace)
        self._owner = Owner(f"config database (sqlite, {self.path})")
        self._model = ObjectModel(Schema(), self.limits)
        self._writer: Writer | None = None
        self._readers: list[Reader] = []
        self._read_queue: SimpleQueue[Any] = SimpleQueue()
        self._calls: Calls | None = None

    async def connect(self, **params: Any) -> None:
        """Open the file and start the threads."""
        if self._owner.started:
            message = "the config database was connected already; make another one"
            raise ConfigurationError(message)
        with self.seam("connect"):
            self._options = changed_options(self._options, params)
            self.sql = statements_for(self._options.namespace)
            await self._owner.start(self._open, self._close)

    async def shutdown(self, grace: float) -> None:
        """End the threads, and close the file."""
        await self._owner.stop(grace)

    async def _open(self) -> None:
        self.links.set(ConnectionState.CONNECTING, self.path)
        options, loop = self._options, asyncio.get_running_loop()
        self._calls = Calls(options.operation_timeout, self._contended)
        self._writer = writer = Writer(self._opened_unit, loop, self.feed.wake)
        start_thread(writer.run)
        try:
            async with asyncio.timeout(options.connect_timeout):
                schema = await writer.opened
                if self.path != IN_MEMORY:
                    await self._new_reader().opened
        except TimeoutError as error:
            message = f"{self.path} could not be opened within {options.connect_timeout:g} s"
            raise ConnectionFailedError(message) from error
        self.guarantees = held_guarantees(self.path, options)
        self._use(schema)
        if self._owner.group is not None:
            self._owner.group.start_soon(self._watch_thread, writer)
            if self.path != IN_MEMORY:
                self._owner.group.start_soon(self._poll, writer)
        self.links.set(ConnectionState.CONNECTED, self.path)

    def _new_reader(self) -> Reader:
        reader = Reader(self.path, self._read_queue, asyncio.get_running_loop())
        self._readers.append(reader)
        start_thread(reader.run)
        return reader

    def _opened_unit(self) -> tuple[Unit, Schema]:
        """Open the writer's connection; runs in its thread."""
        options, sql, path = self._options, self.sql, self.path
        seconds = options.connect_timeout
        if not options.create_schema and path != IN_MEMORY and not Path(path).exists():
            raise missing_tables(sql, f"the file {path} is missing")
        connection = open_writer(
            path, synchronous=options.synchronous, create=options.create_schema, seconds=seconds
        )
        try:
            prepare_tables(connection, sql, create=options.create_schema, seconds=seconds)
            unit = Unit(connection, sql, options.watch_history)
            schema = stored_schema(unit.cursor, sql)
            if options.schema is not None and options.schema != schema:
                patiently(unit.begin, seconds)
                schema = unit.run(lambda unit: use_schema(unit.cursor, sql, options.schema))
                unit.commit()
            unit.settled()
        except BaseException:
            connection.close()
            raise
        return unit, schema or Schema()

    async def _watch_thread(self, writer: Writer) -> None:
        failure = await asyncio.shield(writer.ended)
        if failure is not None:
            raise failure

    def _contended(self) -> bool:
        return self._writer is not None and self._writer.contended

    async def _poll(self, writer: Writer) -> None:
        while True:
            await self.feed.awaited()
            writer.queue.put(LOOK)
            await asyncio.sleep(self._options.poll_interval)

    async def _close(self, grace: float) -> None:
        try:
            await self._end_threads(grace)
        finally:
            self.links.set(ConnectionState.CLOSED, self.path)
            self.feed.wake()

    async def _end_threads(self, grace: float) -> None:
        if self._calls is not None:
            self._calls.close()
        threads: list[Reader | Writer] = list(self._readers)
        for _ in self._readers:
            self._read_queue.put(None)
        if self._writer is not None:
            self._writer.queue.put(None)
            threads.append(self._writer)
        if not threads:
            return
        _, late = await asyncio.wait([thread.ended for thread in threads], timeout=grace)
        for thread in threads:
            thread.hurry = True
        if late:
            await asyncio.wait(late, timeout=HURRY)
        # A thread's last word comes a moment before its end.
        await asyncio.sleep(LAST_MOMENT)

    def _use(self, schema: Schema) -> None:
        self._model = ObjectModel(schema, self.limits, self._options.integrity)

    def check(self) -> None:
        """Raise BackendClosedError or ForkedError unless calls can be served."""
        self._owner.check()

    def rules(self) -> ObjectModel:
        """Give the rules of the schema in force."""
        self.check()
        return self._model

    def read(
        self, work: Callable[[sqlite3.Cursor], ResultT], kind: JobKind = JobKind.STATEMENT
    ) -> Coroutine[Any, Any, ResultT]:
        """Have a thread read by one statement, or with SNAPSHOT by several."""
        calls, writer = self._opened()
        if not self._readers:
            return calls.result(writer.queue, work, kind)
        if len(self._readers) < self._options.readers and not self._read_queue.empty():
            self._new_reader().opened.add_done_callback(_overlook)
        return calls.result(self._read_queue, work, kind)

    async def counters(self) -> tuple[int, int]:
        """Read revision and compacted."""
        statement = self.sql.counters
        row = await self.read(lambda cursor: cursor.execute(statement).fetchone())
        revision, compacted, _ = row
        return revision, compacted

    async def pull(self, seen: int) -> Pulled:
        """Read a page of changes."""
        sql = self.sql
        return await self.read(lambda cursor: pull(cursor, sql, seen))

    async def change(self, work: Callable[[Unit], ResultT]) -> ResultT:
        """Have the writer do something as one operation."""
        calls, writer = self._opened()
        try:
            result: ResultT = await calls.result(writer.queue, work, JobKind.WRITE)
        except sqlite3.Error as error:
            self._note(ours(error))
            raise
        except ResourceExhaustedError as error:
            self._note(error)
            raise
        if self.links.status.state is ConnectionState.BLOCKED:
            self.links.set(ConnectionState.CONNECTED, self.path)
        return result

    def _opened(self) -> tuple[Calls, Writer]:
        self.check()
        assert self._calls is not None  # noqa: S101  # an owner that is open has made them
        assert self._writer is not None  # noqa: S101  # the same
        return self._calls, self._writer

    def _note(self, error: BackendError | None) -> None:
        if isinstance(error, ResourceExhaustedError):
            self.links.set(ConnectionState.BLOCKED, self.path, str(error))

    @overload
    def write(
        self, write: RevisedWrite, fence: Fence | None = None
    ) -> Coroutine[Any, Any, WriteResult]: ...

    @overload
    def write(self, write: PlainWrite) -> Coroutine[Any, Any, None]: ...

    def write(self, write: Write, fence: Fence | None = None) -> Coroutine[Any, Any, Any]:
        """Apply one write."""
        model = self._model
        return self.change(lambda unit: apply_write(unit, model, write, fence))

    def apply(self, writes: Sequence[Write], fence: Fence | None) -> Coroutine[Any, Any, list[Any]]:
        """Apply writes as one unit.

        :raises TransactionFailedError: one of them was refused.
        """
        model = self._model
        return self.change(lambda unit: apply_writes(unit, model, writes, fence))

    async def set_schema(self, schema: Schema) -> None:
        """Store a schema, and use it."""

        def work(unit: Unit) -> Schema:
            in_force = use_schema(unit.cursor, self.sql, schema)
            unit.load_indexed()
            return in_force

        self._use(await self.change(work))


def _overlook(opened: asyncio.Future[None]) -> None:
    """Do without a further reader that cannot be opened: the first goes on with the queue."""
    if not opened.cancelled():
        opened.exception()
