"""Makes and checks the tables, and keeps the schema in force."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    OperationTimeoutError,
    SchemaVersionError,
    WriteContentionError,
)
from asyncbackends.object_model.listing import Listing
from asyncbackends.object_model.values import index_key
from asyncbackends.schema import Schema, reconcile
from asyncbackends.sql.assuming import Indexed
from asyncbackends.sql.effects import Effects, NewIndex
from asyncbackends.sql.index_items import index_item
from asyncbackends.sql.listing import ListQuery
from asyncbackends.sql.server import Connection, Contended, Row, SqlEngine
from asyncbackends.sql.statements import Statements

__all__ = ("InForce", "SchemaKeeper", "indexed_properties")

ResultT = TypeVar("ResultT")

VERSION: Final = 1
CHUNK: Final = 500
ATTEMPTS: Final = 5


class InForce(NamedTuple):
    """The schema that the database keeps, and the stamp that tells of its changes."""

    schema: Schema | None
    stamp: int


class SchemaKeeper:
    """Looks after tables and schema on one connection; each of its steps has so many seconds."""

    def __init__(
        self, engine: SqlEngine, sql: Statements, connection: Connection, seconds: float
    ) -> None:
        self._engine = engine
        self._sql = sql
        self._connection = connection
        self._seconds = seconds

    async def prepare(self, *, create: bool) -> InForce:
        """Make the tables where they are missing; several processes may do so at once.

        :raises SchemaVersionError: they are another version's, or missing and not to be made.
        :raises ConfigurationError: there are tables of something else.
        """
        found = await self._found()
        if isinstance(found, InForce):
            return found
        statements = [
            self._sql.rendered(text) for text in self._engine.tables(self._connection.server)
        ]
        if not create:
            script = ";\n".join(statements)
            message = f"the tables are missing and create_schema = no; make them with:\n{script};"
            raise SchemaVersionError(message) from found
        await self._step(self._connection.script(statements))
        found = await self._found()
        if isinstance(found, InForce):
            return found
        message = (
            f"there are tables of something else ({found}); choose another namespace than "
            f"{self._sql.namespace!r}"
        )
        raise ConfigurationError(message) from found

    async def _found(self) -> InForce | BackendError:
        """Give what the tables say, or the error that they are not there."""
        try:
            rows = await self._fetch(self._sql.meta)
        except Exception as error:
            ours = error if isinstance(error, BackendError) else self._engine.errors(error)
            if not isinstance(ours, SchemaVersionError):
                raise
            return ours
        return _in_force(rows) or SchemaVersionError("the tables have no version")

    async def stored(self) -> InForce:
        """Read the schema."""
        found = _in_force(await self._fetch(self._sql.meta))
        if found is None:
            message = "the tables have no version any more"
            raise SchemaVersionError(message)
        return found

    async def counters(self) -> Row:
        """Read revision, compacted and stamp."""
        return (await self._fetch(self._sql.counter))[0]

    async def use(self, given: Schema | None, found: InForce) -> InForce:
        """Give the schema in force, storing the given one first if it is new.

        :param found: what is stored, or was a moment ago.
        :raises ConfigurationError: it is no superset of the stored one, or a property that is to
            be indexed has a value that cannot be.
        """
        if given is None or reconcile(given, found.schema) == found.schema:
            return found
        for _ in range(ATTEMPTS):
            await self._step(self._connection.begin())
            try:
                await self._replace(given)
            except Exception as error:
                if not isinstance(error, ConfigurationError) and not self._contended(error):
                    # The connection is in doubt, and not used again.
                    raise
                await self._step(self._connection.rollback())
                if isinstance(error, ConfigurationError):
                    raise
                continue
            await self._step(self._connection.commit())
            return await self.stored()
        message = f"the schema could not be stored: {ATTEMPTS} times others were in the way"
        raise WriteContentionError(message)

    def _contended(self, error: Exception) -> bool:
        return isinstance(error, Contended) or isinstance(
            self._engine.errors(error), WriteContentionError
        )

    async def _replace(self, given: Schema) -> None:
        # Every write takes this lock last: those that have it are seen, the others see the stamp.
        stamp: int = (await self._fetch(self._sql.lock_counter))[0][2]
        stored = (await self.stored()).schema
        wanted = reconcile(given, stored)
        if wanted == stored:
            return
        before = indexed_properties(stored or Schema())
        for obj_type, properties in indexed_properties(wanted).items():
            for prop in properties:
                if prop not in before.get(obj_type, ()):
                    await self._fill_index(obj_type, prop, stamp)
        text = msgspec.json.encode(wanted.to_dict()).decode()
        await self._fetch(self._sql.delete_meta, "schema")
        await self._fetch(self._sql.new_meta, "schema", text)
        await self._fetch(self._sql.raise_stamp)

    async def _fill_index(self, obj_type: str, prop: str, stamp: int) -> None:
        query = ListQuery(self._sql, _every_object(obj_type))
        after: str | None = None
        while True:
            text, parameters = query.documents(after, CHUNK)
            rows = await self._fetch(text, *parameters)
            entries = [
                NewIndex(obj_type, prop, _key(obj_type, uuid, prop, properties[prop]), uuid)
                for uuid, _, document in rows
                if document is not None and prop in (properties := msgspec.json.decode(document))
            ]
            if entries:
                await self._step(self._connection.apply(Effects(stamp=stamp, indexes=entries)))
            if len(rows) < CHUNK:
                return
            after = rows[-1][0]

    async def _fetch(self, statement: str, *parameters: Any) -> "list[Row]":
        return list(await self._step(self._connection.fetch(statement, parameters)))

    async def _step(self, step: Awaitable[ResultT]) -> ResultT:
        try:
            async with asyncio.timeout(self._seconds):
                return await step
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            message = f"no answer within {self._seconds:g} s while looking after the tables"
            raise OperationTimeoutError(message) from error


def _in_force(rows: "list[Row]") -> InForce | None:
    """Give what the rows of ``Statements.meta`` say, None without a version.

    :raises SchemaVersionError: it is a newer one.
    """
    values = {name: value for name, value, _ in rows}
    if "version" not in values:
        return None
    version = int(values["version"])
    if version > VERSION:
        message = f"the tables are of version {version}, this adapter's of {VERSION}; upgrade it"
        raise SchemaVersionError(message)
    text = values.get("schema")
    schema = None if text is None else Schema.from_dict(msgspec.json.decode(text))
    return InForce(schema, rows[0][2])


def indexed_properties(schema: Schema) -> Indexed:
    """Give the indexed properties of every type that has some."""
    return {name: item.indexed for name, item in schema.types.items() if item.indexed}


def _every_object(obj_type: str) -> Listing:
    """Give the list of all objects of a type, whatever the schema says of it."""
    return Listing(
        obj_type=obj_type,
        parents=None,
        back_refs=None,
        uuids=None,
        indexed={},
        filters={},
        after=None,
        limit=None,
        selection=None,
    )


def _key(obj_type: str, uuid: str, prop: str, value: object) -> str:
    key = index_key(value)
    if key is None:
        message = (
            f"type {obj_type!r}: indexed: {prop!r} of {uuid} is neither text, a number nor a "
            f"boolean, so it cannot be indexed"
        )
        raise ConfigurationError(message)
    return index_item(key)
