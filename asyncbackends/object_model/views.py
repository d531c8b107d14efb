"""A type of the schema, seen from its field names; and which fields a read wants."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.values import checked_text
from asyncbackends.protocols.values import AllFields, FieldNames
from asyncbackends.schema import IDENTITY_FIELDS, ObjectType, Schema

__all__ = ("FieldRole", "Selection", "TypeView", "checked_names", "near_match", "type_view")

FieldRole: TypeAlias = tuple[
    Literal["identity", "property", "list", "map", "refs", "back_refs", "children"], str
]
"""What a field is, and for refs, back refs and children the other type, else its own name."""


class Selection(msgspec.Struct, frozen=True):
    """What a read fetches beside the identity; None is all there are."""

    properties: frozenset[str] | None
    collections: frozenset[str] | None
    refs: frozenset[str] | None
    back_refs: frozenset[str]
    children: frozenset[str]


class TypeView(msgspec.Struct, frozen=True, kw_only=True):
    """One type with everything that follows for it from the whole schema."""

    name: str
    object_type: ObjectType
    roles: dict[str, FieldRole]
    children: frozenset[str]
    back_refs: frozenset[str]
    """Other types that refer to this one."""

    def role(self, field: str) -> FieldRole:
        """Say what a field is.

        :raises InvalidRequestError: the type has none of that name; the nearest one is named.
        """
        role = self.roles.get(field)
        if role is not None:
            return role
        free = self.object_type.properties is None and isinstance(field, str)
        if free and not field.endswith("_refs"):
            return ("property", checked_text(field, f"{self.name}: the name of a property"))
        message = f"{self.name} has no field {field!r}{near_match(field, self.roles)}"
        raise InvalidRequestError(message)

    def check_properties(self, names: Sequence[str]) -> None:
        """Refuse a name that is not a scalar or structured property."""
        for name in checked_names(names):
            if self.role(name)[0] != "property":
                message = f"{self.name}: {name!r} is not a property"
                raise InvalidRequestError(message)

    def check_collections(self, names: Sequence[str]) -> None:
        """Refuse a name that is not a list or map property."""
        for name in checked_names(names):
            if self.role(name)[0] not in {"list", "map"}:
                message = f"{self.name}: {name!r} is not a list or map property"
                raise InvalidRequestError(message)

    def check_child(self, child_type: str) -> None:
        """Refuse a type that cannot be a child of this one."""
        if child_type not in self.children:
            near = near_match(child_type, self.children)
            message = f"{child_type!r} is not a child type of {self.name}{near}"
            raise InvalidRequestError(message)

    def select(self, field_names: FieldNames) -> Selection:
        """Say what a read with these ``field_names`` fetches."""
        nothing: frozenset[str] = frozenset()
        if field_names is None:
            return Selection(None, None, None, nothing, nothing)
        if isinstance(field_names, AllFields):
            return Selection(None, None, None, self.back_refs, self.children)
        chosen: dict[str, set[str]] = {}
        for field in checked_names(field_names):
            role, name = self.role(field)
            chosen.setdefault(role, set()).add(name)
        return Selection(
            frozenset(chosen.get("property", ())),
            frozenset(chosen.get("list", set()) | chosen.get("map", set())),
            frozenset(chosen.get("refs", ())),
            frozenset(chosen.get("back_refs", ())),
            frozenset(chosen.get("children", ())),
        )


def checked_names(names: Sequence[str]) -> Sequence[str]:
    """Refuse one text where a sequence of names is meant."""
    if isinstance(names, str):
        message = f"field names are a list of str, not the text {names!r}"
        raise InvalidRequestError(message)
    return names


def type_view(schema: Schema, name: str) -> TypeView:
    """Build the view of one type.

    :raises InvalidRequestError: the schema has no such type; the nearest one is named.
    """
    object_type = schema.types.get(name)
    if object_type is None:
        message = f"there is no type {name!r}{near_match(name, schema.types)}"
        if not schema.types:
            message = (
                f"there is no type {name!r}: this database has no schema yet; open it with one"
            )
        raise InvalidRequestError(message)
    children = frozenset(child for child, other in schema.types.items() if name in other.parents)
    back_refs = frozenset(
        holder for holder, other in schema.types.items() if holder != name and name in other.refs
    )
    roles: dict[str, FieldRole] = {field: ("identity", field) for field in IDENTITY_FIELDS}
    roles |= {field: ("property", field) for field in object_type.properties or ()}
    roles |= {field: ("list", field) for field in object_type.lists}
    roles |= {field: ("map", field) for field in object_type.maps}
    roles |= {f"{target}_refs": ("refs", target) for target in object_type.refs}
    roles |= {f"{holder}_back_refs": ("back_refs", holder) for holder in back_refs}
    roles |= {f"{child}s": ("children", child) for child in children}
    return TypeView(
        name=name, object_type=object_type, roles=roles, children=children, back_refs=back_refs
    )


def near_match(name: object, names: Iterable[str]) -> str:
    """Give ``; did you mean ...?`` for the nearest name, or nothing."""
    if isinstance(name, str):
        near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
        if near:
            return f"; did you mean {near[0]!r}?"
    return ""
