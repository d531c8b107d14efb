"""Writes that are sent without a look: as if what they need were there.

Most writes are right; for these, one round trip is enough. The server refuses the others, which
are then looked at. Pure.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from asyncbackends.object_model.positions import position_sort_key
from asyncbackends.object_model.times import utc_time
from asyncbackends.object_model.values import checked_index_key
from asyncbackends.object_model.views import TypeView
from asyncbackends.object_model.writes import (
    Create,
    ElementUpdate,
    RefTarget,
    RefUpdate,
    Share,
    UseragentStore,
    Write,
)
from asyncbackends.protocols.values import Fence, WriteResult
from asyncbackends.sql.effects import (
    CREATED,
    NOBODY,
    UPDATED,
    Applied,
    Effects,
    Guard,
    NewChange,
    NewElement,
    NewIndex,
    NewObject,
    NewRef,
    NewShare,
    RefKey,
    Target,
)
from asyncbackends.sql.index_items import index_item

__all__ = ("Assumed", "Indexed", "assumed", "element_item", "index_entries")

Indexed = dict[str, tuple[str, ...]]
"""The indexed properties of every type that has some, by what the database says."""

Assumed = tuple[Effects, Callable[[Applied], Any]]
"""What to send, and the result once it was applied."""


def assumed(
    view: Callable[[str], TypeView], indexed: Indexed, stamp: int, write: Write, fence: Fence | None
) -> Assumed | None:
    """Give what a write does if all it needs is there; None for one that has to look."""
    effects = Effects(stamp=stamp)
    if fence is not None:
        effects.fence = (fence.name, fence.epoch, fence.token)
    match write:
        case Create():
            known = _create(effects, view(write.obj_type), indexed, write)
        case RefUpdate():
            known = _ref_update(effects, write)
        case ElementUpdate():
            known = _element_update(effects, view(write.obj_type), write)
        case UseragentStore():
            effects.useragent.append((write.key, write.value))
            return effects, _nothing
        case Share():
            _share(effects, write)
            return effects, _nothing
        case _:
            return None
    if not known:
        return None
    peers = tuple(sorted(change.uuid for change in effects.changes[1:]))
    effects.revisions = len(effects.changes)

    def result(applied: Applied) -> WriteResult:
        return WriteResult(applied.before + 1, utc_time(applied.now), peers)

    return effects, result


def _nothing(_: Applied) -> None:
    return None


def _create(effects: Effects, view: TypeView, indexed: Indexed, create: Create) -> bool:
    uuid, obj_type, key = create.uuid, create.obj_type, create.key
    effects.objects.append(
        NewObject(
            uuid,
            obj_type,
            key,
            NOBODY,
            True,
            create.parent_type,
            create.parent_uuid,
            create.parent_key,
        )
    )
    effects.changes.append(NewChange(1, CREATED, obj_type, uuid))
    if create.document != "{}":
        effects.documents.append((uuid, create.document))
    effects.elements += [
        NewElement(uuid, field, element_item(view, field, at), text)
        for field, items in create.elements.items()
        for at, text in items
    ]
    effects.indexes += index_entries(indexed, obj_type, uuid, create.document)
    for to_type, refs in create.refs.items():
        if not _distinct(refs):
            return False
        for ref in refs:
            effects.targets.append(Target(to_type, ref.uuid, ref.key))
            effects.refs.append(
                NewRef(uuid, obj_type, key, to_type, ref.uuid, ref.key, ref.attr, False, False)
            )
            if to_type == obj_type:
                if ref.uuid in {None, uuid}:
                    return False
                _add_peer(effects, obj_type, str(ref.uuid), uuid, key, ref.attr)
    return True


def _distinct(refs: Iterable[RefTarget]) -> bool:
    """Say whether refs, none of which is there twice, surely lead to different objects."""
    return len({ref.uuid is None for ref in refs}) <= 1


def _add_peer(
    effects: Effects, obj_type: str, peer: str, uuid: str, key: str | None, attr: str
) -> None:
    """Give the other end of a same-type ref its side."""
    effects.guards.append(Guard(peer, obj_type, None))
    effects.refs.append(NewRef(peer, obj_type, None, obj_type, uuid, key, attr, False, False))
    effects.changes.append(NewChange(len(effects.changes) + 1, UPDATED, obj_type, peer))


def _ref_update(effects: Effects, update: RefUpdate) -> bool:
    obj_type, uuid, to_type, to = update.obj_type, update.uuid, update.to_type, update.to_uuid
    effects.guards.append(Guard(uuid, obj_type, update.expected_revision))
    effects.changes.append(NewChange(1, UPDATED, obj_type, uuid))
    same_type = to_type == obj_type and to != uuid
    if update.attr is not None:
        effects.targets.append(Target(to_type, to, None))
        effects.refs.append(
            NewRef(uuid, obj_type, None, to_type, to, None, update.attr, update.relax, False)
        )
        if same_type:
            _add_peer(effects, obj_type, to, uuid, None, update.attr)
        return True
    effects.needed_refs.append((uuid, to_type, to))
    effects.refs_gone.append(RefKey(uuid, to))
    if same_type:
        effects.guards.append(Guard(to, obj_type, None))
        effects.refs_gone.append(RefKey(to, uuid))
        effects.changes.append(NewChange(2, UPDATED, obj_type, to))
    return True


def _element_update(effects: Effects, view: TypeView, update: ElementUpdate) -> bool:
    uuid = update.uuid
    last = {(step.field, step.position): step.text for step in update.steps}
    for (field, position), text in last.items():
        if position is None:
            if len(update.steps) > 1 or text is None:
                return False
            effects.appended = (uuid, field, text)
        elif text is None:
            effects.elements_gone.append((uuid, field, element_item(view, field, position)))
        else:
            item = element_item(view, field, position)
            effects.elements.append(NewElement(uuid, field, item, text))
    effects.guards.append(Guard(uuid, update.obj_type, update.expected_revision))
    effects.changes.append(NewChange(1, UPDATED, update.obj_type, uuid))
    return True


def _share(effects: Effects, share: Share) -> None:
    if share.rwx is not None:
        effects.targets.append(Target(share.obj_type, share.uuid, None))
    effects.shares.append(
        NewShare(share.obj_type, share.share_type, share.share_id, share.uuid, share.rwx)
    )


def element_item(view: TypeView, field: str, position: str) -> str:
    """Give what an element is stored by: its position's sort key, or its key in a map."""
    return position_sort_key(position) if field in view.object_type.lists else position


def index_entries(indexed: Indexed, obj_type: str, uuid: str, document: str) -> list[NewIndex]:
    """Give the entries that an object's properties have in the index.

    That is by what the database says is indexed now; another process may have widened the schema.

    :raises InvalidRequestError: one of them is no scalar.
    """
    entries: list[NewIndex] = []
    properties = indexed.get(obj_type, ())
    if not properties or document == "{}":
        return entries
    values = msgspec.json.decode(document)
    for prop in properties:
        value = values.get(prop)
        if value is not None:
            item = checked_index_key(value, f"{obj_type} {uuid}: {prop}")
            entries.append(NewIndex(obj_type, prop, index_item(item), uuid))
    return entries
