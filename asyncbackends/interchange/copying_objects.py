"""Makes objects of the target equal to those of the source, whatever they are like before.

Nothing is remembered between two calls: each reads both sides and writes what differs, so a copy
that was interrupted goes on, and a change that is told twice or late does no harm. What a refusal
names, such as the holder of a name, is looked at too.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from asyncbackends.batch import Batch
from asyncbackends.errors import BackendError, FqNameTakenError, ObjectExistsError
from asyncbackends.interchange.copying_deletes import Deleting
from asyncbackends.interchange.copying_digests import digest
from asyncbackends.interchange.copying_links import Linking
from asyncbackends.interchange.copying_sides import Pair, Side
from asyncbackends.interchange.copying_tally import Tally, Troubles
from asyncbackends.interchange.presence import changed_fields, element_updates, without_refs
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.shapes import as_dict
from asyncbackends.interchange.units import cause
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Json
from asyncbackends.schema import ObjectType

__all__ = ("CHUNK", "IDENTITY", "Mirror")

CHUNK: Final = 100
ROUNDS: Final = 30
DEEPEST: Final = 64

IDENTITY: Final = ("fq_name", "parent_type", "parent_uuid")
PLACEHOLDER: Final = "asyncbackends.copy"

Records = Mapping[Pair, ObjectRecord]
Again = dict[Pair, str]
"""What must be looked at again, and why."""


class _Plan(msgspec.Struct, frozen=True):
    """What :meth:`Mirror.objects` writes."""

    new: list[Pair]
    changed: dict[Pair, dict[str, Json]]
    orphans: set[Pair]


class Mirror:
    """Writes to the target what the source has."""

    def __init__(self, source: Side, target: Side, tally: Tally, troubles: Troubles) -> None:
        self._source = source
        self._target = target
        self._tally = tally
        self._troubles = troubles
        self._strict = Guarantee.ENFORCED_REFERENCES in target.database.guarantees
        self._deleting = Deleting(target, tally)
        self.links = Linking(source, target, tally, troubles)
        self.noted: dict[Pair, bytes | None] | None = None
        """The hashes of what was read to be written, without relaxed refs; None: none is noted."""

    async def equalise(self, pairs: Iterable[Pair], *, depth: int = 0) -> None:
        """Make these objects equal, and others as far as it takes."""
        left: Again = dict.fromkeys(pairs, "")
        for _ in range(ROUNDS):
            todo, again = list(left), Again()
            for at in range(0, len(todo), CHUNK):
                again |= await self._round(todo[at : at + CHUNK], depth)
            # What is refused twice for one reason will be refused again.
            left = {pair: why for pair, why in again.items() if not why or left.get(pair) != why}
            if not left:
                return

    async def _round(self, pairs: list[Pair], depth: int) -> Again:
        for pair in pairs:
            self._troubles.forget(pair)
        wanted = await self._source.read(pairs)
        if self.noted is not None:
            self.noted |= {pair: digest(wanted.get(pair), relaxed=False) for pair in pairs}
        there = await self._target.read(pairs)
        again = await self.objects(wanted, there, depth=depth)
        made = {pair: record for pair, record in wanted.items() if not again.get(pair)}
        for pair, why in (await self.links.refs(made, there)).items():
            again[pair] = again.get(pair) or why
        await self.links.relaxed(self._with_targets(pairs, made))
        return again

    def _with_targets(self, pairs: Iterable[Pair], made: Records) -> set[Pair]:
        """Add what they refer to: a ref that is relaxed shows at its target alone."""
        types = self._source.database.schema.types
        return {*pairs} | {
            (target, ref["uuid"])
            for (obj_type, _), record in made.items()
            for target in types[obj_type].refs
            for ref in record.object.get(f"{target}_refs", ())
        }

    async def objects(
        self, wanted: Records, there: dict[Pair, ObjectRecord], *, depth: int = 0
    ) -> Again:
        """Delete, create and update objects, all but their refs.

        :param there: the target's; what is deleted is taken out of it.
        """
        doomed = {
            pair: stored
            for pair, stored in there.items()
            if pair not in wanted or not _same_identity(wanted[pair], stored)
        }
        again: Again = {}
        if doomed:
            again = dict.fromkeys(await self._deleting.delete(doomed), "")
            for pair in doomed:
                del there[pair]
        plan = await self._plan(wanted, there, depth)
        todo = [*plan.new, *plan.changed]

        def queue(unit: Batch, pair: Pair) -> None:
            self._queue(unit, pair, wanted[pair], plan)

        refused: list[tuple[Pair, BackendError]] = []
        if todo:
            refused = await self._target.ask(lambda: self._target.units.write(todo, queue))
        failed = {pair for pair, _ in refused}
        self._tally.created += len({*plan.new} - failed)
        self._tally.updated += len(plan.changed.keys() - failed)
        for pair, error in refused:
            again |= await self._refused(pair, cause(error))
        return again

    async def _plan(self, wanted: Records, there: Records, depth: int) -> _Plan:
        changed: dict[Pair, dict[str, Json]] = {}
        new: dict[Pair, ObjectRecord] = {}
        for pair, record in wanted.items():
            stored = there.get(pair)
            if stored is None:
                new[pair] = record
                continue
            object_type = self._target.database.schema.types[pair[0]]
            positions = _positions(stored, object_type)
            update = changed_fields(record, stored.object, positions, object_type)
            if update:
                changed[pair] = update
        orphans = await self._orphans(new, depth)
        return _Plan(_parents_first(new), changed, orphans)

    async def _orphans(self, new: Records, depth: int) -> set[Pair]:
        """Copy parents that the target lacks; gives the objects whose parent the source lacks too."""
        parents = {pair: _parent(record) for pair, record in new.items()}
        outside = {parent for parent in parents.values() if parent is not None} - new.keys()
        if not outside:
            return set()
        missing = await self.links.missing(outside)
        if missing and depth < DEEPEST:
            known = await self._source.existing(sorted(missing))
            if known:
                await self.equalise(sorted(known), depth=depth + 1)
            missing -= known
        return {pair for pair, parent in parents.items() if parent in missing}

    def _queue(self, unit: Batch, pair: Pair, record: ObjectRecord, plan: _Plan) -> None:
        obj_type, uuid = pair
        object_type = self._target.database.schema.types[obj_type]
        changed = plan.changed.get(pair)
        parent = _parent(record) if pair in plan.orphans and not self._strict else None
        if parent is not None:
            # The way to a child whose parent was deleted before it, as in the source.
            unit.object_create(*parent, {"fq_name": [PLACEHOLDER, parent[1]]})
        if changed is None:
            unit.object_create(obj_type, uuid, without_refs(record, object_type))
        else:
            unit.object_update(obj_type, uuid, changed)
        steps = list(element_updates(record, object_type, changed))
        if steps:
            unit.prop_collection_update(obj_type, uuid, steps)
        if parent is not None:
            unit.object_delete(*parent)

    async def _refused(self, pair: Pair, error: BackendError) -> Again:
        self._troubles.note(pair, str(error))
        again = {pair: str(error)}
        if isinstance(error, FqNameTakenError):
            again[pair[0], error.holder] = ""
        elif isinstance(error, ObjectExistsError):
            stored = await self._deleting.stored_pair(pair[1])
            if stored not in {None, pair}:
                again[stored or pair] = ""
        return again


def _same_identity(wanted: ObjectRecord, stored: ObjectRecord) -> bool:
    """Say whether the target's object can become the source's by an update."""
    return all(wanted.object.get(field) == stored.object.get(field) for field in IDENTITY)


def _parent(record: ObjectRecord) -> Pair | None:
    uuid = record.object.get("parent_uuid")
    return None if uuid is None else (record.object["parent_type"], uuid)


def _parents_first(new: Records) -> list[Pair]:
    order: dict[Pair, None] = {}
    for pair in new:
        path: list[Pair] = []
        at: Pair | None = pair
        while at is not None and at in new and at not in order and at not in path:
            path.append(at)
            at = _parent(new[at])
        order |= dict.fromkeys(reversed(path))
    return list(order)


def _positions(record: ObjectRecord, object_type: ObjectType) -> dict[str, list[str]]:
    """Give the positions of all lists, those that are '0', '1', ... too."""
    positions = dict(record.positions)
    for field in object_type.lists.keys() & record.object.keys() - positions.keys():
        value, wrapper = record.object[field], object_type.lists[field]
        elements = value if wrapper is None else (as_dict(value) or {}).get(wrapper)
        positions[field] = [str(number) for number in range(len(elements or ()))]
    return positions
