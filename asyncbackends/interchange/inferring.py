"""Infers a schema from column names: a column dump carries none. Pure.

Wrappers cannot be known, so collections are bare; a map's key is the field of its elements that
equals the column's key.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from asyncbackends.interchange.column_names import Column, decoded
from asyncbackends.interchange.shapes import as_dict
from asyncbackends.schema import (
    IDENTITY_FIELDS,
    NO_PARENT,
    MapProperty,
    ObjectType,
    RefType,
    Schema,
)

__all__ = ("Inferred", "SchemaSketch", "TypeSketch")


class TypeSketch(msgspec.Struct):
    """What was seen of one type."""

    parents: set[str] = msgspec.field(default_factory=set[str])
    without_parent: bool = False
    properties: Counter[str] = msgspec.field(default_factory=Counter[str])
    lists: Counter[str] = msgspec.field(default_factory=Counter[str])
    maps: Counter[str] = msgspec.field(default_factory=Counter[str])
    keys: dict[str, Counter[str]] = {}
    """By map: the fields of elements that equalled the column's key."""
    refs: set[str] = msgspec.field(default_factory=set[str])

    def add_parent(self, parent_type: str | None) -> None:
        """Count an object with that parent, or with none."""
        if parent_type is None:
            self.without_parent = True
        else:
            self.parents.add(parent_type)

    def add_field(self, column: Column, text: str) -> None:
        """Count a property's column."""
        if column.kind == "prop":
            self.properties[column.name] += 1
        elif column.kind == "propl":
            self.lists[column.name] += 1
        elif column.kind == "propm":
            self.maps[column.name] += 1
            candidates = self.keys.setdefault(column.name, Counter())
            try:
                element = decoded(text)
            except ValueError:
                return
            fields = (as_dict(element) or {}).items()
            candidates.update(field for field, value in fields if value == column.rest)


class Inferred(msgspec.Struct, frozen=True):
    """A schema, and the fields that found no place in it, with the reason."""

    schema: Schema
    dropped: dict[tuple[str, str], str]
    """By type and field (a property's name, ``<type>_refs``)."""


class SchemaSketch:
    """Collects what is seen of each type."""

    def __init__(self) -> None:
        self.types: dict[str, TypeSketch] = {}

    def type(self, name: str) -> TypeSketch:
        """Give the sketch of a type, a new one at first."""
        return self.types.setdefault(name, TypeSketch())

    def infer(self) -> Inferred:
        """Make the schema; of names that collide the links keep theirs."""
        cut: dict[tuple[str, str], str] = {}
        taken = {name: _links(self.types, name, cut) for name in sorted(self.types)}
        dropped = dict(cut)
        types = {
            name: _object_type(name, self.types, taken[name], cut, dropped)
            for name in sorted(self.types)
        }
        return Inferred(Schema(types), dropped)


def _links(
    types: Mapping[str, TypeSketch], name: str, cut: dict[tuple[str, str], str]
) -> dict[str, str]:
    """Give the field names that links to and from a type take, and what for.

    :param cut: takes the ref fields, by type, whose name or whose back refs' name is taken.
    """
    taken = dict.fromkeys(IDENTITY_FIELDS, "every object")
    for child in sorted(types):
        if name in types[child].parents:
            taken.setdefault(f"{child}s", f"the children of type {child!r}")
    for holder in sorted(types):
        if holder != name and name in types[holder].refs:
            field = f"{holder}_back_refs"
            if field in taken:
                cut[holder, f"{name}_refs"] = f"the name {field!r} is taken by {taken[field]}"
            taken.setdefault(field, f"the back refs of {holder!r}")
    for target in sorted(types[name].refs & types.keys()):
        field = f"{target}_refs"
        if field in taken:
            cut[name, field] = f"the name {field!r} is taken by {taken[field]}"
        taken.setdefault(field, f"the refs to {target!r}")
    return taken


def _object_type(
    name: str,
    types: Mapping[str, TypeSketch],
    taken: Mapping[str, str],
    cut: Mapping[tuple[str, str], str],
    dropped: dict[tuple[str, str], str],
) -> ObjectType:
    sketch = types[name]
    parents = sorted(sketch.parents & types.keys())
    if parents and sketch.without_parent:
        parents.append(NO_PARENT)
    kinds: dict[str, list[str]] = {"propl": [], "propm": [], "prop": []}
    for field, kind in _kinds(sketch):
        if field in taken:
            dropped[name, field] = f"the name {field!r} is taken by {taken[field]}"
        else:
            kinds[kind].append(field)
    return ObjectType(
        parents=tuple(parents),
        properties=tuple(kinds["prop"]),
        lists=dict.fromkeys(kinds["propl"]),
        maps={field: MapProperty(key=_key(sketch.keys[field])) for field in kinds["propm"]},
        refs={
            target: RefType()
            for target in sorted(sketch.refs & types.keys())
            if (name, f"{target}_refs") not in cut
        },
    )


def _kinds(sketch: TypeSketch) -> Iterator[tuple[str, str]]:
    """Say of each field what it is: a collection where it is one anywhere."""
    for field in sorted({*sketch.properties, *sketch.lists, *sketch.maps}):
        if sketch.maps[field] > sketch.lists[field]:
            yield field, "propm"
        else:
            yield field, "propl" if sketch.lists[field] else "prop"


def _key(candidates: Counter[str]) -> str:
    """Choose the field that held the key most often, "key" before others."""
    ranked = sorted(candidates.items(), key=lambda item: (-item[1], item[0] != "key", item[0]))
    return ranked[0][0] if ranked else "key"
