"""Applies checked writes to tables in memory, inside a unit. Pure."""

from collections.abc import Callable, Iterable

import msgspec

from asyncbackends.errors import (
    BackendError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TransactionFailedError,
)
from asyncbackends.object_model import changes
from asyncbackends.object_model.positions import next_position, position_order
from asyncbackends.object_model.tables import KvRow, Ref, Row, Unit, find_name, parts_of, row_of
from asyncbackends.object_model.times import utc_time
from asyncbackends.object_model.writes import (
    Create,
    Delete,
    ElementUpdate,
    KvDelete,
    KvPut,
    KvReplace,
    RefTarget,
    RefUpdate,
    Relax,
    Share,
    Update,
    UseragentDelete,
    UseragentStore,
    Write,
)
from asyncbackends.protocols.values import Fence, WriteResult

__all__ = ("Refused", "Writer", "itself", "refused_in_unit")

Refused = Callable[[int, BackendError], BackendError]
"""Gives the error when the n-th write of a unit is refused."""


def itself(index: int, error: BackendError) -> BackendError:
    """Give the refusal of a write that stands alone."""
    return error


def refused_in_unit(index: int, error: BackendError) -> TransactionFailedError:
    """Say which write of a unit was refused."""
    message = f"operation {index} was refused, so none was applied: {error}"
    return TransactionFailedError(message, index=index, error=error)


class Writer:
    """Applies writes to one unit; a refused one raises, and the unit must be taken back."""

    def __init__(self, unit: Unit, *, strict: bool) -> None:
        self._unit = unit
        self._tables = unit.tables
        self._strict = strict

    def raise_fence(self, fence: Fence) -> None:
        """Compare a fence with the highest under its name, and keep it."""
        changes.check_fence(fence, self._tables.fences.get(fence.name))
        self._unit.put(self._tables.fences, fence.name, fence.order)

    def apply_nth(self, index: int, write: Write, refused: Refused) -> WriteResult | None:
        """Apply the n-th write of a unit."""
        try:
            return self.apply(write)
        except BackendError as error:
            ours = refused(index, error)
            if ours is error:
                raise
            raise ours from error

    def apply(self, write: Write) -> WriteResult | None:
        """Apply one write."""
        match write:
            case Create():
                return self._create(write)
            case Update():
                return self._update(write)
            case Delete():
                return self._delete(write)
            case ElementUpdate():
                return self._elements(write)
            case RefUpdate():
                return self._ref(write)
            case KvPut() | KvReplace() | KvDelete():
                return self._key_value(write)
            case Relax():
                self._relax(write)
            case Share():
                self._share(write)
            case UseragentStore():
                self._unit.put(self._tables.useragent, write.key, write.value)
            case UseragentDelete():
                if write.key not in self._tables.useragent:
                    raise changes.no_useragent_key(write.key)
                self._unit.drop(self._tables.useragent, write.key)
        return None

    def _existing(self, obj_type: str, uuid: str, expected_revision: int | None) -> Row:
        row = row_of(self._tables, obj_type, uuid)
        if row is None:
            raise changes.not_found(obj_type, uuid)
        changes.check_revision(f"{obj_type} {uuid}", expected_revision, row.revision)
        return row

    def _result(self, row: Row, peers: Iterable[str] = ()) -> WriteResult:
        return WriteResult(row.revision, utc_time(row.modified), tuple(sorted(peers)))

    def _create(self, create: Create) -> WriteResult:
        tables, unit = self._tables, self._unit
        if create.uuid in tables.objects:
            return self._create_again(create, tables.objects[create.uuid])
        holders = find_name(tables, create.obj_type, create.key)
        if holders and self._strict:
            raise changes.name_taken(create, holders[0])
        parent_uuid = self._parent(create)
        row = Row(
            obj_type=create.obj_type,
            uuid=create.uuid,
            key=create.key,
            parent_type=create.parent_type,
            parent_uuid=parent_uuid,
            revision=0,
            created=unit.now,
            modified=unit.now,
            document=create.document,
            elements={field: dict(elements) for field, elements in create.elements.items()},
            refs={},
        )
        unit.put(tables.objects, row.uuid, row)
        unit.put(tables.names.setdefault((row.obj_type, row.key), {}), row.uuid, True)
        unit.put(tables.types.setdefault(row.obj_type, {}), row.uuid, True)
        unit.listed.add(row.obj_type)
        if parent_uuid is not None:
            unit.put(tables.children.setdefault(parent_uuid, {}), row.uuid, True)
        refs, peers = self._replaced_refs(row, create.refs)
        saved = unit.save(msgspec.structs.replace(row, refs=refs), "create")
        self._save_peers(saved, peers)
        return self._result(saved, peers)

    def _create_again(self, create: Create, row: Row) -> WriteResult:
        stored = parts_of(self._tables, row)
        try:
            refs = [
                msgspec.structs.replace(ref, uuid=self._target(create.obj_type, create.uuid, ref))
                for targets in create.refs.values()
                for ref in targets
            ]
        except (ConflictError, InvalidRequestError) as error:
            raise changes.object_exists(create, stored) from error
        if changes.same_content(create, stored, refs):
            peers = (uuid for uuid, ref in row.refs.items() if ref.to_type == row.obj_type)
            return self._result(row, set(peers) - {row.uuid})
        if not self._strict and (create.obj_type, create.key) == (row.obj_type, row.key):
            return self._update(changes.create_as_update(create))
        raise changes.object_exists(create, stored)

    def _parent(self, create: Create) -> str | None:
        if create.parent_type is None:
            return None
        if create.parent_uuid is not None:
            if row_of(self._tables, create.parent_type, create.parent_uuid) is None:
                raise changes.dangling_parent(create)
            return create.parent_uuid
        found = find_name(self._tables, create.parent_type, create.parent_key or "")
        if not found:
            raise changes.dangling_parent(create)
        return found[0]

    def _target(self, obj_type: str, uuid: str, ref: RefTarget) -> str:
        if ref.uuid is None:
            found = find_name(self._tables, ref.to_type, ref.key or "")
            if not found:
                raise changes.dangling_ref(obj_type, uuid, ref)
            return found[0]
        row = row_of(self._tables, ref.to_type, ref.uuid)
        if row is None and self._strict:
            raise changes.dangling_ref(obj_type, uuid, ref)
        if row is not None and ref.key not in {None, row.key}:
            message = (
                f"{obj_type} {uuid} refers to {ref.to_type} {ref.uuid} as {ref.key}, "
                f"and its name is {row.key}"
            )
            raise InvalidRequestError(message)
        return ref.uuid

    def _replaced_refs(
        self, row: Row, wanted: dict[str, list[RefTarget]]
    ) -> tuple[dict[str, Ref], dict[str, Ref | None]]:
        """Give the object's refs, and what changes on the other end of same-type ones."""
        refs, peers = dict(row.refs), dict[str, Ref | None]()
        for to_type, targets in wanted.items():
            attrs: dict[str, str] = {}
            for target in targets:
                to_uuid = self._target(row.obj_type, row.uuid, target)
                if to_uuid in attrs:
                    message = f"{row.obj_type} {row.uuid} refers to {to_type} {to_uuid} twice"
                    raise InvalidRequestError(message)
                attrs[to_uuid] = target.attr
            stored = {uuid: ref.attr for uuid, ref in row.refs.items() if ref.to_type == to_type}
            diff = changes.ref_diff(stored, attrs)
            for to_uuid in diff.removed:
                self._set_ref(row, refs, peers, to_uuid, None)
            for to_uuid, attr in diff.put.items():
                relaxed = to_uuid in refs and refs[to_uuid].relaxed
                self._set_ref(row, refs, peers, to_uuid, Ref(to_type, attr, relaxed))
        return refs, peers

    def _set_ref(
        self,
        row: Row,
        refs: dict[str, Ref],
        peers: dict[str, Ref | None],
        to_uuid: str,
        ref: Ref | None,
    ) -> None:
        holders = self._tables.holders.setdefault(to_uuid, {})
        same_type = (refs[to_uuid] if ref is None else ref).to_type == row.obj_type
        if ref is None:
            del refs[to_uuid]
            self._unit.drop(holders, row.uuid)
        else:
            refs[to_uuid] = ref
            self._unit.put(holders, row.uuid, True)
        if same_type and to_uuid != row.uuid and row_of(self._tables, row.obj_type, to_uuid):
            peers[to_uuid] = ref

    def _save_peers(self, row: Row, peers: dict[str, Ref | None]) -> None:
        for uuid in sorted(peers):
            peer, ref = self._tables.objects[uuid], peers[uuid]
            refs = {to_uuid: other for to_uuid, other in peer.refs.items() if to_uuid != row.uuid}
            holders = self._tables.holders.setdefault(row.uuid, {})
            if ref is None:
                self._unit.drop(holders, uuid)
            else:
                relaxed = row.uuid in peer.refs and peer.refs[row.uuid].relaxed
                refs[row.uuid] = Ref(row.obj_type, ref.attr, relaxed)
                self._unit.put(holders, uuid, True)
            self._unit.save(msgspec.structs.replace(peer, refs=refs))

    def _update(self, update: Update) -> WriteResult:
        row = self._existing(update.obj_type, update.uuid, update.expected_revision)
        changes.check_identity(update, row.key, row.parent_type, row.parent_uuid)
        refs, peers = self._replaced_refs(row, update.refs)
        elements = row.elements | {field: dict(items) for field, items in update.elements.items()}
        saved = self._unit.save(
            msgspec.structs.replace(
                row,
                document=changes.patched_document(row.document, update.properties),
                elements={field: items for field, items in elements.items() if items},
                refs=refs,
            )
        )
        self._save_peers(saved, peers)
        return self._result(saved, peers)

    def _elements(self, update: ElementUpdate) -> WriteResult:
        row = self._existing(update.obj_type, update.uuid, update.expected_revision)
        elements = dict(row.elements)
        for step in update.steps:
            items = dict(elements.get(step.field, {}))
            position = step.position
            if step.text is None:
                items.pop(position or "", None)
            else:
                if position is None:
                    position = next_position(max(items, key=position_order, default=None))
                items[position] = step.text
            elements[step.field] = items
        kept = {field: items for field, items in elements.items() if items}
        return self._result(self._unit.save(msgspec.structs.replace(row, elements=kept)))

    def _ref(self, update: RefUpdate) -> WriteResult:
        row = self._existing(update.obj_type, update.uuid, update.expected_revision)
        refs, peers = dict(row.refs), dict[str, Ref | None]()
        before = refs.get(update.to_uuid)
        if before is not None and before.to_type != update.to_type:
            before = None
        if update.attr is None:
            if before is None:
                return self._result(row)
            self._set_ref(row, refs, peers, update.to_uuid, None)
        else:
            target = RefTarget(update.to_type, update.to_uuid, None, update.attr)
            self._target(row.obj_type, row.uuid, target)
            relaxed = update.relax or (before is not None and before.relaxed)
            ref = Ref(update.to_type, update.attr, relaxed)
            self._set_ref(row, refs, peers, update.to_uuid, ref)
        saved = self._unit.save(msgspec.structs.replace(row, refs=refs))
        self._save_peers(saved, peers)
        return self._result(saved, peers)

    def _delete(self, delete: Delete) -> WriteResult:
        tables, unit = self._tables, self._unit
        row = self._existing(delete.obj_type, delete.uuid, delete.expected_revision)
        children = [
            (tables.objects[u].obj_type, u) for u in sorted(tables.children.get(row.uuid, ()))
        ]
        if children and self._strict:
            raise changes.has_children(row.obj_type, row.uuid, children)
        relaxed, blocking = self._incoming(row)
        if blocking and self._strict:
            raise changes.still_referenced(row.obj_type, row.uuid, blocking)
        refs, peers = dict(row.refs), dict[str, Ref | None]()
        for to_uuid in row.refs:
            self._set_ref(row, refs, peers, to_uuid, None)
        unit.drop(tables.objects, row.uuid)
        unit.drop(tables.names[row.obj_type, row.key], row.uuid)
        unit.drop(tables.types[row.obj_type], row.uuid)
        unit.listed.add(row.obj_type)
        if row.parent_uuid is not None:
            unit.drop(tables.children.get(row.parent_uuid, {}), row.uuid)
        for shared in tables.shares.values():
            unit.drop(shared, row.uuid)
        revision = unit.deleted(row)
        self._save_peers(row, peers | dict.fromkeys(relaxed))
        return WriteResult(revision, utc_time(unit.now), tuple(sorted({*peers, *relaxed})))

    def _incoming(self, row: Row) -> tuple[list[str], list[tuple[str, str]]]:
        """Give the holders that relaxed their ref to an object, and (type, uuid) of the others."""
        relaxed: list[str] = []
        blocking: list[tuple[str, str]] = []
        for uuid in sorted(self._tables.holders.get(row.uuid, ())):
            holder = self._tables.objects[uuid]
            ref = holder.refs[row.uuid]
            if ref.to_type != row.obj_type or holder.obj_type == row.obj_type:
                continue
            if ref.relaxed:
                relaxed.append(uuid)
            else:
                blocking.append((holder.obj_type, uuid))
        return relaxed, blocking

    def _relax(self, relax: Relax) -> None:
        row = self._tables.objects.get(relax.uuid)
        if row is None:
            raise changes.not_found("object", relax.uuid)
        if relax.to_uuid not in row.refs:
            message = f"{row.obj_type} {row.uuid} holds no ref to {relax.to_uuid}"
            raise NotFoundError(message)
        ref = msgspec.structs.replace(row.refs[relax.to_uuid], relaxed=True)
        refs = row.refs | {relax.to_uuid: ref}
        self._unit.put(self._tables.objects, row.uuid, msgspec.structs.replace(row, refs=refs))

    def _share(self, share: Share) -> None:
        shared = self._tables.shares.setdefault(
            (share.obj_type, share.share_type, share.share_id), {}
        )
        if share.rwx is None:
            self._unit.drop(shared, share.uuid)
            return
        if row_of(self._tables, share.obj_type, share.uuid) is None:
            raise changes.not_found(share.obj_type, share.uuid)
        self._unit.put(shared, share.uuid, share.rwx)

    def _key_value(self, write: KvPut | KvReplace | KvDelete) -> WriteResult:
        table = self._tables.tables.setdefault(write.table, {})
        row = table.get(write.key, KvRow({}, 0))
        columns = dict(row.columns)
        match write:
            case KvPut():
                columns |= write.columns
            case KvReplace():
                what = f"{write.table} {write.key}"
                changes.check_revision(what, write.expected_revision, row.revision)
                columns = dict(write.columns)
            case KvDelete():
                gone = row.columns if write.columns is None else write.columns
                columns = {name: text for name, text in columns.items() if name not in gone}
                if columns == row.columns:
                    return WriteResult(self._tables.revision, utc_time(self._unit.now))
        revision = self._unit.next_revision()
        if columns:
            self._unit.put(table, write.key, KvRow(columns, revision))
        else:
            self._unit.drop(table, write.key)
        return WriteResult(revision, utc_time(self._unit.now))
