"""The steps of the demo on one connection: load, read, conflict and watch."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from asyncbackends.cli.demo_guest import ENTRY, Guest, entry_name, entry_uuid
from asyncbackends.cli.screen import Screen
from asyncbackends.errors import RevisionConflictError
from asyncbackends.interchange.files import Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.loads import Load, load_records
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.shapes import as_list
from asyncbackends.interchange.sources import Source
from asyncbackends.object_model.views import type_view
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, Change, Gap
from asyncbackends.recipes.updating import update_with
from asyncbackends.schema import Schema

__all__ = ("Known", "Stage", "show_conflict", "show_load", "show_subtree")

LINES: Final = 24
LINKS: Final = 2
SHOWN: Final = 8
PATIENCE: Final = 5.0
"""Seconds until a watch must have told."""


class Stage:
    """Prints what happens, with times, and remembers whether every promise held."""

    def __init__(self, screen: Screen, database: ConfigDatabase) -> None:
        self.screen = screen
        self.database = database
        self.whole = True
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Print a step's title, and behind its lines how long it took."""
        self._number += 1
        self.screen.say()
        self.screen.say(self.screen.paint(f"{self._number}. {title}", "bold"))
        began = time.perf_counter()
        yield
        self.say(self.screen.paint(f"{time.perf_counter() - began:.3f} s", "dim"))

    def say(self, line: str) -> None:
        """Print a line of the step."""
        self.screen.say(f"   {line}")

    def prove(self, line: str, *, holds: bool) -> None:
        """Print what was promised, and whether it held."""
        mark = self.screen.paint("ok", "green") if holds else self.screen.paint("BROKEN", "red")
        self.whole = self.whole and holds
        self.say(f"{mark} {line}")


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
    spool: Spool,
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
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: [_known(record) for _, record in file.records() if _is_object(record)]
        )


def _is_object(record: object) -> bool:
    return isinstance(record, ObjectRecord)


def _known(record: object) -> Known:
    if not isinstance(record, ObjectRecord):
        raise TypeError(record)
    texts = sorted(
        name
        for name, value in record.object.items()
        if isinstance(value, str) and name not in {"uuid", "parent_type", "parent_uuid"}
    )
    text = "display_name" if "display_name" in texts else next(iter(texts), None)
    return Known(record.type, record.uuid, record.object.get("parent_uuid"), text)


async def show_subtree(stage: Stage, known: Sequence[Known]) -> None:
    """Read the largest tree and draw it."""
    with stage.step("Read a subtree"):
        below: dict[str, int] = {}
        parents = {each.uuid: each.parent for each in known}
        for each in reversed(known):
            parent = parents[each.uuid]
            if parent is not None:
                below[parent] = below.get(parent, 0) + below.get(each.uuid, 0) + 1
        roots = [each for each in known if each.parent is None]
        if not roots:
            stage.say("the dump has no object without a parent")
            return
        root = max(roots, key=lambda each: below.get(each.uuid, 0))
        lines = await _tree(stage.database, root.obj_type, root.uuid)
        for line in lines[:LINES]:
            stage.say(line)
        if len(lines) > LINES:
            stage.say(f"and {below.get(root.uuid, 0) + 1 - LINES} more")


async def _tree(
    database: ConfigDatabase, obj_type: str, uuid: str, indent: str = "", mark: str = ""
) -> list[str]:
    """Draw an object and what is below it, some lines more than are shown at most."""
    found = await database.object_get(obj_type, uuid, ALL_FIELDS)
    lines = [f"{indent}{mark}{obj_type} {found['fq_name'][-1]}{_links(found)}"]
    children = [
        (child, entry["uuid"])
        for child in sorted(type_view(database.schema, obj_type).children)
        for entry in found.get(f"{child}s", ())
    ]
    deeper = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[mark]
    for number, (child, child_uuid) in enumerate(children, 1):
        branch = "└─ " if number == len(children) else "├─ "
        lines += await _tree(database, child, child_uuid, deeper, branch)
        if len(lines) > LINES:
            break
    return lines


def _links(found: dict[str, object]) -> str:
    targets = sorted(
        f"{field.removesuffix('_refs')} {ref['to'][-1]}"
        for field, refs in found.items()
        if field.endswith("_refs") and not field.endswith("_back_refs")
        for ref in as_list(refs) or ()
        if "to" in ref
    )
    if not targets:
        return ""
    more = f" and {len(targets) - LINKS} more" if len(targets) > LINKS else ""
    return f"  -> {', '.join(targets[:LINKS])}{more}"


async def show_conflict(stage: Stage, known: Sequence[Known], guest: Guest) -> None:
    """Let two writers change one object, and a watch look on."""
    database = stage.database
    with stage.step("Two writers change one object, a watch looks on"):
        chosen = _chosen(known) or await _entry(guest)
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
        words = ", ".join(f"{change.op} at revision {change.revision}" for change in seen)
        stage.prove(
            f"the watch saw {words or 'nothing'}",
            holds=[change.revision for change in seen][-2:] == [written.revision, last],
        )


def _chosen(known: Sequence[Known]) -> Known | None:
    with_text = [each for each in known if each.text is not None]
    ranked = sorted(
        with_text, key=lambda each: (each.text != "display_name", each.parent is None, each.uuid)
    )
    return next(iter(ranked), None)


async def _entry(guest: Guest) -> Known:
    """Make an object with text, where the dump has none."""
    uuid = entry_uuid(guest.run, 0, 0)
    guest.entries.append(uuid)
    content = {"fq_name": entry_name(guest.run, 0, 0), "text": "a text"}
    await guest.database.object_create(ENTRY, uuid, content)
    return Known(ENTRY, uuid, None, "text")


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
