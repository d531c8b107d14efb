"""Lists what the tables hold."""

from collections.abc import Iterable, Iterator

import msgspec

from asyncbackends.object_model.listing import Listing, matches
from asyncbackends.object_model.tables import Row
from asyncbackends.object_model.values import index_key
from asyncbackends_memory.store import Store

__all__ = ("list_rows",)


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
