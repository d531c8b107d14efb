"""What may be stored: ids, names and JSON values, checked before anything is sent."""

import enum
import math
import re
from collections.abc import Sequence
from typing import Final, cast
from uuid import UUID

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.narrowing import is_dict, is_list
from asyncbackends.protocols.values import Id, Json

__all__ = (
    "canonical_id",
    "canonical_ids",
    "checked_index_key",
    "checked_text",
    "encoded",
    "fq_key",
    "fq_name_of",
    "index_key",
    "json_equal",
    "json_text",
    "json_texts",
    "plain_text",
    "text_problem",
    "value_problem",
)

MAX_DEPTH: Final = 64
MAX_PARTS: Final = 32
INTEGERS: Final = (-(2**63), 2**64 - 1)
CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

NUL: Final = rb"\u0000"

_encode = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_name = msgspec.json.Decoder(list[str]).decode


def canonical_id(value: Id) -> str:
    """Give an id as canonical lower-case text.

    :raises InvalidRequestError: it is not a UUID.
    """
    if type(value) is str and CANONICAL_ID.fullmatch(value):
        return value
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        message = f"{value!r} is not a UUID"
        raise InvalidRequestError(message) from None


def canonical_ids(values: Sequence[Id]) -> list[str]:
    """Give ids as canonical text, in order.

    :raises InvalidRequestError: one is not a UUID, or they are one text.
    """
    if isinstance(values, (str, UUID)):
        message = f"ids are a list, not the one id {values!r}"
        raise InvalidRequestError(message)
    return [canonical_id(value) for value in values]


def fq_key(fq_name: Sequence[str], max_bytes: int = 1024) -> str:
    """Give a name as the text that is stored and compared: a JSON array without blanks.

    :raises InvalidRequestError: it is not 1 to 32 non-empty parts of at most ``max_bytes``.
    """
    if isinstance(fq_name, str) or not isinstance(fq_name, Sequence):
        message = f"an fq_name is a list of str, not {fq_name!r}"
        raise InvalidRequestError(message)
    if not 1 <= len(fq_name) <= MAX_PARTS:
        message = f"an fq_name has 1 to {MAX_PARTS} parts, not {len(fq_name)}"
        raise InvalidRequestError(message)
    for part in fq_name:
        if type(part) is not str or not part or text_problem(part):
            reason = text_problem(part) if type(part) is str and part else "not a non-empty str"
            message = f"fq_name part {part!r} is {reason}"
            raise InvalidRequestError(message)
    key = _encode(fq_name)
    if len(key) > max_bytes:
        message = f"an fq_name takes at most {max_bytes} bytes as JSON, this one {len(key)}"
        raise InvalidRequestError(message)
    return key.decode()


def fq_name_of(key: str) -> list[str]:
    """Give the name whose :func:`fq_key` is ``key``."""
    return _decode_name(key)


def checked_text(value: object, what: str, max_bytes: int = 255) -> str:
    """Give ``value`` if it is text of 1 to ``max_bytes`` bytes.

    :raises InvalidRequestError: naming ``what``.
    """
    if type(value) is not str:
        message = f"{what} is a str, not {value!r}"
        raise InvalidRequestError(message)
    problem = text_problem(value)
    if problem is None and not 1 <= len(value.encode()) <= max_bytes:
        problem = f"not of 1 to {max_bytes} bytes"
    if problem is not None:
        message = f"{what} {value[:80]!r} is {problem}"
        raise InvalidRequestError(message)
    return value


def text_problem(text: str) -> str | None:
    """Say what text cannot be stored for, or None."""
    if "\0" in text:
        return "text with a NUL"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "text with a lone surrogate"
    return None


def json_text(value: Json, what: str, max_bytes: int | None = None) -> str:
    """Check a value and give it as JSON text.

    :param what: names the value in the error.
    :raises InvalidRequestError: it is not JSON, or longer than ``max_bytes``.
    """
    if value is None:
        return "null"
    text = plain_text(value)
    if text is None:
        problem = value_problem(value)
        if problem is not None:
            message = f"{what}{problem}"
            raise InvalidRequestError(message)
        text = encoded(value)
    if max_bytes is not None and len(text.encode()) > max_bytes:
        message = f"{what} takes more bytes as JSON than the {max_bytes} that this engine stores"
        raise InvalidRequestError(message)
    return text


def json_texts(values: list[Json], what: str, max_bytes: int | None = None) -> list[str]:
    """Check values and give each as JSON text; the error names one by its number."""
    if max_bytes is None and plain_text(values) is not None:
        return [encoded(value) for value in values]
    return [json_text(value, f"{what}[{at}]", max_bytes) for at, value in enumerate(values)]


def encoded(value: Json) -> str:
    """Give a value that was checked as JSON text."""
    return _encode(value).decode()


def plain_text(value: Json) -> str | None:
    """Give a value as JSON text if it surely may be stored; None: :func:`value_problem` decides.

    A round trip in C shows in about two thirds of the time what that walk would: bytes, sets,
    tuples, Decimal, NaN and keys that are no text do not come back equal, msgpack refuses integers
    beyond 64 bits, and more brackets than levels are allowed may be too deep.
    """
    try:
        text = _encode(value)
        if NUL in text or text.count(b"[") + text.count(b"{") > MAX_DEPTH:
            return None
        _encode_msgpack(value)
        return text.decode() if _decode(text) == value else None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def value_problem(value: Json, depth: int = 0) -> str | None:
    """Say where and why a value cannot be stored, or None.

    msgspec is not this gate: it encodes bytes, sets, Decimal, NaN and int keys without a word.
    """
    kind = cast("type[object]", type(value))
    if kind is str:
        problem = text_problem(value)
        return None if problem is None else f" is {problem}"
    if value is None or kind is bool:
        return None
    if kind is int:
        return None if INTEGERS[0] <= value <= INTEGERS[1] else " is not within -2**63 .. 2**64-1"
    if kind is float:
        return None if math.isfinite(value) else f" is {value}, not a finite number"
    if is_dict(value):
        return _dict_problem(value, depth + 1)
    if is_list(value):
        return _list_problem(value, depth + 1)
    if isinstance(value, enum.Enum) and type(value.value) in {str, int}:
        return value_problem(value.value)
    cure = "; give it as a list" if isinstance(value, (tuple, set, frozenset)) else ""
    return f" is {kind.__name__}, which JSON does not have{cure}"


def _dict_problem(value: dict[object, Json], depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f" is nested deeper than {MAX_DEPTH}"
    for key, item in value.items():
        if type(key) is not str:
            return f" has the key {key!r}, which is not a str"
        problem = text_problem(key)
        if problem is not None:
            return f" has a key that is {problem}"
        problem = value_problem(item, depth)
        if problem is not None:
            return f"[{key!r}]{problem}"
    return None


def _list_problem(value: list[Json], depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f" is nested deeper than {MAX_DEPTH}"
    for position, item in enumerate(value):
        problem = value_problem(item, depth)
        if problem is not None:
            return f"[{position}]{problem}"
    return None


def json_equal(left: Json, right: Json) -> bool:
    """Compare as JSON does: numbers by value, and a boolean is not a number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if is_dict(left) and is_dict(right):
        return left.keys() == right.keys() and all(
            json_equal(item, right[key]) for key, item in left.items()
        )
    if is_list(left) and is_list(right):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


def checked_index_key(value: Json, where: str) -> str:
    """Give the :func:`index_key` of a value of an indexed property.

    :raises InvalidRequestError: naming ``where``: it is not a scalar.
    """
    key = index_key(value)
    if key is None:
        message = f"{where} is indexed: it takes text, a number or a boolean"
        raise InvalidRequestError(message)
    return key


def index_key(value: Json) -> str | None:
    """Give the text under which an indexed scalar is found; None for what is not a scalar.

    Two scalars have the same key exactly when they are :func:`json_equal`.
    """
    if isinstance(value, bool):
        return "b:true" if value else "b:false"
    if isinstance(value, str):
        return f"s:{value}"
    if isinstance(value, float) and value.is_integer():
        return f"n:{int(value)}"
    if isinstance(value, (int, float)):
        return f"n:{value!r}"
    return None
