"""An open database: its lifecycle, its connections, and the way of every operation to them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, TypeVarTuple, overload

from asyncbackends.coercion import changed_options
from asyncbackends.endpoints import parsed_endpoint
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    OperationTimeoutError,
    ResourceExhaustedError,
)
from asyncbackends.object_model.applying import Refused, itself, refused_in_unit
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.writes import PlainWrite, RevisedWrite, Write
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState, Kind
from asyncbackends.protocols.guarantees import STRICT_ONLY, Guarantee, Limits
from asyncbackends.protocols.values import ALL_FIELDS, Fence, FieldNames, WriteResult
from asyncbackends.schema import Schema
from asyncbackends.sql.assuming import Indexed
from asyncbackends.sql.deadlines import Deadline, Deadlines, Late
from asyncbackends.sql.following import Following
from asyncbackends.sql.grouping import Grouping
from asyncbackends.sql.guarantees import SQL_GUARANTEES
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.reading import Reading
from asyncbackends.sql.schema_keeping import InForce, SchemaKeeper, indexed_properties
from asyncbackends.sql.server import Connection, Contended, Row, SqlEngine
from asyncbackends.sql.statements import statements_for
from asyncbackends.sql.writing import no_connection, write_unit

__all__ = ("Session",)

Arguments = TypeVarTuple("Arguments")
ResultT = TypeVar("ResultT")


class Session:
    """One opener of a database on a server."""

    def __init__(
        self, engine: SqlEngine, endpoints: Sequence[str], options: ServerDatabaseOptions
    ) -> None:
        if not endpoints:
            message = f"the {engine.name} engine needs an endpoint: host[:port], or a socket's path"
            raise ConfigurationError(message)
        for endpoint in endpoints:
            parsed_endpoint(endpoint, engine.default_port)
        self.engine = engine
        self.options = options
        self.limits = Limits()
        self.guarantees: frozenset[Guarantee] = SQL_GUARANTEES
        self.seam = Seam(Kind.CONFIG_DATABASE, engine.name, engine.errors)
        self.links = LinkStates(self.seam)
        self.indexed: Indexed = {}
        self.stamp = -1
        self._endpoints = list(endpoints)
        self._owner = Owner(f"config database ({engine.name}, {', '.join(endpoints)})")
        self._model = ObjectModel(Schema(), self.limits)
        self._readings: dict[tuple[str, FieldNames], Reading] = {}
        self._use_options(options)

    def _use_options(self, options: ServerDatabaseOptions) -> None:
        self.options = options
        self.sql = statements_for(self.engine.dialect, options.namespace)
        self.pool = Pool(self.engine, self._endpoints, options, self.links)
        self.grouping = Grouping(self.pool, self._start, options.operation_timeout)
        self.following = Following(self)

    # Its life.

    async def connect(self, **params: Any) -> None:
        """Make first contact, and look after tables and schema."""
        if self._owner.started:
            message = "the config database was connected already; make another one"
            raise ConfigurationError(message)
        with self.seam("connect"):
            self._use_options(changed_options(self.options, params))
            self._deadlines = Deadlines(self.operation_timeout, self._late)
            await self._owner.start(self._open, self._close)

    async def shutdown(self, grace: float) -> None:
        """Close the connections."""
        await self._owner.stop(grace)

    async def _open(self) -> None:
        group = self._owner.group
        assert group is not None  # noqa: S101  # the owner opens inside its group
        options = self.options
        self.links.set(ConnectionState.CONNECTING)
        await self.pool.open(group)
        async with self.pool.connection() as connection:
            keeper = self._keeper(connection, options.connect_timeout)
            found = await keeper.prepare(create=options.create_schema)
            found = await keeper.use(options.schema, found)
            revision, compacted, _ = await keeper.counters()
            self.limits = connection.limits
            held = SQL_GUARANTEES | connection.guarantees
            self.guarantees = held - STRICT_ONLY if options.integrity == "legacy" else held
        self._use(found)
        self.following.begin(revision, compacted)
        group.start_soon(self.following.poll)
        group.start_soon(self.following.prune)

    def _keeper(self, connection: Connection, seconds: float) -> SchemaKeeper:
        return SchemaKeeper(self.engine, self.sql, connection, seconds)

    async def _close(self, grace: float) -> None:
        try:
            await self.pool.close(grace)
        finally:
            self._deadlines.close()
            self.links.set(ConnectionState.CLOSED)
            self.following.feed.wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        group = self._owner.group
        if group is None:
            work.close()
            self.check()
        else:
            group.start_soon(_awaited, work)

    def check(self) -> None:
        """Raise BackendClosedError or ForkedError unless calls can be served."""
        self._owner.check()

    # The schema.

    def rules(self) -> ObjectModel:
        """Give the rules of the schema in force."""
        self.check()
        return self._model

    def reading(self, obj_type: str, field_names: FieldNames) -> Reading:
        """Give how objects are read; it is kept for the choices that most reads make."""
        self.check()
        if field_names is not None and field_names is not ALL_FIELDS:
            return Reading(self.sql, self._model.view(obj_type), field_names)
        kept = self._readings.get((obj_type, field_names))
        if kept is None:
            kept = Reading(self.sql, self._model.view(obj_type), field_names)
            self._readings[obj_type, field_names] = kept
        return kept

    def _use(self, found: InForce) -> None:
        schema = found.schema or Schema()
        self._model = ObjectModel(schema, self.limits, self.options.integrity)
        self._readings = {}
        self._use_index(found)

    def _use_index(self, found: InForce) -> None:
        self.indexed, self.stamp = indexed_properties(found.schema or Schema()), found.stamp

    async def read_indexed(self, connection: Connection) -> None:
        """Read what is indexed anew: another process may have widened the schema."""
        self._use_index(await self._keeper(connection, self.operation_timeout).stored())

    async def set_schema(self, schema: Schema) -> None:
        """Store a schema."""
        self.check()
        connection = await self._connection()
        failure: BaseException | None = None
        try:
            keeper = self._keeper(connection, self.operation_timeout)
            found = await keeper.use(schema, await keeper.stored())
        except BaseException as error:
            failure = error
            raise
        finally:
            self.pool.give_back(connection, failure)
        self._use(found)

    # Reads.

    async def read(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        """Run one rendered statement, on another connection again where one is lost."""
        self.check()
        pool, tries = self.pool, 0
        with self._deadlines() as deadline:
            while True:
                connection = pool.idle_one() or await pool.next_one()
                deadline.connected = True
                failure: BaseException | None = None
                try:
                    return await connection.fetch(statement, parameters)
                except BaseException as error:
                    failure = error
                    if not self.worth_another(error):
                        raise
                finally:
                    pool.give_back(connection, failure)
                deadline.connected = False
                tries += 1
                if tries > self.options.pool_size:
                    # As many may have been lost at once; more are lost one by one.
                    await asyncio.sleep(random.uniform(0, self.options.reconnect_max))  # noqa: S311  # spreads load

    def worth_another(self, error: BaseException) -> bool:
        """Say whether the same read may succeed on another connection."""
        if isinstance(error, Contended):
            return True
        return isinstance(error, Exception) and self.engine.lost(error)

    def within_deadline(self, late: Late | None = None) -> Deadline:
        """Give a block for an operation of several steps, which ends with what ``late`` gives."""
        return self._deadlines(late)

    async def _connection(self) -> Connection:
        with self._deadlines():
            return self.pool.idle_one() or await self.pool.next_one()

    async def work(
        self,
        step: Callable[[Connection, *Arguments], Awaitable[ResultT]],
        *arguments: *Arguments,
    ) -> ResultT:
        """Do something of several round trips on a connection."""
        self.check()
        with self._deadlines() as deadline:
            async with self.pool.connection() as connection:
                deadline.connected = True
                return await step(connection, *arguments)

    def _late(self, deadline: Deadline) -> BackendError:
        """Say how a read ends whose time is up."""
        self.pool.timed_out()
        seconds = f"{self.operation_timeout:g} s"
        if deadline.connected:
            return OperationTimeoutError(f"no answer within {seconds}")
        return no_connection(self.pool, seconds)

    # Writes.

    @property
    def operation_timeout(self) -> float:
        """Seconds for an operation."""
        return self.options.operation_timeout

    @overload
    async def write(self, write: RevisedWrite, fence: Fence | None = None) -> WriteResult: ...

    @overload
    async def write(self, write: PlainWrite) -> None: ...

    async def write(self, write: Write, fence: Fence | None = None) -> Any:
        """Apply one write."""
        return (await self._write([write], fence, itself))[0]

    async def apply(self, writes: Sequence[Write], fence: Fence | None) -> list[Any]:
        """Apply writes as one unit.

        :raises TransactionFailedError: one of them was refused.
        """
        return await self._write(writes, fence, refused_in_unit)

    async def _write(
        self, writes: Sequence[Write], fence: Fence | None, refused: Refused
    ) -> list[Any]:
        self.check()
        try:
            return await write_unit(self, writes, fence, refused)
        except Exception as error:
            ours = error if isinstance(error, BackendError) else self.engine.errors(error)
            if isinstance(ours, ResourceExhaustedError):
                self.links.set(ConnectionState.BLOCKED, self.links.status.endpoint, str(ours))
            raise

    def written(self) -> None:
        """Hear that something was written."""
        self.following.written()
        if self.links.status.state is ConnectionState.BLOCKED:
            self.links.set(ConnectionState.CONNECTED, self.links.status.endpoint)


async def _awaited(work: Coroutine[Any, Any, None]) -> None:
    await work
