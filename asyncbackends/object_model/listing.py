"""What a list asks for: anchors, filters, marker. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.narrowing import is_dict
from asyncbackends.object_model.values import (
    canonical_id,
    canonical_ids,
    index_key,
    json_equal,
    value_problem,
)
from asyncbackends.object_model.views import Selection, TypeView
from asyncbackends.protocols.values import FieldNames, Id, Json

__all__ = (
    "Listing",
    "checked_limit",
    "listing",
    "marker_after",
    "matches",
    "read_marker",
    "restricts_to_nothing",
)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A list, checked. None is no restriction; an empty tuple restricts to nothing."""

    obj_type: str
    parents: tuple[str, ...] | None
    back_refs: tuple[str, ...] | None
    uuids: tuple[str, ...] | None
    indexed: dict[str, tuple[str, ...]]
    """Filters that the index answers: per property the index_keys of its values."""
    filters: dict[str, tuple[Json, ...]]
    """Filters that a document has to be read for; see :func:`matches`."""
    after: str | None
    """The uuid that the page starts behind."""
    limit: int | None
    selection: Selection | None
    """The fields of the objects, None for (fq_name, uuid) pairs."""


def listing(
    view: TypeView,
    *,
    parent_uuids: Sequence[Id] | None = None,
    back_ref_uuids: Sequence[Id] | None = None,
    obj_uuids: Sequence[Id] | None = None,
    filters: Mapping[str, Sequence[Json]] | None = None,
    count: bool = False,
    marker: str | None = None,
    limit: int | None = None,
    field_names: FieldNames = None,
    objects: bool = False,
) -> Listing:
    """Check the arguments of ``object_list``; ``objects`` asks for objects also without names."""
    checked_limit(limit)
    if count and (marker is not None or limit is not None or field_names is not None):
        message = "a count takes neither marker, limit nor field_names"
        raise InvalidRequestError(message)
    indexed: dict[str, tuple[str, ...]] = {}
    read: dict[str, tuple[Json, ...]] = {}
    for field, values in (filters or {}).items():
        if view.role(field)[0] != "property":
            message = f"{view.name} cannot be filtered by {field!r}, which is no property"
            raise InvalidRequestError(message)
        _check_filter(view, field, values)
        if field in view.object_type.indexed:
            keys = (index_key(value) for value in values)
            indexed[field] = tuple(dict.fromkeys(key for key in keys if key is not None))
        else:
            read[field] = tuple(values)
    return Listing(
        obj_type=view.name,
        parents=_ids(parent_uuids),
        back_refs=_ids(back_ref_uuids),
        uuids=_ids(obj_uuids),
        indexed=indexed,
        filters=read,
        after=None if marker is None else canonical_id(read_marker(marker)),
        limit=limit,
        selection=view.select(field_names) if objects or field_names is not None else None,
    )


def _ids(values: Sequence[Id] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(sorted(set(canonical_ids(values))))


def checked_limit(limit: int | None) -> int | None:
    """Refuse what cannot be the size of a page."""
    if limit is not None and (type(limit) is not int or limit < 1):
        message = f"a limit is an int from 1 on, or None, not {limit!r}"
        raise InvalidRequestError(message)
    return limit


def _check_filter(view: TypeView, field: str, values: Sequence[Json]) -> None:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        message = f"{view.name}: the filter {field!r} is a list of values, not {values!r}"
        raise InvalidRequestError(message)
    for value in values:
        problem = value_problem(value)
        if problem is not None:
            message = f"{view.name}: a value of the filter {field!r}{problem}"
            raise InvalidRequestError(message)


def restricts_to_nothing(wanted: Listing) -> bool:
    """Say whether a restriction is to nothing."""
    restrictions = (wanted.parents, wanted.back_refs, wanted.uuids, *wanted.indexed.values())
    return () in restrictions or any(values == () for values in wanted.filters.values())


def matches(filters: Mapping[str, Sequence[Json]], properties: Mapping[str, Json]) -> bool:
    """Say whether an object's properties match: AND of the keys, OR of the values."""
    return all(
        field in properties and any(_matches(value, properties[field]) for value in values)
        for field, values in filters.items()
    )


def _matches(wanted: Json, stored: Json) -> bool:
    if is_dict(wanted) and is_dict(stored):
        return all(key in stored and json_equal(item, stored[key]) for key, item in wanted.items())
    return json_equal(wanted, stored)


def marker_after(last: str) -> str:
    """Give the marker of the page that starts behind ``last``, a uuid or a key."""
    return f"after:{last}"


def read_marker(marker: str) -> str:
    """Give what a page starts behind.

    :raises InvalidRequestError: it is not a marker.
    """
    if isinstance(marker, str) and marker.startswith("after:"):
        return marker.removeprefix("after:")
    message = f"{marker!r} is not the marker of a page"
    raise InvalidRequestError(message)
