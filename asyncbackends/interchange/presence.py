"""How an object of a dump differs from the one that the database has. Pure."""

from collections.abc import Iterator, Mapping

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.shapes import as_dict, as_list
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.values import CollectionUpdate, Json
from asyncbackends.schema import IDENTITY_FIELDS, ObjectType

__all__ = (
    "changed_fields",
    "element_updates",
    "identity_problem",
    "list_fields",
    "refs_of",
    "refs_update",
    "same_refs",
    "without_refs",
)

Positions = Mapping[str, list[str]]
Stored = Mapping[str, Json]


def without_refs(record: ObjectRecord, object_type: ObjectType) -> dict[str, Json]:
    """Give what the first pass writes whole: no refs, and no list that has positions of its own."""
    left_out = {f"{target}_refs" for target in object_type.refs} | record.positions.keys()
    return {field: value for field, value in record.object.items() if field not in left_out}


def refs_of(record: ObjectRecord, object_type: ObjectType) -> dict[str, Json]:
    """Give the ref fields that have refs."""
    fields = (f"{target}_refs" for target in object_type.refs)
    return {field: record.object[field] for field in fields if record.object.get(field)}


def refs_update(record: ObjectRecord, object_type: ObjectType) -> dict[str, Json]:
    """Give the update that makes an existing object's refs those of the record."""
    fields = (f"{target}_refs" for target in object_type.refs)
    return {field: record.object.get(field) or None for field in fields}


def same_refs(record: ObjectRecord, stored: Stored, object_type: ObjectType) -> bool:
    """Say whether the stored object has the record's refs."""
    for target in object_type.refs:
        field = f"{target}_refs"
        wanted = [as_dict(ref) or {} for ref in as_list(record.object.get(field)) or ()]
        there = {ref["uuid"]: ref["attr"] for ref in stored.get(field, ())}
        attrs = {ref.get("uuid"): ref.get("attr") for ref in wanted}
        if not json_equal(attrs, there):
            return False
    return True


def identity_problem(record: ObjectRecord, stored: Stored) -> str | None:
    """Say what cannot change and differs, or None."""
    for field in ("fq_name", "parent_type", "parent_uuid"):
        wanted, there = record.object.get(field), stored.get(field)
        if wanted != there and not (field == "parent_type" and wanted is None):
            return f"it exists with {field} {there!r}, not {wanted!r}, and that cannot change"
    return None


def changed_fields(
    record: ObjectRecord, stored: Stored, positions: Positions, object_type: ObjectType
) -> dict[str, Json]:
    """Give the update of properties and collections; {} when nothing differs.

    A list that has positions of its own, or should lose them, is emptied here and filled by
    :func:`element_updates`.

    :param positions: of the stored object's lists.
    """
    links = {f"{target}_refs" for target in object_type.refs} | IDENTITY_FIELDS
    update: dict[str, Json] = {}
    for field in (record.object.keys() | stored.keys()) - links:
        wanted, there = record.object.get(field), stored.get(field)
        if field in object_type.lists or field in object_type.maps:
            wanted = None if _is_empty(wanted) else wanted
        moved = False
        if field in object_type.lists and there is not None and wanted is not None:
            numbered = [str(number) for number in range(len(positions.get(field, ())))]
            moved = positions.get(field, []) != record.positions.get(field, numbered)
        if moved or not json_equal(wanted, there):
            update[field] = None if field in record.positions else wanted
    return update


def _is_empty(collection: Json) -> bool:
    """Say whether a collection, bare or wrapped, is the same as an absent key."""
    return not collection or not any((as_dict(collection) or {"": True}).values())


def list_fields(stored: Stored, object_type: ObjectType) -> list[str]:
    """Give the lists that an object has."""
    return [field for field in object_type.lists if field in stored]


def element_updates(
    record: ObjectRecord, object_type: ObjectType, fields: Mapping[str, Json] | None = None
) -> Iterator[CollectionUpdate]:
    """Give the writes that put elements at positions of their own.

    :param fields: only lists among these.
    :raises InvalidRequestError: the record's elements and positions do not fit each other.
    """
    for field, positions in record.positions.items():
        if fields is not None and field not in fields:
            continue
        if field not in object_type.lists:
            message = f"{field} has positions, but {record.type} has no such list"
            raise InvalidRequestError(message)
        value, wrapper = record.object.get(field), object_type.lists[field]
        elements = as_list(value if wrapper is None else (as_dict(value) or {}).get(wrapper))
        if elements is None or not len(elements) == len(positions) == len(set(positions)):
            message = f"{field} has other elements than positions"
            raise InvalidRequestError(message)
        for position, element in zip(positions, elements, strict=True):
            yield CollectionUpdate(field, "add", element, position)
