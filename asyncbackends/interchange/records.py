"""Our own form of a dump: a header line, then one record a line, each a JSON object. Pure.

Objects come first, parents before their children; then shares, rows and texts; the last line says
how many objects there are, so that a dump that was cut off is not taken for a whole one.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from asyncbackends.errors import ConfigurationError, InvalidRequestError
from asyncbackends.interchange.shapes import as_dict, as_list
from asyncbackends.protocols.values import Json
from asyncbackends.schema import Schema

__all__ = (
    "FORMAT",
    "VERSION",
    "EndRecord",
    "Header",
    "ObjectRecord",
    "Record",
    "RowRecord",
    "ShareRecord",
    "TextRecord",
    "canonical",
    "is_header",
    "read_header",
    "read_record",
    "to_line",
)

FORMAT: Final = "asyncbackends-dump"
VERSION: Final = 1
EXACT_INTEGER: Final = 2.0**53


class Header(msgspec.Struct, frozen=True):
    """The first line."""

    format: Literal["asyncbackends-dump"]
    version: int
    schema: dict[str, Any]
    revision: int
    """The database's revision when the dump began."""


class ObjectRecord(msgspec.Struct, tag="object", tag_field="record", omit_defaults=True):
    """An object with its parent, properties and refs, in the dict form."""

    type: str
    object: dict[str, Json]
    positions: dict[str, list[str]] = {}
    """Of lists whose positions are not '0', '1', ...: the position of each element."""
    relaxed_by: list[str] = []
    """The uuids of the holders whose ref to this object is relaxed."""

    @property
    def uuid(self) -> str:
        """The object's id as it stands in the dump."""
        return str(self.object.get("uuid"))


class ShareRecord(msgspec.Struct, frozen=True, tag="share", tag_field="record"):
    """An object is shared with somebody."""

    type: str
    uuid: str
    share_type: str
    share_id: str
    rwx: int


class RowRecord(msgspec.Struct, frozen=True, tag="row", tag_field="record"):
    """A row of a key-value table."""

    table: str
    key: str
    columns: dict[str, Json]


class TextRecord(msgspec.Struct, frozen=True, tag="useragent", tag_field="record"):
    """A text of the useragent store."""

    key: str
    value: str


class EndRecord(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The last line."""

    objects: int


Record: TypeAlias = ObjectRecord | ShareRecord | RowRecord | TextRecord | EndRecord

_encode = msgspec.json.Encoder(order="sorted").encode
_decode: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode
_decode_header = msgspec.json.Decoder(Header).decode


def to_line(record: Record | Header) -> bytes:
    """Give a record as a line, dict keys sorted: equal records are equal bytes."""
    return _encode(record) + b"\n"


def canonical(value: Json) -> Json:
    """Give a value with whole floats as integers: engines do not keep 1 and 1.0 apart."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT_INTEGER else value
    if (content := as_dict(value)) is not None:
        return {key: canonical(item) for key, item in content.items()}
    if (items := as_list(value)) is not None:
        return [canonical(item) for item in items]
    return value


def read_header(line: bytes, name: str) -> tuple[Header, Schema]:
    """Read the first line.

    :raises InvalidRequestError: it is of another version, or its schema cannot be used.
    """
    try:
        header = _decode_header(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = f"is no header of {FORMAT}: {_reason(error)}"
        if not line.endswith(b"\n"):
            problem = "is cut off"
        message = f"{name}: line 1 {problem}"
        raise InvalidRequestError(message) from None
    if header.version != VERSION:
        message = (
            f"{name}: line 1: version {header.version} is unknown, this program reads {VERSION}"
        )
        raise InvalidRequestError(message)
    try:
        return header, Schema.from_dict(header.schema)
    except ConfigurationError as error:
        message = f"{name}: line 1: {error}"
        raise InvalidRequestError(message) from None


def read_record(line: bytes, name: str, number: int) -> Record:
    """Read another line.

    :raises InvalidRequestError: it is cut off, not JSON, or no record.
    """
    try:
        return _decode(line)
    except msgspec.ValidationError as error:
        message = f"{name}: line {number} is no record of a dump: {_reason(error)}"
        raise InvalidRequestError(message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "is cut off" if not line.endswith(b"\n") else f"is not JSON: {_reason(error)}"
        message = f"{name}: line {number} {problem}"
        raise InvalidRequestError(message) from None


def _reason(error: Exception) -> str:
    return str(error).replace("`", "").replace(" - at $.", ", at ")


def is_header(content: object) -> bool:
    """Say whether a decoded first line is a header of this form, of whatever version."""
    return (as_dict(content) or {}).get("format") == FORMAT
