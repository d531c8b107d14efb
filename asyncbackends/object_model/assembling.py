"""From stored parts to the dict form of an object. Pure."""

import msgspec

from asyncbackends.object_model.positions import position_order
from asyncbackends.object_model.times import utc_time
from asyncbackends.object_model.values import fq_name_of
from asyncbackends.object_model.views import Selection, TypeView
from asyncbackends.protocols.values import ConfigObject, Json

__all__ = ("StoredObject", "assemble", "collection", "element_order", "without_identity")

_decode = msgspec.json.Decoder().decode


class StoredObject(msgspec.Struct, kw_only=True):
    """The parts of an object as engines fetch them: names as fq_key, values as JSON text.

    Only the parts that the Selection wants need be there; their order does not matter.
    """

    obj_type: str
    uuid: str
    key: str
    parent_type: str | None
    parent_uuid: str | None
    revision: int
    created: int
    modified: int
    """Microseconds since 1970."""
    document: str = "{}"
    elements: list[tuple[str, str, str]] = msgspec.field(default_factory=list[tuple[str, str, str]])
    """(field, position or key, value)"""
    refs: list[tuple[str, str, str | None, str]] = msgspec.field(
        default_factory=list[tuple[str, str, str | None, str]]
    )
    """(target type, uuid, key, attr); the key is None when the target is gone."""
    back_refs: list[tuple[str, str, str, str]] = msgspec.field(
        default_factory=list[tuple[str, str, str, str]]
    )
    """(holder type, uuid, key, attr)"""
    children: list[tuple[str, str, str]] = msgspec.field(default_factory=list[tuple[str, str, str]])
    """(child type, uuid, key)"""


def assemble(view: TypeView, selection: Selection, stored: StoredObject) -> ConfigObject:
    """Give the dict form: lists by position, maps by key, links by uuid; nothing empty."""
    content: dict[str, Json] = {"uuid": stored.uuid, "fq_name": fq_name_of(stored.key)}
    if stored.parent_type is not None:
        content["parent_type"] = stored.parent_type
        content["parent_uuid"] = stored.parent_uuid
    properties: dict[str, Json] = _decode(stored.document)
    if selection.properties is None:
        content |= properties
    else:
        content |= {name: properties[name] for name in selection.properties & properties.keys()}
    if stored.elements:
        _add_collections(content, view, selection, stored)
    _add_links(content, selection, stored)
    return ConfigObject(
        content,
        revision=stored.revision,
        created=utc_time(stored.created),
        last_modified=utc_time(stored.modified),
    )


def without_identity(found: ConfigObject) -> ConfigObject:
    """Give an object with its uuid and properties alone."""
    for field in ("fq_name", "parent_type", "parent_uuid"):
        found.pop(field, None)
    return found


def _add_collections(
    content: dict[str, Json], view: TypeView, selection: Selection, stored: StoredObject
) -> None:
    collections: dict[str, list[tuple[str, str]]] = {}
    for field, position, text in stored.elements:
        if selection.collections is None or field in selection.collections:
            collections.setdefault(field, []).append((position, text))
    for field, elements in collections.items():
        values = [value for value, _ in collection(view, field, elements)]
        mapped = view.object_type.maps.get(field)
        wrapper = view.object_type.lists.get(field) if mapped is None else mapped.wrapper
        content[field] = values if wrapper is None else {wrapper: values}


def collection(
    view: TypeView, field: str, elements: list[tuple[str, str]]
) -> list[tuple[Json, str]]:
    """Give (value, position or key) in order, from (position or key, JSON)."""
    if field in view.object_type.maps:
        elements.sort()
    else:
        elements.sort(key=element_order)
    return [(_decode(text), position) for position, text in elements]


def element_order(element: tuple[str, str]) -> tuple[int, int, str]:
    """Give the sort key of a list's element, (position, JSON)."""
    return position_order(element[0])


def _add_links(content: dict[str, Json], selection: Selection, stored: StoredObject) -> None:
    for target, uuid, key, attr in sorted(stored.refs):
        if selection.refs is None or target in selection.refs:
            to = {} if key is None else {"to": fq_name_of(key)}
            ref = {**to, "uuid": uuid, "attr": _decode(attr)}
            content.setdefault(f"{target}_refs", []).append(ref)
    for holder, uuid, key, attr in sorted(stored.back_refs):
        if holder in selection.back_refs:
            ref = {"to": fq_name_of(key), "uuid": uuid, "attr": _decode(attr)}
            content.setdefault(f"{holder}_back_refs", []).append(ref)
    for child, uuid, key in sorted(stored.children):
        if child in selection.children:
            content.setdefault(f"{child}s", []).append({"to": fq_name_of(key), "uuid": uuid})
