"""Reads the tables: rows to parts, and lists."""

from collections.abc import Iterable, Iterator

import msgspec

from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.listing import Listing, matches
from asyncbackends.object_model.values import index_key
from asyncbackends.object_model.views import Selection
from asyncbackends_memory.store import Row, Store

__all__ = ("fetch", "find_name", "list_rows", "row_of")

NO_LINKS: frozenset[str] = frozenset()
ALL_PARTS = Selection(None, None, None, NO_LINKS, NO_LINKS)


def row_of(store: Store, obj_type: str, uuid: str) -> Row | None:
    """Give the object of that type with that id."""
    row = store.objects.get(uuid)
    return row if row is not None and row.obj_type == obj_type else None


def find_name(store: Store, obj_type: str, key: str) -> list[str]:
    """Give the uuids of the objects with a name: one, unless legacy writes made more."""
    return sorted(store.names.get((obj_type, key), ()))


def fetch(store: Store, row: Row, selection: Selection = ALL_PARTS) -> StoredObject:
    """Give the parts of an object that a read wants."""
    objects = store.objects
    stored = StoredObject(
        obj_type=row.obj_type,
        uuid=row.uuid,
        key=row.key,
        parent_type=row.parent_type,
        parent_uuid=row.parent_uuid,
        revision=row.revision,
        created=row.created,
        modified=row.modified,
        document=row.document,
    )
    if row.elements:
        stored.elements = [
            (field, position, text)
            for field, elements in row.elements.items()
            for position, text in elements.items()
        ]
    if row.refs:
        stored.refs = [
            (ref.to_type, uuid, _name(objects.get(uuid), ref.to_type), ref.attr)
            for uuid, ref in row.refs.items()
        ]
    if selection.back_refs:
        holders = (objects[uuid] for uuid in store.holders.get(row.uuid, ()))
        stored.back_refs = [
            (holder.obj_type, holder.uuid, holder.key, holder.refs[row.uuid].attr)
            for holder in holders
            if holder.refs[row.uuid].to_type == row.obj_type
        ]
    if selection.children:
        children = (objects[uuid] for uuid in store.children.get(row.uuid, ()))
        stored.children = [(child.obj_type, child.uuid, child.key) for child in children]
    return stored


def _name(target: Row | None, to_type: str) -> str | None:
    return target.key if target is not None and target.obj_type == to_type else None


def list_rows(store: Store, wanted: Listing) -> Iterator[Row]:
    """Give the objects that a list asks for, in order of uuid, from its marker on; no limit."""
    candidates: Iterable[str] = store.uuids(wanted.obj_type)
    for anchors, table in ((wanted.parents, store.children), (wanted.back_refs, store.holders)):
        if anchors is not None:
            linked = {uuid for anchor in anchors for uuid in table.get(anchor, ())}
            candidates = [uuid for uuid in candidates if uuid in linked]
    if wanted.uuids is not None:
        chosen = set(wanted.uuids)
        candidates = [uuid for uuid in candidates if uuid in chosen]
    for uuid in candidates:
        if wanted.after is not None and uuid <= wanted.after:
            continue
        row = store.objects[uuid]
        if _passes(wanted, row):
            yield row


def _passes(wanted: Listing, row: Row) -> bool:
    if not wanted.indexed and not wanted.filters:
        return True
    properties = msgspec.json.decode(row.document)
    return matches(wanted.filters, properties) and all(
        field in properties and index_key(properties[field]) in keys
        for field, keys in wanted.indexed.items()
    )
