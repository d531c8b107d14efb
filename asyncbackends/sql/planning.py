"""What writes do to rows that were looked at. Pure."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from asyncbackends.object_model.applying import Refused, Writer
from asyncbackends.object_model.changes import ref_diff
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.tables import Row, Tables, Unit
from asyncbackends.object_model.times import utc_time
from asyncbackends.object_model.writes import Create, Delete, Share, Write
from asyncbackends.protocols.values import Fence, WriteResult
from asyncbackends.sql.assuming import Indexed, element_item, index_entries
from asyncbackends.sql.effects import (
    CREATED,
    DELETED,
    NOBODY,
    UPDATED,
    Applied,
    Effects,
    Guard,
    NewChange,
    NewElement,
    NewKvRow,
    NewObject,
    NewRef,
    NewShare,
    RefKey,
    Target,
)

__all__ = ("Plan", "planned")

OPERATIONS = {"create": CREATED, "update": UPDATED, "delete": DELETED}


class Plan(msgspec.Struct):
    """What to send, and what to answer."""

    segments: list[Effects]
    """Applied one after the other, all or none; empty when there is nothing to do."""
    start: int
    """The revision that the plan counts from."""
    outcomes: list[WriteResult | None]

    def after_first(self, effects: Effects, first: Applied) -> Effects:
        """Give a later segment, where rows that an earlier one wrote have their true revisions."""
        effects.kv_rows = [
            one._replace(seen=one.seen - self.start + first.before)
            if one.seen > self.start
            else one
            for one in effects.kv_rows
        ]
        return effects

    def results(self, applied: Applied | None) -> list[WriteResult | None]:
        """Give the results with their true revisions and time."""
        if applied is None:
            return self.outcomes
        now = utc_time(applied.now)
        return [self._true(one, applied.before, now) for one in self.outcomes]

    def _true(self, result: WriteResult | None, before: int, now: datetime) -> WriteResult | None:
        if result is None or result.revision <= self.start:
            return result
        return WriteResult(result.revision - self.start + before, now, result.peers)


def planned(
    tables: Tables,
    model: ObjectModel,
    indexed: Indexed,
    stamp: int,
    writes: Sequence[Write],
    fence: Fence | None,
    refused: Refused,
) -> Plan:
    """Apply writes to tables that hold all they look at, and give what has become different.

    :raises BackendError: a write is refused.
    """
    plan = Plan([], tables.revision, [])
    segment = _Segment(tables, model, indexed, stamp, plan.start)
    if fence is not None:
        segment.writer.raise_fence(fence)
        segment.effects.fence = (fence.name, fence.epoch, fence.token)
    for index, write in enumerate(writes):
        if segment.ends_before(write):
            plan.segments.append(segment.finished())
            segment = _Segment(tables, model, indexed, stamp, plan.start)
        segment.note(write)
        plan.outcomes.append(segment.writer.apply_nth(index, write, refused))
    plan.segments.append(segment.finished())
    plan.segments = [one for one in plan.segments if one != Effects(stamp=stamp)]
    return plan


class _Segment:
    """Writes whose net effect one unit can have: each row is put or taken away once."""

    def __init__(
        self, tables: Tables, model: ObjectModel, indexed: Indexed, stamp: int, known: int
    ) -> None:
        self._tables = tables
        self._model = model
        self._indexed = indexed
        self._known = known
        self._unit = Unit(tables, 0)
        self.writer = Writer(self._unit, strict=model.strict)
        self.effects = Effects(stamp=stamp)
        self._has_delete = False
        self._created: set[str] = set()

    def ends_before(self, write: Write) -> bool:
        """Say whether a write would put what was taken away here, or the reverse."""
        if isinstance(write, Create):
            return self._has_delete
        return isinstance(write, Delete) and write.uuid in self._created

    def note(self, write: Write) -> None:
        """Be told of a write before it is applied."""
        match write:
            case Create():
                self._created.add(write.uuid)
            case Delete():
                self._has_delete = True
            case Share(rwx=None):
                # Shares are not loaded: this one is taken away, there or not.
                key = (write.obj_type, write.share_type, write.share_id)
                self._tables.shares.setdefault(key, {}).setdefault(write.uuid, 0)
            case _:
                pass

    def finished(self) -> Effects:
        """Give what the writes so far do."""
        unit, tables, effects = self._unit, self._tables, self.effects
        for _, before, now in unit.changed(tables.objects):
            if before is None:
                self._add_created(now)
            elif now is None:
                self._add_deleted(before)
            else:
                self._add_updated(before, now)
        for key, shared in tables.shares.items():
            for uuid, _, rwx in unit.changed(shared):
                if uuid not in effects.gone and uuid not in effects.buried:
                    effects.shares.append(NewShare(*key, uuid, rwx))
        for name, _, value in unit.changed(tables.useragent):
            effects.useragent.append((name, value))
        for table, rows in tables.tables.items():
            for name, before, now in unit.changed(rows):
                columns = None
                if now is not None:
                    raw = {column: msgspec.Raw(text) for column, text in now.columns.items()}
                    columns = msgspec.json.encode(raw).decode()
                seen = 0 if before is None else before.revision
                offset = 0 if now is None else now.revision - unit.revision
                effects.kv_rows.append(NewKvRow(table, name, columns, seen, offset))
        effects.changes = [
            NewChange(one.revision - unit.revision, OPERATIONS[one.op], one.obj_type, one.uuid)
            for one in unit.changes
        ]
        effects.revisions = tables.revision - unit.revision
        return effects

    def _guard(self, row: Row) -> None:
        # What an earlier segment changed is locked by it, under a revision not known yet.
        revision = row.revision if row.revision <= self._known else None
        self.effects.guards.append(Guard(row.uuid, row.obj_type, revision))

    def _add_created(self, row: Row) -> None:
        effects, uuid = self.effects, row.uuid
        same_name = self._tables.names.get((row.obj_type, row.key), {})
        first = len(same_name) <= 1
        effects.objects.append(
            NewObject(
                uuid,
                row.obj_type,
                row.key,
                NOBODY if first else uuid,
                first,
                row.parent_type,
                row.parent_uuid,
                None,
            )
        )
        if row.document != "{}":
            effects.documents.append((uuid, row.document))
        effects.indexes += index_entries(self._indexed, row.obj_type, uuid, row.document)
        self._add_elements(None, row)
        self._add_refs(None, row)

    def _add_deleted(self, row: Row) -> None:
        self._guard(row)
        tables, uuid = self._tables, row.uuid
        held = tables.children.get(uuid) or tables.holders.get(uuid)
        (self.effects.buried if held else self.effects.gone).append(uuid)

    def _add_updated(self, before: Row, row: Row) -> None:
        effects, uuid = self.effects, row.uuid
        if before.revision != row.revision:
            self._guard(before)
        if before.document != row.document:
            effects.documents.append((uuid, row.document))
            old = index_entries(self._indexed, row.obj_type, uuid, before.document)
            new = index_entries(self._indexed, row.obj_type, uuid, row.document)
            effects.indexes_gone += [(uuid, one.prop) for one in old if one not in new]
            effects.indexes += [one for one in new if one not in old]
        self._add_elements(before, row)
        self._add_refs(before, row)

    def _add_elements(self, before: Row | None, row: Row) -> None:
        stored = {} if before is None else before.elements
        view = self._model.view(row.obj_type)
        for field in dict.fromkeys((*stored, *row.elements)):
            old, new = stored.get(field, {}), row.elements.get(field, {})
            for at, text in new.items():
                if old.get(at) != text:
                    item = element_item(view, field, at)
                    self.effects.elements.append(NewElement(row.uuid, field, item, text))
            self.effects.elements_gone += [
                (row.uuid, field, element_item(view, field, at)) for at in old if at not in new
            ]

    def _add_refs(self, before: Row | None, row: Row) -> None:
        effects, objects = self.effects, self._tables.objects
        stored = {} if before is None else before.refs
        effects.refs_gone += [RefKey(row.uuid, to) for to in stored if to not in row.refs]
        for to, ref in row.refs.items():
            old = stored.get(to)
            if ref == old:
                continue
            if old is not None and not ref_diff({to: old.attr}, {to: ref.attr}).put:
                effects.refs_relaxed.append(RefKey(row.uuid, to))
                continue
            target = objects.get(to)
            dangling = target is None or target.obj_type != ref.to_type
            effects.refs.append(
                NewRef(
                    row.uuid,
                    row.obj_type,
                    row.key,
                    ref.to_type,
                    to,
                    None if target is None or dangling else target.key,
                    ref.attr,
                    ref.relaxed,
                    dangling,
                )
            )
            if target is not None and not dangling and target.revision <= self._known:
                effects.targets.append(Target(ref.to_type, to, None))
