"""The schema of a configuration database: which types there are and how they hang together.

Pure and frozen. Type names are snake_case text; children of a type appear in an object as the
child type's name + ``s``, refs as the target's name + ``_refs``, back refs as the holder's name +
``_back_refs``. A schema in which such names collide is refused.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.narrowing import is_mapping
from asyncbackends.toml_writing import toml_document

__all__ = (
    "IDENTITY_FIELDS",
    "NO_PARENT",
    "MapProperty",
    "ObjectType",
    "RefType",
    "Schema",
    "reconcile",
)

NO_PARENT = "config_root"
"""Among ``parents``: an object of the type may also have no parent. OpenContrail's root type."""

TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
IDENTITY_FIELDS = frozenset({"uuid", "fq_name", "parent_type", "parent_uuid"})


class MapProperty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A map property: its elements are dicts that hold their key under ``key``."""

    key: str = "key"
    wrapper: str | None = None
    """The one key around the list of elements in the dict form, None when it is bare."""


class RefType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """References to a type: whether they carry an ``attr``, and whether they are derived."""

    attr: bool = True
    derived: bool = False


class ObjectType(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One type of object."""

    parents: tuple[str, ...] = ()
    """Possible parent types; () is none. With "config_root" among others the parent is optional."""
    properties: tuple[str, ...] | None = None
    """The names of the scalar and structured properties; None is any name."""
    lists: dict[str, str | None] = {}
    """List properties: the one key around the list in the dict form, None when it is bare."""
    maps: dict[str, MapProperty] = {}
    refs: dict[str, RefType] = {}
    """By the type that is referred to."""
    derived_children: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    """Scalar properties that filters look up instead of reading every object."""

    @property
    def parent_types(self) -> tuple[str, ...]:
        """The types that a parent can have."""
        return tuple(parent for parent in self.parents if parent != NO_PARENT)

    @property
    def parent_required(self) -> bool:
        """Whether an object of this type must have a parent."""
        return bool(self.parents) and NO_PARENT not in self.parents


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All types by name."""

    types: dict[str, ObjectType] = {}

    def __post_init__(self) -> None:
        for name, object_type in self.types.items():
            for problem in _problems(self.types, name, object_type):
                message = f"schema type {name!r}: {problem}"
                raise ConfigurationError(message)

    @classmethod
    def from_toml(cls, path: str | Path) -> "Schema":
        """Read a schema file.

        :raises ConfigurationError: naming the file, and the type and field or the line at fault.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read the schema file {path}: {error}"
            raise ConfigurationError(message) from error
        try:
            return cls.from_dict(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ConfigurationError) as error:
            message = f"schema file {path}: {error}"
            raise ConfigurationError(message) from error

    def to_toml(self) -> str:
        """Give the schema as a TOML document that :meth:`from_toml` reads back equal."""
        return toml_document(self.to_dict())

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Schema":
        """Make a schema from the plain form that :meth:`to_dict` gives.

        :raises ConfigurationError: naming type and field.
        """
        unknown = [key for key in content if key != "types"]
        types = content.get("types", {})
        if unknown or not is_mapping(types):
            message = f"a schema is a table `types`, not {', '.join(map(repr, unknown)) or types!r}"
            raise ConfigurationError(message)
        return cls({name: _object_type(name, plain) for name, plain in types.items()})

    def to_dict(self) -> dict[str, Any]:
        """Give the schema as plain dicts, lists and text, types by name, defaults left out."""
        types = {name: _plain(self.types[name]) for name in sorted(self.types)}
        return {"types": types}

    def difference(self, stored: "Schema") -> str | None:
        """Say why this schema is not a superset of a stored one, or None when it is.

        A superset has every type and every field of it, with the same meaning; it may allow more.
        """
        for name, old in stored.types.items():
            new = self.types.get(name)
            if new is None:
                return f"type {name!r} is missing"
            for problem in _narrowings(old, new):
                return f"type {name!r}: {problem}"
        return None


def reconcile(given: Schema | None, stored: Schema | None) -> Schema:
    """Say which schema is in force for a database opened with ``given``.

    :returns: ``given`` where it must be stored now (it is the first, or a superset), else ``stored``.
    :raises ConfigurationError: they differ otherwise; type and field are named.
    """
    if given is None or given == stored:
        return stored or Schema()
    difference = None if stored is None else given.difference(stored)
    if difference is not None:
        message = f"the schema given is no superset of the one in the database: {difference}"
        raise ConfigurationError(message)
    return given


def _object_type(name: str, plain: Any) -> ObjectType:
    if is_mapping(plain) and is_mapping(plain.get("lists")):
        # TOML has no null: a bare list stands there as "".
        bare = {prop: wrapper or None for prop, wrapper in plain["lists"].items()}
        plain = {**plain, "lists": bare}
    try:
        return msgspec.convert(plain, ObjectType)
    except msgspec.ValidationError as error:
        message = f"schema type {name!r}: {str(error).replace('$.', '')}"
        raise ConfigurationError(message) from error


def _plain(object_type: ObjectType) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in msgspec.to_builtins(object_type).items():
        if key in {"lists", "maps", "refs"}:
            plain[key] = {prop: "" if item is None else item for prop, item in value.items()}
        elif key == "properties" and value is None:
            continue
        else:
            plain[key] = list(value)
    return plain


def _problems(types: Mapping[str, ObjectType], name: str, object_type: ObjectType) -> Iterator[str]:
    if not TYPE_NAME.fullmatch(name) or name == NO_PARENT:
        yield "a type name is a letter followed by letters, digits and underscores"
    for parent in object_type.parent_types:
        if parent not in types:
            yield f"parents: {parent!r} is not a type"
    for target in object_type.refs:
        if target not in types:
            yield f"refs: {target!r} is not a type"
    children = {child for child, other in types.items() if name in other.parents}
    for child in object_type.derived_children:
        if child not in children:
            yield f"derived_children: {child!r} is not a child type"
    taken: dict[str, str] = dict.fromkeys(IDENTITY_FIELDS, "every object")
    for field, group in _fields(types, name, object_type):
        if field in taken:
            yield f"{group}: the name {field!r} is taken by {taken[field]}"
        taken[field] = group
    for prop in object_type.indexed:
        if object_type.properties is not None and prop not in object_type.properties:
            yield f"indexed: {prop!r} is not among the properties"
        if prop in object_type.lists or prop in object_type.maps:
            yield f"indexed: {prop!r} is a collection"


def _fields(
    types: Mapping[str, ObjectType], name: str, object_type: ObjectType
) -> Iterator[tuple[str, str]]:
    for prop in object_type.properties or ():
        yield prop, "properties"
    for prop in object_type.lists:
        yield prop, "lists"
    for prop in object_type.maps:
        yield prop, "maps"
    for target in object_type.refs:
        yield f"{target}_refs", "refs"
    for holder, other in types.items():
        if holder != name and name in other.refs:
            yield f"{holder}_back_refs", f"the back refs of {holder!r}"
        if name in other.parents:
            yield f"{holder}s", f"the children of type {holder!r}"


def _narrowings(old: ObjectType, new: ObjectType) -> Iterator[str]:
    if old.properties is None and new.properties is not None:
        yield "properties: any name is stored, so they cannot be listed now"
    for prop in old.properties or ():
        if new.properties is not None and prop not in new.properties:
            yield f"properties: {prop!r} is missing"
    for field in ("lists", "maps", "refs"):
        before, after = getattr(old, field), getattr(new, field)
        for key, meaning in before.items():
            if key not in after:
                yield f"{field}: {key!r} is missing"
            elif after[key] != meaning:
                yield f"{field}: {key!r} was {meaning!r} and is {after[key]!r} now"
    for parent in old.parents or (NO_PARENT,):
        if parent not in (new.parents or (NO_PARENT,)):
            yield f"parents: {parent!r} is missing"
    # A name that stored objects may use as a free property must not become a collection.
    if old.properties is None:
        for prop in {*new.lists, *new.maps} - {*old.lists, *old.maps}:
            yield f"{prop!r} may be stored as a property, so it cannot be a collection now"
    for prop in {*(old.properties or ())} & {*new.lists, *new.maps}:
        yield f"{prop!r} is stored as a property, so it cannot be a collection now"
    for prop in old.indexed:
        if prop not in new.indexed:
            yield f"indexed: {prop!r} is missing"
    for child in old.derived_children:
        if child not in new.derived_children:
            yield f"derived_children: {child!r} is missing"
