"""Random arguments from small pools, so that names and ids clash, and _refs hit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from asyncbackends.protocols.values import ALL_FIELDS, CollectionUpdate, Fence, Json
from asyncbackends.schema import NO_PARENT
from asyncbackends.testing.config_database.sample import KIT_SCHEMA

__all__ = (
    "IDS",
    "KEYS",
    "SHARES",
    "Known",
    "contents",
    "element_updates",
    "fences",
    "field_names",
    "ids",
    "json_values",
    "known_ids",
    "known_names",
    "listings",
    "names",
    "new_ids",
    "rows",
    "updates",
)

IDS = tuple(str(UUID(int=(number << 120) + 7)) for number in range(1, 18))
TYPES = ("domain", "project", "virtual_network", "network_policy", "virtual_port", "tag", "note")
PARTS = ("a", "b", "c:d", "ü")
NAMES = tuple(
    [*head, last]
    for head in ([], ["a"], ["b"], ["a", "a"], ["a", "b"], ["b", "a"])
    for last in PARTS
)
KEYS = ("k", "l:m", "ö")
SHARES = (("", "global"), ("p", "tenant"), ("p:q", "tenant"))

ItemT = TypeVar("ItemT")


class Known(msgspec.Struct):
    """The objects that are there: per type (fq_name, uuid)."""

    objects: Mapping[str, Sequence[tuple[list[str], str]]]

    def ids(self, obj_type: str) -> list[str]:
        """Give the uuids of a type."""
        return [uuid for _, uuid in self.objects.get(obj_type, ())]

    def free_ids(self) -> list[str]:
        """Give the ids that no object has."""
        taken = {uuid for of_type in self.objects.values() for _, uuid in of_type}
        return [uuid for uuid in IDS if uuid not in taken]


def _mostly(likely: Sequence[ItemT], all_of_them: Sequence[ItemT]) -> SearchStrategy[ItemT]:
    """Give what is likely nine times of ten, where there is any."""
    times = 9 * len(all_of_them) // len(likely) if likely else 0
    return st.sampled_from([*[*likely] * max(times, 1), *all_of_them])


def known_ids(known: Known, obj_type: str) -> SearchStrategy[str]:
    """Give uuids of a type, and sometimes others."""
    return _mostly(known.ids(obj_type), IDS)


def new_ids(known: Known) -> SearchStrategy[str]:
    """Give uuids that nobody has, and sometimes others."""
    return _mostly(known.free_ids(), IDS)


def known_names(known: Known, obj_type: str) -> SearchStrategy[list[str]]:
    """Give names of a type's objects, and sometimes others."""
    return _mostly([name for name, _ in known.objects.get(obj_type, ())], NAMES)


ids: SearchStrategy[str] = st.sampled_from(IDS)

names: SearchStrategy[list[str]] = st.sampled_from(NAMES)
fences: SearchStrategy[Fence | None] = st.one_of(
    st.none(),
    st.none(),
    st.none(),
    st.builds(Fence, st.sampled_from(["lock", "term"]), st.integers(0, 1), st.integers(0, 3)),
)

scalars: SearchStrategy[Json] = st.one_of(
    st.sampled_from([True, False, 0, 1, 1.0, 2**63, -(2**63), "", "1", "true"]),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
json_values: SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["", "a", "b.c", "ü"]), inner, max_size=3),
    ),
    max_leaves=5,
)

positions: SearchStrategy[str] = st.sampled_from(
    ["0", "0", "1", "1", "2", "3", "10", "007", "x", "x:1", "é"]
)


def _field_values(obj_type: str, known: Known) -> dict[str, SearchStrategy[Any]]:
    """Give a strategy for every field of a type that may be written."""
    described = KIT_SCHEMA.types[obj_type]
    properties = described.properties or ("colour", "free form")
    fields: dict[str, SearchStrategy[Any]] = {
        name: scalars if name in described.indexed else json_values for name in properties
    }
    for name, wrapper in described.lists.items():
        values: SearchStrategy[Any] = st.lists(json_values, max_size=12)
        fields[name] = values if wrapper is None else values.map(_wrapped(wrapper))
    for name, mapped in described.maps.items():
        elements: SearchStrategy[Any] = st.dictionaries(
            st.sampled_from(KEYS), scalars, max_size=3
        ).map(_keyed(mapped.key))
        fields[name] = (
            elements if mapped.wrapper is None else elements.map(_wrapped(mapped.wrapper))
        )
    for target, ref in described.refs.items():
        attrs: SearchStrategy[Json] = json_values if ref.attr else st.none()
        fields[f"{target}_refs"] = st.lists(
            _refs(target, attrs, known), max_size=3, unique_by=lambda one: str(one.get("uuid"))
        )
    return fields


def _wrapped(wrapper: str) -> Callable[[Any], Any]:
    """Put a collection under its one key."""

    def put(elements: Any) -> dict[str, Any]:
        return {wrapper: elements}

    return put


def _keyed(key: str) -> Callable[[Any], Any]:
    """Make elements of a map that hold their key."""

    def elements(values: dict[str, Any]) -> list[dict[str, Any]]:
        return [{key: name, "v": value} for name, value in values.items()]

    return elements


def _refs(
    target: str, attrs: SearchStrategy[Json], known: Known
) -> SearchStrategy[dict[str, Json]]:
    """Give _refs by uuid, by name, and by both."""
    ways = [
        st.fixed_dictionaries({"uuid": known_ids(known, target)}, optional={"attr": attrs}),
        st.fixed_dictionaries({"to": known_names(known, target)}, optional={"attr": attrs}),
    ]
    if there := known.objects.get(target):
        both = [{"uuid": uuid, "to": name} for name, uuid in there]
        ways.append(st.sampled_from(both))
    return st.one_of(ways)


def _identities(obj_type: str, known: Known) -> SearchStrategy[dict[str, Json]]:
    """Give a name, and _mostly a parent that is there."""
    parents = KIT_SCHEMA.types[obj_type].parents
    part = st.sampled_from(PARTS)
    ways: list[SearchStrategy[dict[str, Json]]] = []
    if not parents or NO_PARENT in parents:
        ways.append(st.fixed_dictionaries({"fq_name": st.lists(part, min_size=1, max_size=1)}))
    for parent in parents:
        for name, uuid in known.objects.get(parent, ()):
            child = part.map(lambda last, name=name: [*name, last])  # type: ignore[misc]  # binds now
            ways.append(st.fixed_dictionaries({"fq_name": child, "parent_type": st.just(parent)}))
            by_id = {"parent_type": st.just(parent), "parent_uuid": st.just(uuid)}
            ways.append(st.fixed_dictionaries({"fq_name": names, **by_id}))
    anything = st.fixed_dictionaries(
        {"fq_name": names},
        optional={"parent_type": st.sampled_from([*parents, None]), "parent_uuid": ids},
    )
    return st.one_of([*ways, *ways, anything])


def contents(obj_type: str, known: Known) -> SearchStrategy[dict[str, Json]]:
    """Give what an object is created with."""
    fields = st.fixed_dictionaries({}, optional=_field_values(obj_type, known))
    return st.tuples(_identities(obj_type, known), fields).map(_together)


def _together(parts: tuple[dict[str, Json], dict[str, Json]]) -> dict[str, Json]:
    """Join an identity and fields."""
    return {**parts[0], **parts[1]}


def updates(obj_type: str, known: Known) -> SearchStrategy[dict[str, Json]]:
    """Give changes; None removes."""
    optional: dict[str, SearchStrategy[Any]] = {
        name: st.one_of(st.none(), values, values)
        for name, values in _field_values(obj_type, known).items()
    }
    return st.fixed_dictionaries({}, optional=optional)


def element_updates(obj_type: str) -> SearchStrategy[list[CollectionUpdate]]:
    """Give changes of elements, for a type that has collections."""
    described = KIT_SCHEMA.types[obj_type]
    choices: list[SearchStrategy[CollectionUpdate]] = []
    for field in described.lists:
        name = st.just(field)
        choices += [
            st.builds(CollectionUpdate, name, st.just("add"), json_values),
            st.builds(
                CollectionUpdate, name, st.sampled_from(["add", "modify"]), json_values, positions
            ),
            st.builds(CollectionUpdate, name, st.just("delete"), st.none(), positions),
        ]
    for field, mapped in described.maps.items():
        name, key = st.just(field), st.sampled_from(KEYS)
        element = st.fixed_dictionaries({mapped.key: key, "v": json_values})
        choices += [
            st.builds(CollectionUpdate, name, st.just("set"), element),
            st.builds(CollectionUpdate, name, st.just("delete"), st.none(), key),
        ]
    return st.lists(st.one_of(choices), min_size=1, max_size=4)


def field_names(obj_type: str) -> SearchStrategy[Any]:
    """Give what a read asks for."""
    types_of = KIT_SCHEMA.types
    fields = [*_field_values(obj_type, Known({})), "uuid"]
    fields += [f"{child}s" for child, one in types_of.items() if obj_type in one.parents]
    fields += [
        f"{holder}_back_refs"
        for holder, one in types_of.items()
        if obj_type in one.refs and holder != obj_type
    ]
    some = st.lists(st.sampled_from(fields), max_size=4, unique=True)
    return st.one_of(st.none(), st.just(ALL_FIELDS), some)


def listings(
    obj_type: str, known: Known, stored: Sequence[Mapping[str, Json]]
) -> SearchStrategy[dict[str, Any]]:
    """Give restrictions of a list; filters _mostly by what is stored."""
    described = KIT_SCHEMA.types[obj_type]
    properties = described.properties or ("colour", "free form")
    values = [(name, one[name]) for one in stored for name in properties if name in one]
    by_stored: SearchStrategy[dict[str, list[Json]]] = st.dictionaries(
        st.sampled_from(properties), st.lists(json_values, max_size=2), max_size=1
    )
    if values:
        found = st.sampled_from(values).map(lambda pair: {pair[0]: [pair[1]]})
        by_stored = st.one_of(found, found, by_stored)
    parents = [uuid for parent in described.parents for uuid in known.ids(parent)]
    targets = [uuid for target in described.refs for uuid in known.ids(target)]
    return st.fixed_dictionaries(
        {},
        optional={
            "parent_uuids": st.lists(_mostly(parents, IDS), max_size=4),
            "back_ref_uuids": st.lists(_mostly(targets, IDS), max_size=4),
            "obj_uuids": st.lists(known_ids(known, obj_type), max_size=4),
            "filters": by_stored,
        },
    )


rows: SearchStrategy[dict[str, Json]] = st.dictionaries(
    st.sampled_from(KEYS), json_values, min_size=1, max_size=3
)
