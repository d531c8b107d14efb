"""A whole load: which schema holds, what is refused beforehand, then the writing."""

import msgspec

from asyncbackends.interchange.files import Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.flights import Progress
from asyncbackends.interchange.loading import Loader
from asyncbackends.interchange.object_writing import Summary
from asyncbackends.interchange.sources import Source
from asyncbackends.interchange.stepping import drained
from asyncbackends.interchange.strictness import find_refusals
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.schema import Schema, reconcile

__all__ = ("Load", "Loaded", "load_dump", "load_records")

STEP = 200
ASKED = 500


class Load(msgspec.Struct, frozen=True):
    """What is to be loaded, and how."""

    source: Source
    """It has been read."""
    findings: Findings
    schema: Schema | None = None
    strict: bool = False


class Loaded(msgspec.Struct, frozen=True):
    """What became of it; no summary when nothing was written because of ``strict``."""

    summary: Summary | None
    schema_origin: str
    types: int


async def load_dump(
    database: ConfigDatabase, load: Load, spool: Spool, progress: Progress
) -> Loaded:
    """Load a dump that has been read.

    :raises ConfigurationError: the schema given is no superset of the database's.
    """
    source, findings = load.source, load.findings
    schema, origin = _chosen(database.schema, load)
    present = await _present(database, source.strangers())
    async for done in drained(source.convert(schema, present, spool), STEP):
        progress("converting", done, None)
    file = source.records()
    types = len({*source.types.values()})
    if load.strict:
        await find_refusals(
            database,
            schema,
            file,
            source.types,
            findings,
            named_by_line=source.named_by_line,
            skip=source.skip,
        )
        if findings.damaged_count:
            return Loaded(None, origin, types)
    return Loaded(await load_records(database, load, schema, progress), origin, types)


async def load_records(
    database: ConfigDatabase, load: Load, schema: Schema, progress: Progress
) -> Summary:
    """Set the schema and write the records of a dump that has been converted for it."""
    source = load.source
    if schema != database.schema:
        await database.set_schema(schema)
    loader = Loader(
        database,
        source.records(),
        load.findings,
        progress,
        named_by_line=source.named_by_line,
        skip=source.skip,
    )
    return await loader.load()


def _chosen(stored: Schema, load: Load) -> tuple[Schema, str]:
    """Say which schema holds: the one given, the database's, the dump's, the inferred one."""
    source = load.source
    if load.schema is not None:
        return reconcile(load.schema, stored if stored.types else None), "as given"
    if stored.types:
        difference = None if source.schema_is_inferred else source.schema.difference(stored)
        if difference is None:
            return stored, "the database's"
        return stored, f"the database's, which is not the dump's: {difference}"
    if source.schema_is_inferred:
        return source.schema, (
            "inferred from the columns; wrappers cannot be known, so lists and maps are bare"
            " (--schema FILE restores them)"
        )
    return source.schema, "the dump's"


async def _present(database: ConfigDatabase, uuids: set[str]) -> dict[str, str]:
    """Find the type of each of these objects that the database has."""
    wanted = sorted(uuids)
    found: dict[str, str] = {}
    for at in range(0, len(wanted) if database.schema.types else 0, ASKED):
        names = await database.uuids_to_fq_names(wanted[at : at + ASKED])
        for uuid in names:
            found[uuid] = await database.uuid_to_obj_type(uuid)
    return found
