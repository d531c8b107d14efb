"""Reads objects with their parts, each as one row of one statement; runs in a thread.

Every row that SQLite steps to lets go of the interpreter's lock, and in a busy process getting it
back takes longer than the row; so the parts come as JSON that SQLite makes of them.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.positions import position_from_sort_key
from asyncbackends.object_model.views import Selection, TypeView
from asyncbackends_sqlite.statements import Statements, hex_id, packed_ids, text_id

__all__ = ("ALL_PARTS", "read_elements", "read_objects")

NO_LINKS: frozenset[str] = frozenset()
ALL_PARTS = Selection(None, None, None, NO_LINKS, NO_LINKS)

_decode_elements = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_decode_refs = msgspec.json.Decoder(list[tuple[str, str, str | None, str]]).decode
_decode_back_refs = msgspec.json.Decoder(list[tuple[str, str, str, str]]).decode
_decode_children = msgspec.json.Decoder(list[tuple[str, str, str]]).decode


def read_objects(
    cursor: sqlite3.Cursor,
    sql: Statements,
    view: TypeView,
    uuids: Sequence[str],
    selection: Selection,
) -> dict[str, StoredObject]:
    """Give the parts of the objects of a type that are there, by uuid."""
    parts, parameters = _wanted_parts(view, selection)
    lists = view.object_type.lists
    found: dict[str, StoredObject] = {}
    one = len(uuids) == 1
    ids = packed_ids(uuids if one else tuple(dict.fromkeys(uuids)))
    if not ids:
        return found
    # The ids of many stand before the rest of the statement, the id of one behind it.
    parameters = [*parameters, ids, view.name] if one else [ids, *parameters, view.name]
    for row in cursor.execute(sql.objects(parts, one=one), parameters).fetchall():
        uuid, key, parent_type, parent, revision, created, modified, document = row[:8]
        elements, refs, back_refs, children = row[8:]
        stored = StoredObject(
            obj_type=view.name,
            uuid=text_id(uuid),
            key=key,
            parent_type=parent_type,
            parent_uuid=None if parent is None else text_id(parent),
            revision=revision,
            created=created,
            modified=modified,
            document=document or "{}",
        )
        if elements is not None:
            stored.elements = [
                (field, position_from_sort_key(at) if field in lists else at, value)
                for field, at, value in _decode_elements(elements)
            ]
        if refs is not None:
            stored.refs = [(to, hex_id(u), fq, attr) for to, u, fq, attr in _decode_refs(refs)]
        if back_refs is not None:
            stored.back_refs = [
                (of, hex_id(u), fq, attr) for of, u, fq, attr in _decode_back_refs(back_refs)
            ]
        if children is not None:
            stored.children = [(of, hex_id(u), fq) for of, u, fq in _decode_children(children)]
        found[stored.uuid] = stored
    return found


def _wanted_parts(view: TypeView, selection: Selection) -> tuple[tuple[str, ...], list[object]]:
    """Give the columns that a read fetches beside the identity, and their parameters."""
    parts: list[str] = []
    parameters: list[object] = []
    has_collections = bool(view.object_type.lists or view.object_type.maps)
    if selection.collections is None:
        parts.append("elements" if has_collections else "nothing")
    elif selection.collections:
        parts.append("some elements")
        parameters.append(_json(selection.collections))
    else:
        parts.append("nothing")
    wants_refs = bool(view.object_type.refs) and selection.refs != NO_LINKS
    parts.append("refs" if wants_refs else "nothing")
    for part, types in (("back_refs", selection.back_refs), ("children", selection.children)):
        if types:
            parameters.append(_json(types))
        parts.append(part if types else "nothing")
    return tuple(parts), parameters


def _json(names: frozenset[str]) -> str:
    return msgspec.json.encode(sorted(names)).decode()


def read_elements(
    cursor: sqlite3.Cursor, sql: Statements, view: TypeView, uuid: str, fields: Sequence[str]
) -> dict[str, list[tuple[str, str]]] | None:
    """Give the elements of an object's collections, None when there is no such object."""
    nothing: frozenset[str] = frozenset()
    selection = Selection(nothing, frozenset(fields), nothing, nothing, nothing)
    found = read_objects(cursor, sql, view, [uuid], selection)
    if uuid not in found:
        return None
    elements: dict[str, list[tuple[str, str]]] = {field: [] for field in fields}
    for field, position, value in found[uuid].elements:
        elements[field].append((position, value))
    return elements
