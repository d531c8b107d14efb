"""The steps of the demo on one connection to the database: load, conflict and watch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from asyncbackends.cli.demo_guest import ENTRY, Guest
from asyncbackends.cli.demo_stage import Stage
from asyncbackends.errors import InvalidRequestError, RevisionConflictError
from asyncbackends.interchange.files import RecordFile
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.loads import Load, load_records
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.sources import Source
from asyncbackends.interchange.stepping import batches
from asyncbackends.object_model.values import canonical_id
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Change, Gap
from asyncbackends.recipes.updating import update_with
from asyncbackends.schema import Schema

__all__ = ("Known", "show_conflict", "show_load")

SHOWN: Final = 8
ASKED: Final = 500
PATIENCE: Final = 5.0
"""Seconds until a watch must have told."""


class Known(msgspec.Struct, frozen=True):
    """What the later steps need to know of an object that was loaded."""

    obj_type: str
    uuid: str
    parent: str | None
    text: str | None
    """The name of a property that holds text."""


async def show_load(
    stage: Stage,
    source: Source,
    findings: Findings,
    schema: Schema,
    guest: Guest,
) -> list[Known]:
    """Load the dump and say what was wrong with it."""
    with stage.step(f"Load a dump: {source.form}"):
        file = source.records()
        guest.loaded = file
        load = Load(source, findings, schema)
        loaded = await load_records(stage.database, load, schema, stage.screen.progress)
        stage.count("objects", loaded.objects)
        stage.say(
            f"{loaded.objects} objects of {len({*source.types.values()})} types, "
            f"{loaded.parents} parents, {loaded.refs} refs"
        )
        if source.schema_is_inferred:
            stage.say("its schema was inferred from the names of its columns")
        if findings.damaged_count:
            stage.say(f"{findings.damaged_count} damaged, reported and left out:")
        for issue in findings.damaged[:SHOWN]:
            stage.say(f"  {stage.screen.paint('damaged', 'red')} {issue}")
        if findings.damaged_count > SHOWN:
            stage.say(f"  and {findings.damaged_count - SHOWN} more")
        for kind, times in sorted((findings.warning_counts + findings.notes).items()):
            stage.say(f"put right: {times} {kind}")
        return await _known(stage.database, file)


async def _known(database: ConfigDatabase, file: RecordFile) -> list[Known]:
    """Give the objects of the dump that the database took."""
    known: list[Known] = []
    async for batch in batches(file.records(), ASKED):
        objects = [record for _, record in batch if isinstance(record, ObjectRecord)]
        uuids = [uuid for record in objects if (uuid := _id(record)) is not None]
        there = await database.uuids_to_fq_names(uuids)
        known += [_described(record) for record in objects if _id(record) in there]
    return known


def _id(record: ObjectRecord) -> str | None:
    try:
        return canonical_id(record.uuid)
    except InvalidRequestError:
        return None


def _described(record: ObjectRecord) -> Known:
    texts = sorted(
        name
        for name, value in record.object.items()
        if isinstance(value, str) and name not in {"uuid", "parent_type", "parent_uuid"}
    )
    text = "display_name" if "display_name" in texts else next(iter(texts), None)
    return Known(record.type, canonical_id(record.uuid), record.object.get("parent_uuid"), text)


async def show_conflict(stage: Stage, known: Sequence[Known], guest: Guest) -> None:
    """Let two writers change one object, and a watch look on."""
    database = stage.database
    with stage.step("Two writers change one object, a watch looks on"):
        chosen = _chosen(known) or Known(ENTRY, await guest.make_entry(0), None, "text")
        obj_type, uuid, field = chosen.obj_type, chosen.uuid, chosen.text or "text"
        async with database.watch(types={obj_type}) as changes:
            first = await database.object_get(obj_type, uuid)
            second = await database.object_get(obj_type, uuid)
            stage.say(f"both read {obj_type} {first['fq_name'][-1]}: revision {first.revision},")
            stage.say(f"{field} {first[field]!r}")
            written = await database.object_update(
                obj_type, uuid, {field: f"{first[field]} +A"}, expected_revision=first.revision
            )
            stage.say(f"writer A writes: revision {written.revision}")
            try:
                await database.object_update(
                    obj_type,
                    uuid,
                    {field: f"{second[field]} +B"},
                    expected_revision=second.revision,
                )
                stage.prove("writer B is refused", holds=False)
            except RevisionConflictError as error:
                stage.prove(f"writer B is refused: RevisionConflictError: {error}", holds=True)
            again = await update_with(
                database, obj_type, uuid, lambda now: {field: f"{now[field]} +B"}
            )
            last = written.revision if again is None else again.revision
            stage.say(f"writer B uses update_with, which reads again: revision {last}")
            now = await database.object_get(obj_type, uuid)
            wanted = f"{first[field]} +A +B"
            stage.prove(f"no change is lost: {field} {now[field]!r}", holds=now[field] == wanted)
            seen = await _seen(changes, uuid, last)
        # Without ORDERED_WATCH an event may be repeated.
        revisions = list(dict.fromkeys(change.revision for change in seen))
        words = ", ".join(f"{change.op} at revision {change.revision}" for change in seen)
        stage.prove(
            f"the watch saw {words or 'nothing'}",
            holds=revisions[-2:] == [written.revision, last],
        )


def _chosen(known: Sequence[Known]) -> Known | None:
    with_text = [each for each in known if each.text is not None]
    ranked = sorted(
        with_text, key=lambda each: (each.text != "display_name", each.parent is None, each.uuid)
    )
    return next(iter(ranked), None)


async def _seen(changes: AsyncIterator[Change | Gap], uuid: str, last: int) -> list[Change]:
    """Collect what a watch tells of an object, until a revision."""
    seen: list[Change] = []
    try:
        async with asyncio.timeout(PATIENCE):
            async for change in changes:
                if not isinstance(change, Gap) and change.uuid == uuid:
                    seen.append(change)
                    if change.revision >= last:
                        break
    except TimeoutError:
        pass
    return seen
