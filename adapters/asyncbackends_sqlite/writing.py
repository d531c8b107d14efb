"""Applies checked writes, inside a unit; runs in the writer's thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from asyncbackends.errors import (
    BackendError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TransactionFailedError,
)
from asyncbackends.object_model import changes
from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.positions import (
    next_position,
    position_from_sort_key,
    position_sort_key,
)
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
from asyncbackends.protocols.values import Fence, Json, WriteResult
from asyncbackends_sqlite.indexing import index_changed, index_new
from asyncbackends_sqlite.key_value_writing import write_row
from asyncbackends_sqlite.linking import (
    Holder,
    Peers,
    attach_dangling,
    find_target,
    link_new,
    put_ref,
    remove_ref,
    replace_refs,
    save_peers,
    texts,
)
from asyncbackends_sqlite.reading import ALL_PARTS, read_objects
from asyncbackends_sqlite.statements import packed_ids, text_id
from asyncbackends_sqlite.unit import CREATED, DELETED, UPDATED, Unit

__all__ = ("apply_write", "apply_writes", "write_perms2")


class _Existing(NamedTuple):
    """An object that is there."""

    holder: Holder
    parent_type: str | None
    parent: bytes | None
    revision: int
    modified: int


def apply_write(
    unit: Unit, model: ObjectModel, write: Write, fence: Fence | None
) -> WriteResult | None:
    """Apply one write."""
    if fence is not None:
        _raise_fence(unit, fence)
    return _Writing(unit, model).apply(write)


def apply_writes(
    unit: Unit, model: ObjectModel, writes: Sequence[Write], fence: Fence | None
) -> list[WriteResult | None]:
    """Apply writes one after the other; when one is refused, the unit must be taken back."""
    if fence is not None:
        _raise_fence(unit, fence)
    writing = _Writing(unit, model)
    results: list[WriteResult | None] = []
    for index, write in enumerate(writes):
        try:
            results.append(writing.apply(write))
        except BackendError as error:
            message = f"operation {index} was refused, so none was applied: {error}"
            raise TransactionFailedError(message, index=index, error=error) from error
    return results


def _raise_fence(unit: Unit, fence: Fence) -> None:
    highest = unit.execute(unit.sql.fence, (fence.name,)).fetchone()
    changes.check_fence(fence, highest)
    unit.execute(unit.sql.put_fence, (fence.name, fence.epoch, fence.token))


def write_perms2(unit: Unit, model: ObjectModel, uuid: str) -> WriteResult | None:
    """Write an object's default permissions where it has none."""
    writing = _Writing(unit, model)
    existing = writing.find(uuid)
    if existing is None:
        raise changes.not_found("object", uuid)
    row = unit.execute(unit.sql.doc, (existing.holder.id,)).fetchone()
    properties: dict[str, Json] = msgspec.json.decode(row[0]) if row else {}
    update = model.perms2_update(existing.holder.obj_type, uuid, properties)
    return None if update is None else writing.update(update)


class _Writing:
    """Applies writes by the rules of one schema."""

    def __init__(self, unit: Unit, model: ObjectModel) -> None:
        self._unit = unit
        self._model = model
        self._strict = model.strict

    def apply(self, write: Write) -> WriteResult | None:
        """Apply one write."""
        match write:
            case Create():
                return self._create(write)
            case Update():
                return self.update(write)
            case Delete():
                return self._delete(write)
            case ElementUpdate():
                return self._elements(write)
            case RefUpdate():
                return self._ref(write)
            case KvPut() | KvReplace() | KvDelete():
                return write_row(self._unit, write)
            case Relax():
                self._relax(write)
            case Share():
                self._share(write)
            case UseragentStore():
                self._unit.execute(self._unit.sql.put_useragent, (write.key, write.value))
            case UseragentDelete():
                self._unit.execute(self._unit.sql.delete_useragent, (write.key,))
                if self._unit.cursor.rowcount == 0:
                    raise changes.no_useragent_key(write.key)
        return None

    def _result(self, revision: int, peers: Iterable[bytes] = ()) -> WriteResult:
        return WriteResult(revision, utc_time(self._unit.now), texts(peers))

    def find(self, uuid: str) -> _Existing | None:
        """Give the object with an id, whatever its type."""
        row = self._unit.execute(self._unit.sql.head, (packed_ids([uuid]),)).fetchone()
        if row is None:
            return None
        number, obj_type, key, parent_type, parent, revision, modified = row
        holder = Holder(number, packed_ids([uuid]), obj_type, key)
        return _Existing(holder, parent_type, parent, revision, modified)

    def _existing(self, obj_type: str, uuid: str, expected_revision: int | None) -> _Existing:
        found = self.find(uuid)
        if found is None or found.holder.obj_type != obj_type:
            raise changes.not_found(obj_type, uuid)
        changes.check_revision(f"{obj_type} {uuid}", expected_revision, found.revision)
        return found

    def _saved(self, holder: Holder, peers: Peers) -> WriteResult:
        unit = self._unit
        revision = unit.changed(UPDATED, holder.obj_type, holder.uuid)
        unit.execute(unit.sql.touch, (revision, unit.now, holder.id))
        save_peers(unit, holder, peers)
        return self._result(revision, peers)

    def _create(self, create: Create) -> WriteResult:
        unit, sql = self._unit, self._unit.sql
        uuid = packed_ids([create.uuid])
        new = (uuid, create.obj_type, create.key, unit.now)
        if create.parent_type is None:
            unit.execute(sql.new_root[self._strict], new)
        elif create.parent_uuid is not None:
            parent = (create.parent_type, packed_ids([create.parent_uuid]))
            unit.execute(sql.new_child[self._strict], new + parent)
        else:
            named = (create.parent_type, create.parent_key)
            unit.execute(sql.new_child_by_name[self._strict], new + named)
        if unit.cursor.rowcount != 1:
            return self._create_again(create)
        holder = Holder(unit.cursor.lastrowid or 0, uuid, create.obj_type, create.key)
        revision = unit.changed(CREATED, create.obj_type, uuid)
        unit.execute(sql.new_state, (holder.id, revision, unit.now))
        if create.document != "{}":
            unit.execute(sql.put_doc, (holder.id, create.document))
        if create.elements:
            unit.cursor.executemany(sql.put_elem, self._element_rows(holder, create.elements))
        if create.obj_type in unit.indexed:
            index_new(unit, create, uuid)
        attach_dangling(unit, holder)
        peers: Peers = {}
        if create.refs:
            peers = link_new(unit, holder, create.refs, strict=self._strict)
            save_peers(unit, holder, peers)
        return self._result(revision, peers)

    def _create_again(self, create: Create) -> WriteResult:
        """Say why an object cannot be made, or give the result if it is there just so."""
        unit = self._unit
        existing = self.find(create.uuid)
        if existing is None:
            names = (create.obj_type, create.key)
            holder = unit.execute(unit.sql.by_name, names).fetchone()
            if holder is not None and self._strict:
                raise changes.name_taken(create, text_id(holder[1]))
            raise changes.dangling_parent(create)
        if existing.holder.obj_type != create.obj_type:
            raise changes.object_exists(create, _head(existing))
        stored = self._stored(create)
        try:
            refs = [
                self._resolved(create, ref) for targets in create.refs.values() for ref in targets
            ]
        except (ConflictError, InvalidRequestError) as error:
            raise changes.object_exists(create, stored) from error
        if changes.same_content(create, stored, refs):
            peers = {to for to_type, to, _, _ in stored.refs if to_type == create.obj_type}
            modified = utc_time(stored.modified)
            return WriteResult(stored.revision, modified, tuple(sorted(peers - {create.uuid})))
        if not self._strict and (create.obj_type, create.key) == (stored.obj_type, stored.key):
            return self.update(changes.create_as_update(create))
        raise changes.object_exists(create, stored)

    def _stored(self, create: Create) -> StoredObject:
        view, uuids = self._model.view(create.obj_type), [create.uuid]
        found = read_objects(self._unit.cursor, self._unit.sql, view, uuids, ALL_PARTS)
        return found[create.uuid]

    def _resolved(self, create: Create, ref: RefTarget) -> RefTarget:
        target = find_target(self._unit, create.obj_type, create.uuid, ref, strict=self._strict)
        return msgspec.structs.replace(ref, uuid=text_id(target.uuid))

    def _element_rows(
        self, holder: Holder, elements: Mapping[str, Iterable[tuple[str, str]]]
    ) -> list[tuple[int, str, str, str]]:
        lists = self._model.view(holder.obj_type).object_type.lists
        return [
            (holder.id, field, position_sort_key(at) if field in lists else at, text)
            for field, items in elements.items()
            for at, text in items
        ]

    def update(self, update: Update) -> WriteResult:
        """Change an object."""
        unit, sql = self._unit, self._unit.sql
        existing = self._existing(update.obj_type, update.uuid, update.expected_revision)
        holder = existing.holder
        parent = None if existing.parent is None else text_id(existing.parent)
        changes.check_identity(update, holder.key, existing.parent_type, parent)
        peers = replace_refs(unit, holder, update.refs, strict=self._strict)
        if update.properties:
            row = unit.execute(sql.doc, (holder.id,)).fetchone()
            document = changes.patched_document(row[0] if row else "{}", update.properties)
            unit.execute(sql.put_doc, (holder.id, document))
            index_changed(unit, update, holder.uuid)
        for field, items in update.elements.items():
            stored = dict(unit.execute(sql.elems_of_field, (holder.id, field)).fetchall())
            wanted = [row[2:] for row in self._element_rows(holder, {field: items})]
            diff = changes.element_diff(stored, wanted)
            gone = [(holder.id, field, key) for key in diff.removed]
            unit.cursor.executemany(sql.delete_elem, gone)
            put = [(holder.id, field, key, text) for key, text in diff.put]
            unit.cursor.executemany(sql.put_elem, put)
        return self._saved(holder, peers)

    def _elements(self, update: ElementUpdate) -> WriteResult:
        unit, sql = self._unit, self._unit.sql
        holder = self._existing(update.obj_type, update.uuid, update.expected_revision).holder
        lists = self._model.view(update.obj_type).object_type.lists
        for step in update.steps:
            position = step.position
            if position is None:
                row = unit.execute(sql.last_elem, (holder.id, step.field)).fetchone()
                position = next_position(position_from_sort_key(row[0]) if row else None)
            key = position_sort_key(position) if step.field in lists else position
            if step.text is None:
                unit.execute(sql.delete_elem, (holder.id, step.field, key))
            else:
                unit.execute(sql.put_elem, (holder.id, step.field, key, step.text))
        return self._saved(holder, {})

    def _ref(self, update: RefUpdate) -> WriteResult:
        unit = self._unit
        existing = self._existing(update.obj_type, update.uuid, update.expected_revision)
        holder, to = existing.holder, packed_ids([update.to_uuid])
        peers: Peers = {}
        if update.attr is None:
            before = unit.execute(unit.sql.ref, (holder.id, to)).fetchone()
            if before != (update.to_type,):
                return WriteResult(existing.revision, utc_time(existing.modified))
            remove_ref(unit, holder, update.to_type, to, peers)
        else:
            ref = RefTarget(update.to_type, update.to_uuid, None, update.attr)
            target = find_target(unit, update.obj_type, update.uuid, ref, strict=self._strict)
            put_ref(unit, holder, target, update.attr, peers, relax=update.relax)
        return self._saved(holder, peers)

    def _delete(self, delete: Delete) -> WriteResult:
        unit, sql = self._unit, self._unit.sql
        holder = self._existing(delete.obj_type, delete.uuid, delete.expected_revision).holder
        if self._strict:
            children = unit.execute(sql.children, (holder.uuid,)).fetchall()
            if children:
                named = [(child_type, text_id(child)) for child_type, child in children]
                raise changes.has_children(delete.obj_type, delete.uuid, named)
        incoming = unit.execute(
            sql.incoming, (holder.uuid, holder.obj_type, holder.obj_type)
        ).fetchall()
        blocking = [(of_type, text_id(u)) for of_type, u, relaxed in incoming if not relaxed]
        if blocking and self._strict:
            raise changes.still_referenced(delete.obj_type, delete.uuid, blocking)
        peers: Peers = {uuid: None for _, uuid, relaxed in incoming if relaxed}
        for to, to_type, _ in unit.execute(sql.refs_of, (holder.id,)).fetchall():
            remove_ref(unit, holder, to_type, to, peers)
        for statement in sql.delete_object:
            unit.execute(statement, (holder.id,))
        unit.execute(sql.delete_shares, (holder.uuid,))
        if delete.obj_type in unit.indexed:
            unit.execute(sql.delete_indexes, (holder.uuid,))
        revision = unit.changed(DELETED, delete.obj_type, holder.uuid)
        save_peers(unit, holder, peers)
        # What still leads here, legacy writes left; it dangles from now on.
        unit.execute(sql.detach, (holder.uuid,))
        unit.dangling = unit.dangling or unit.cursor.rowcount > 0
        return self._result(revision, peers)

    def _relax(self, relax: Relax) -> None:
        unit = self._unit
        existing = self.find(relax.uuid)
        if existing is None:
            raise changes.not_found("object", relax.uuid)
        holder = existing.holder
        unit.execute(unit.sql.relax, (packed_ids([relax.to_uuid]), holder.id))
        if unit.cursor.rowcount == 0:
            message = f"{holder.name} holds no ref to {relax.to_uuid}"
            raise NotFoundError(message)

    def _share(self, share: Share) -> None:
        unit, uuid = self._unit, packed_ids([share.uuid])
        row = (share.obj_type, share.share_type, share.share_id, uuid)
        if share.rwx is None:
            unit.execute(unit.sql.delete_share, row)
            return
        if unit.execute(unit.sql.by_uuid, (uuid, share.obj_type)).fetchone() is None:
            raise changes.not_found(share.obj_type, share.uuid)
        unit.execute(unit.sql.put_share, (*row, share.rwx))


def _head(existing: _Existing) -> StoredObject:
    return StoredObject(
        obj_type=existing.holder.obj_type,
        uuid=text_id(existing.holder.uuid),
        key=existing.holder.key,
        parent_type=existing.parent_type,
        parent_uuid=None if existing.parent is None else text_id(existing.parent),
        revision=existing.revision,
        created=0,
        modified=existing.modified,
    )
