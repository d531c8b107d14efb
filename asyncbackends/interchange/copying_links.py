"""Makes refs of the target, and who relaxed them, equal to the source's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from asyncbackends.batch import Batch
from asyncbackends.errors import NotFoundError
from asyncbackends.interchange.copying_sides import Pair, Side
from asyncbackends.interchange.copying_tally import Tally, Troubles
from asyncbackends.interchange.record_reading import TOGETHER
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.shapes import as_list
from asyncbackends.interchange.stepping import together
from asyncbackends.interchange.units import cause
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Json

__all__ = ("Linking", "relaxed_refs")

ASKED: Final = 500
LATE: Final = "it is not copied yet, or refers to what is not"

Fields = dict[str, list[Json]]
"""Refs by field."""


class Linking:
    """Links objects of the target."""

    def __init__(self, source: Side, target: Side, tally: Tally, troubles: Troubles) -> None:
        self._source = source
        self._target = target
        self._tally = tally
        self._troubles = troubles
        self._strict = Guarantee.ENFORCED_REFERENCES in target.database.guarantees

    async def missing(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Say which of these ids the target does not have, as whatever type."""
        left = sorted(pairs)
        found: set[str] = set()
        for at in range(0, len(left), ASKED):
            uuids = [uuid for _, uuid in left[at : at + ASKED]]
            found |= (
                await self._target.ask(partial(self._target.database.uuids_to_fq_names, uuids))
            ).keys()
        return {pair for pair in left if pair[1] not in found}

    async def refs(
        self, wanted: Mapping[Pair, ObjectRecord], there: Mapping[Pair, ObjectRecord]
    ) -> dict[Pair, str]:
        """Write the refs that differ.

        :param there: the target's objects; one that is absent has no refs yet.
        :returns: what must be looked at again, and why: targets that are not copied yet.
        """
        updates = {
            pair: fields
            for pair, record in wanted.items()
            if (fields := self._changed(pair, record, there.get(pair)))
        }
        if not updates:
            return {}
        strays = await self.missing({to for fields in updates.values() for to in _targets(fields)})
        late = await self._source.existing(sorted(strays)) if strays else set[Pair]()
        again: dict[Pair, str] = {}
        for pair, fields in updates.items() if strays else ():
            stray = strays & {*_targets(fields)}
            if stray & late:
                again |= dict.fromkeys({*(stray & late), pair}, LATE)
            if self._strict and stray - late:
                nowhere = " and ".join(
                    f"{to_type} {uuid}" for to_type, uuid in sorted(stray - late)
                )
                self._troubles.note(pair, f"it refers to {nowhere}, which is not there")
            _leave_out(fields, stray if self._strict else stray & late)

        def queue(unit: Batch, pair: Pair) -> None:
            fields = updates[pair]
            unit.object_update(*pair, {field: refs or None for field, refs in fields.items()})

        refused = await self._target.ask(lambda: self._target.units.write([*updates], queue))
        self._tally.linked += len(updates) - len(refused)
        for pair, error in refused:
            again[pair] = str(cause(error))
            self._troubles.note(pair, again[pair])
        return again

    def _changed(self, pair: Pair, record: ObjectRecord, stored: ObjectRecord | None) -> Fields:
        changed: Fields = {}
        for target in self._target.database.schema.types[pair[0]].refs:
            field = f"{target}_refs"
            refs = as_list(record.object.get(field)) or []
            known = [] if stored is None else as_list(stored.object.get(field)) or []
            if not json_equal(refs, known):
                changed[field] = refs
        return changed

    async def relaxed(self, pairs: Collection[Pair]) -> None:
        """Relax and tighten the refs to these objects."""
        referred = [pair for pair in pairs if self._source.is_referred(pair[0])]
        for at in range(0, len(referred), TOGETHER):
            some = referred[at : at + TOGETHER]
            wanted = await relaxed_refs(self._source, some)
            there = await relaxed_refs(self._target, some)
            for pair in some:
                for holder in sorted(wanted[pair] - there[pair]):
                    await self._relax(holder, pair)
                for holder in sorted(there[pair] - wanted[pair]):
                    await self._tighten(holder, pair)

    async def _relax(self, holder: str, pair: Pair) -> None:
        call = partial(self._target.database.ref_relax_for_delete, holder, pair[1])
        try:
            await self._target.ask(call)
        except NotFoundError:
            # The holder changed since; that it did is told, and this comes with it.
            return
        self._tally.relaxed += 1

    async def _tighten(self, holder: str, pair: Pair) -> None:
        """Make a ref anew: there is no other way back."""
        obj_type, uuid = pair
        database, field = self._target.database, f"{obj_type}_refs"
        try:
            holder_type = await self._target.ask(partial(database.uuid_to_obj_type, holder))
            found = await self._target.ask(
                partial(database.object_get, holder_type, holder, [field])
            )
        except NotFoundError:
            return
        refs = [ref for ref in found.get(field, ()) if ref["uuid"] == uuid]

        def queue(unit: Batch, ref: Json) -> None:
            unit.delete_ref(holder_type, holder, obj_type, uuid)
            unit.create_ref(holder_type, holder, obj_type, uuid, {"attr": ref["attr"]})

        for _, error in await self._target.ask(lambda: self._target.units.write(refs, queue)):
            self._troubles.note((holder_type, holder), str(cause(error)))
        self._tally.relaxed += len(refs)


async def relaxed_refs(side: Side, pairs: Sequence[Pair]) -> dict[Pair, set[str]]:
    """Give the holders that relaxed their ref to each of these objects."""
    found: list[list[str]] = []
    for at in range(0, len(pairs), TOGETHER):
        some = pairs[at : at + TOGETHER]
        found += await together(
            [side.ask(partial(side.database.get_relaxed_refs, uuid)) for _, uuid in some]
        )
    return dict(zip(pairs, map(set, found), strict=True))


def _targets(fields: Fields) -> Iterable[Pair]:
    return (
        (field.removesuffix("_refs"), ref["uuid"]) for field, refs in fields.items() for ref in refs
    )


def _leave_out(fields: Fields, strays: set[Pair]) -> None:
    for field, refs in fields.items():
        to_type = field.removesuffix("_refs")
        fields[field] = [ref for ref in refs if (to_type, ref["uuid"]) not in strays]
