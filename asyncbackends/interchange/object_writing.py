"""Writes batches of objects and of refs; what is refused stays out alone."""

from collections.abc import Callable

import msgspec

from asyncbackends.batch import Batch
from asyncbackends.errors import BackendError, InvalidRequestError
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.flights import Item
from asyncbackends.interchange.presence import (
    changed_fields,
    element_updates,
    identity_problem,
    list_fields,
    refs_of,
    refs_update,
    same_refs,
    without_refs,
)
from asyncbackends.interchange.shapes import as_dict, as_list
from asyncbackends.interchange.units import REFUSALS, Units, cause
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ConfigObject, Json

__all__ = ("NEW", "OTHER_REFS", "REFUSED", "SAME_REFS", "ObjectWriter", "Summary")

NEW, SAME_REFS, OTHER_REFS, REFUSED = range(4)
"""What the first pass found about an object, for the second."""


class Summary(msgspec.Struct):
    """What a load did."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    """Objects that the dump has and the database does not take; each is damage."""
    parents: int = 0
    refs: int = 0
    """Links that are there now, written or found."""
    shares: int = 0
    rows: int = 0
    texts: int = 0

    @property
    def objects(self) -> int:
        """How many objects of the dump are there now."""
        return self.created + self.updated + self.unchanged


class ObjectWriter:
    """Writes to one database, remembering a state per object of the dump."""

    def __init__(
        self, database: ConfigDatabase, findings: Findings, where: Callable[[Item], str]
    ) -> None:
        self._database = database
        self._types = database.schema.types
        self._findings = findings
        self._where = where
        self._units = Units(database)
        self.states = bytearray()
        self.summary = Summary()

    def refuse(self, item: Item, column: str, reason: str) -> None:
        """Take an object as damaged: nothing of it is written, now or later."""
        self.states[item.number] = REFUSED
        self.summary.refused += 1
        self._findings.damage(self._where(item), column, reason)

    async def write_objects(self, batch: list[Item]) -> None:
        """Create objects without their refs, and update those that are there with other content."""
        there = await self._database.uuids_to_fq_names([item.uuid for item in batch])
        updates = await self._compared([item for item in batch if item.uuid in there])

        def queue(unit: Batch, item: Item) -> None:
            object_type, obj_type = self._types[item.record.type], item.record.type
            changed = updates.get(item.number)
            steps = list(element_updates(item.record, object_type, changed))
            if changed is None:
                unit.object_create(obj_type, item.uuid, without_refs(item.record, object_type))
            else:
                unit.object_update(obj_type, item.uuid, changed)
            if steps:
                unit.prop_collection_update(obj_type, item.uuid, steps)

        waiting = [
            item for item in batch if self.states[item.number] == NEW or updates.get(item.number)
        ]
        refused = await self._units.write(waiting, queue)
        for item, error in refused:
            self.refuse(item, "", _reason(error))
        for item in batch:
            if self.states[item.number] != REFUSED:
                self._count(item, updates.get(item.number))

    def _count(self, item: Item, update: dict[str, Json] | None) -> None:
        if update is None:
            self.summary.created += 1
        elif update:
            self.summary.updated += 1
        else:
            self.summary.unchanged += 1
        self.summary.parents += item.parent is not None
        if self.states[item.number] == SAME_REFS:
            self.summary.refs += _number(refs_of(item.record, self._types[item.record.type]))

    async def _compared(self, items: list[Item]) -> dict[int, dict[str, Json]]:
        """Hold objects against those that are there; gives the update of each, {} for none."""
        updates: dict[int, dict[str, Json]] = {}
        for obj_type in sorted({item.record.type for item in items}):
            mine = [item for item in items if item.record.type == obj_type]
            read = await self._database.object_read(
                obj_type, [item.uuid for item in mine], missing="skip"
            )
            stored = {found["uuid"]: found for found in read}
            for item in mine:
                # Of another type it is no object to compare with: the create will be refused.
                if item.uuid in stored:
                    found = stored[item.uuid]
                    problem = identity_problem(item.record, found)
                    if problem is None:
                        updates[item.number] = await self._update(item, found)
                    else:
                        self.refuse(item, "", problem)
        return updates

    async def _update(self, item: Item, stored: ConfigObject) -> dict[str, Json]:
        object_type = self._types[item.record.type]
        same = same_refs(item.record, stored, object_type)
        self.states[item.number] = SAME_REFS if same else OTHER_REFS
        positions: dict[str, list[str]] = {}
        lists = list_fields(stored, object_type)
        if lists:
            read = await self._database.prop_collection_read(item.record.type, item.uuid, lists)
            positions = {field: [at for _, at in found] for field, found in read.items()}
        return changed_fields(item.record, stored, positions, object_type)

    async def write_refs(self, batch: list[Item]) -> None:
        """Write the refs of objects whose state says so."""
        fields: dict[int, dict[str, Json]] = {}
        for item in batch:
            object_type = self._types[item.record.type]
            new = self.states[item.number] == NEW
            refs = (refs_of if new else refs_update)(item.record, object_type)
            if refs:
                fields[item.number] = refs

        def queue(unit: Batch, item: Item) -> None:
            unit.object_update(item.record.type, item.uuid, fields[item.number])

        waiting = [item for item in batch if item.number in fields]
        refused = await self._units.write(waiting, queue)
        alone = {item.number for item, _ in refused}
        for item in waiting:
            if item.number in alone:
                await self._write_each_ref(item, fields[item.number])
            else:
                self.summary.refs += _number(fields[item.number])

    async def _write_each_ref(self, item: Item, fields: dict[str, Json]) -> None:
        obj_type, where = item.record.type, self._where(item)
        if self.states[item.number] == OTHER_REFS:
            await self._database.object_update(obj_type, item.uuid, dict.fromkeys(fields))
        for field, refs in fields.items():
            for each in as_list(refs) or ():
                ref = as_dict(each) or {}
                try:
                    uuid = await self._target(field, ref)
                    data = {"attr": ref.get("attr")}
                    await self._database.create_ref(
                        obj_type, item.uuid, field.removesuffix("_refs"), uuid, data
                    )
                except REFUSALS as error:
                    self._findings.damage(where, field, _reason(error))
                else:
                    self.summary.refs += 1
            if refs is not None and as_list(refs) is None:
                self._findings.damage(where, field, "it is no list of refs")

    async def _target(self, field: str, ref: dict[str, Json]) -> str:
        if not ref.keys() & {"uuid", "to"}:
            message = "a ref is a dict with 'uuid' or 'to'"
            raise InvalidRequestError(message)
        if "uuid" in ref:
            return str(ref["uuid"])
        return await self._database.fq_name_to_uuid(field.removesuffix("_refs"), ref["to"])


def _reason(error: BackendError) -> str:
    return str(cause(error))


def _number(fields: dict[str, Json]) -> int:
    return sum(len(refs) for refs in fields.values() if refs)
