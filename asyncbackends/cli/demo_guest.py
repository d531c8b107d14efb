"""The demo as a guest in a database: what it brings, and that it takes it away again."""

from contextlib import suppress
from uuid import UUID, uuid4, uuid5

import msgspec

from asyncbackends.cli.screen import Screen
from asyncbackends.errors import ConfigurationError, InvalidRequestError, NotFoundError
from asyncbackends.interchange.files import RecordFile, Spool
from asyncbackends.interchange.records import ObjectRecord, Record, RowRecord, TextRecord
from asyncbackends.interchange.sources import Source
from asyncbackends.interchange.stepping import batches, drained
from asyncbackends.object_model.values import canonical_id, fq_key, fq_name_of
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.schema import ObjectType, Schema

__all__ = ("ENTRY", "Guest", "entry_name", "entry_uuid", "refuse_if_taken", "schema_with_guest")

ENTRY = "asyncbackends_demo_entry"
"""The type of the objects that the demo makes itself."""
ENTRY_TYPE = ObjectType(properties=("batch", "text"), lists={"steps": None})
NAMESPACE = UUID("6f1d1f5e-3f0e-4d0e-9a53-1f2b6d0c7a11")
ASKED = 500


def entry_name(run: str, batch: int, number: int) -> list[str]:
    """Give the name of an entry of one run of the demo."""
    return ["asyncbackends-demo", run, str(batch), str(number)]


def entry_uuid(run: str, batch: int, number: int) -> str:
    """Give its id."""
    return str(uuid5(NAMESPACE, f"{run}/{batch}/{number}"))


def schema_with_guest(stored: Schema, brought: Schema) -> Schema:
    """Give the stored schema with the types that the demo brings.

    :raises ConfigurationError: the two do not go together.
    """
    try:
        return Schema({**brought.types, **stored.types, ENTRY: ENTRY_TYPE})
    except ConfigurationError as error:
        message = f"the demo's types do not go with the database's: {error}; use an empty namespace"
        raise ConfigurationError(message) from error


async def refuse_if_taken(
    database: ConfigDatabase, schema: Schema, source: Source, spool: Spool
) -> None:
    """Make the dump's records, and see that nothing of them is in the database.

    :raises ConfigurationError: something is; nothing was written.
    """
    async for _ in drained(source.convert(schema, {}, spool), ASKED):
        pass
    async for batch in batches(source.records().records(), ASKED):
        objects = [found for _, record in batch if (found := _identity(record)) is not None]
        uuids = [uuid for _, uuid, _ in objects]
        taken = [f"id {uuid}" for uuid in await database.uuids_to_fq_names(uuids)]
        for obj_type in sorted({each for each, _, _ in objects} & database.schema.types.keys()):
            names = [name for each, _, name in objects if each == obj_type]
            held = await database.fq_names_to_uuids(obj_type, names)
            taken += [f"name {obj_type} {':'.join(name)}" for name in held]
        for _, record in batch:
            if isinstance(record, RowRecord) and await _has_row(database, record):
                taken.append(f"row {record.table} {record.key}")
        texts = [record.key for _, record in batch if isinstance(record, TextRecord)]
        taken += [f"text {key}" for key in await database.useragent_kv_retrieve(texts)]
        if taken:
            message = (
                f"the demo does not touch what is there: the {taken[0]} is taken"
                f" (and {len(taken) - 1} more); use another namespace or another --dump"
            )
            raise ConfigurationError(message)


def _identity(record: Record) -> tuple[str, str, list[str]] | None:
    """Give an object's type, uuid and name; None for what is no object or will be refused."""
    if not isinstance(record, ObjectRecord):
        return None
    try:
        name = record.object.get("fq_name")
        return record.type, canonical_id(record.uuid), fq_name_of(fq_key(name or []))
    except InvalidRequestError:
        return None


async def _has_row(database: ConfigDatabase, record: RowRecord) -> bool:
    try:
        await database.kv_get(record.table, record.key)
    except (NotFoundError, InvalidRequestError):
        return False
    return True


class Guest(msgspec.Struct):
    """Remembers what the demo brings in."""

    database: ConfigDatabase
    run: str = msgspec.field(default_factory=lambda: uuid4().hex[:8])
    entries: list[str] = []
    """Ids of entries that may be there."""
    loaded: RecordFile | None = None
    fenced: bool = False
    """The database remembers the highest fence of the demo's leaders, for good."""

    async def make_entry(self, number: int) -> str:
        """Make an object with a text, and give its id."""
        uuid = entry_uuid(self.run, 0, number)
        self.entries.append(uuid)
        content = {"fq_name": entry_name(self.run, 0, number), "text": "a text"}
        await self.database.object_create(ENTRY, uuid, content)
        return uuid

    async def leave(self, screen: Screen) -> None:
        """Delete all of it; the types stay in the schema, and a fence."""
        gone = 0
        there = await self.database.uuids_to_fq_names(self.entries)
        for uuid in there:
            await self.database.object_delete(ENTRY, uuid)
        if self.loaded is not None:
            gone = await self._unload(self.loaded)
        kept = ", the database a fence of this run" if self.fenced else ""
        screen.say(
            f"taken away again: {gone + len(there)} objects; the schema keeps the demo's types{kept}"
        )

    async def _unload(self, file: RecordFile) -> int:
        objects: list[tuple[str, str]] = []
        async for batch in batches(file.records(), ASKED):
            for _, record in batch:
                # What was refused is not there.
                with suppress(NotFoundError, InvalidRequestError):
                    await self._take_away(record, objects)
        gone = 0
        for obj_type, uuid in reversed(objects):
            with suppress(NotFoundError):
                await self.database.object_delete(obj_type, uuid)
                gone += 1
        return gone

    async def _take_away(self, record: Record, objects: list[tuple[str, str]]) -> None:
        """Delete what no object refers to; of objects only their refs, so that all can go then."""
        if isinstance(record, RowRecord):
            await self.database.kv_delete(record.table, record.key)
        elif isinstance(record, TextRecord):
            await self.database.useragent_kv_delete(record.key)
        elif isinstance(record, ObjectRecord) and record.type in self.database.schema.types:
            objects.append((record.type, canonical_id(record.uuid)))
            refs = self.database.schema.types[record.type].refs
            fields = [f"{target}_refs" for target in refs if f"{target}_refs" in record.object]
            if fields:
                await self.database.object_update(record.type, record.uuid, dict.fromkeys(fields))
