"""The names of OpenContrail's columns, and the small values in them. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.shapes import as_dict
from asyncbackends.object_model.values import canonical_id, checked_text, fq_key
from asyncbackends.schema import NO_PARENT, TYPE_NAME

__all__ = (
    "Column",
    "ColumnKind",
    "Identity",
    "attr_of",
    "decoded",
    "identity_of",
    "snake_case",
    "split_column",
)

ColumnKind: TypeAlias = Literal[
    "prop", "propl", "propm", "ref", "parent", "backref", "children", "relaxbackref"
]
TWO_PARTS: Final = frozenset({"propl", "propm", "ref", "parent", "backref", "children"})
ONE_PART: Final = frozenset({"prop", "relaxbackref"})
IDENTITY_COLUMNS: Final = frozenset({"type", "fq_name", "parent_type"})

_decode = msgspec.json.Decoder().decode


class Column(msgspec.Struct, frozen=True):
    """A column's name taken apart.

    ``name`` is a property, or for links the type at the other end; ``rest`` is a position, a key
    or a uuid.
    """

    kind: ColumnKind
    name: str
    rest: str
    dashed: bool = False


class Identity(msgspec.Struct, frozen=True):
    """Who an object is."""

    uuid: str
    obj_type: str
    key: str
    """The fq_key of its name."""
    parent_type: str | None
    """As the column ``parent_type`` says, in snake case; the ``parent:`` columns decide."""


def snake_case(name: str) -> str:
    """Give a type's name as it is written now: old data has dashes."""
    return name.replace("-", "_")


def split_column(column: str) -> Column | None:
    """Take a column's name apart; None for what is no part of an object.

    :raises ValueError: it is one, but the name is cut short or holds no uuid.
    """
    kind, _, rest = column.partition(":")
    if kind in ONE_PART and rest:
        if kind == "relaxbackref":
            return Column("relaxbackref", "", _uuid(rest))
        return Column("prop", rest, "")
    if kind not in TWO_PARTS:
        return None
    name, separator, rest = rest.partition(":")
    if not name or not separator:
        message = "its name is cut short"
        raise ValueError(message)
    if kind == "propl":
        return Column("propl", name, _text(rest, "position"))
    if kind == "propm":
        return Column("propm", name, _text(rest, "key"))
    links: Mapping[str, ColumnKind] = {
        "ref": "ref",
        "parent": "parent",
        "backref": "backref",
        "children": "children",
    }
    return Column(links[kind], snake_case(name), _uuid(rest), dashed="-" in name)


def _uuid(text: str) -> str:
    try:
        return canonical_id(text)
    except InvalidRequestError as error:
        raise ValueError(str(error)) from None


def _text(text: str, what: str) -> str:
    try:
        return checked_text(text, f"its {what}")
    except InvalidRequestError as error:
        raise ValueError(str(error)) from None


def decoded(text: str) -> object:
    """Decode a column's JSON text.

    :raises ValueError: it is not JSON.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        message = f"it is not JSON: {error}"
        raise ValueError(message) from None


def attr_of(data: object) -> object:
    """Give the attr in a ref's stored data; a dict without the key ``attr`` is the attr itself."""
    stored = as_dict(data)
    if stored is None:
        return data
    return stored.get("attr") if "attr" in stored else stored or None


def identity_of(uuid: str, texts: Mapping[str, str]) -> Identity:
    """Read who a row's object is.

    :raises KeyError: with the column at fault, and the reason.
    """
    obj_type = _read(texts, "type")
    if not isinstance(obj_type, str):
        raise KeyError("type", "it is no text")
    obj_type = snake_case(obj_type)
    if not TYPE_NAME.fullmatch(obj_type) or obj_type == NO_PARENT:
        raise KeyError("type", f"{obj_type!r} is no name of a type")
    fq_name = _read(texts, "fq_name")
    try:
        key = fq_key(fq_name)  # type: ignore[arg-type]  # it checks what it is given
    except InvalidRequestError as error:
        raise KeyError("fq_name", str(error)) from None
    parent_type = _read(texts, "parent_type") if "parent_type" in texts else None
    if parent_type is not None and not isinstance(parent_type, str):
        raise KeyError("parent_type", "it is no text")
    parent_type = snake_case(parent_type or "")
    return Identity(
        uuid, obj_type, key, parent_type if parent_type not in {"", NO_PARENT} else None
    )


def _read(texts: Mapping[str, str], column: str) -> object:
    if column not in texts:
        raise KeyError(column, "the column is missing")
    try:
        return decoded(texts[column])
    except ValueError as error:
        raise KeyError(column, str(error)) from None
