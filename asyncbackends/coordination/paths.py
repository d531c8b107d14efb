"""Paths and values of nodes: checked before anything is sent, the same on every engine."""

import re
from typing import Final

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeValue

__all__ = (
    "MAX_PATH_BYTES",
    "MAX_SEGMENT_BYTES",
    "MAX_VALUE_BYTES",
    "ROOT",
    "ancestors",
    "changeable_path",
    "checked_path",
    "checked_value",
    "child",
    "is_below",
    "name",
    "parent",
)

ROOT: Final = "/"
MAX_PATH_BYTES: Final = 4096
MAX_SEGMENT_BYTES: Final = 255
MAX_VALUE_BYTES: Final = 1_000_000
PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
"""What most paths are: surely right if short, and cheap to tell."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked_path(path: str) -> str:
    """Give ``path`` if it is one: ``/``, or non-empty segments that each follow a slash.

    :raises InvalidRequestError: it is not, or has more than 4096 bytes of UTF-8, or a segment has
        more than 255.
    """
    if type(path) is str and len(path) <= MAX_SEGMENT_BYTES and PLAIN.fullmatch(path):
        return path
    problem = _path_problem(path)
    if problem is not None:
        shown = repr(path[:80]) if isinstance(path, str) else repr(path)
        message = f"the path {shown} {problem}"
        raise InvalidRequestError(message)
    return path


def _path_problem(path: object) -> str | None:
    if type(path) is not str:
        return "is not a str"
    if not path.startswith(ROOT):
        return "does not start with a slash"
    if path == ROOT:
        return None
    if CONTROL.search(path):
        return "has a control character"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "has a lone surrogate, which UTF-8 does not have"
    if size > MAX_PATH_BYTES:
        return f"has {size} bytes of UTF-8, more than {MAX_PATH_BYTES}"
    for segment in path[1:].split("/"):
        if segment in {"", ".", ".."}:
            return f"has the segment {segment!r}"
        if size > MAX_SEGMENT_BYTES and len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"has a segment of more than {MAX_SEGMENT_BYTES} bytes of UTF-8"
    return None


def changeable_path(path: str) -> str:
    """Give ``path`` if it is one whose node can be updated or deleted: not the root.

    :raises InvalidRequestError: it is not.
    """
    if checked_path(path) == ROOT:
        message = "the root always exists: it is neither updated nor deleted"
        raise InvalidRequestError(message)
    return path


def checked_value(value: NodeValue) -> bytes:
    """Give a value as bytes: text as UTF-8, None as none.

    :raises InvalidRequestError: it is something else, or has more than 1 000 000 bytes.
    """
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            value = value.encode()
        except UnicodeEncodeError:
            message = "the value has a lone surrogate, which UTF-8 does not have"
            raise InvalidRequestError(message) from None
    if type(value) is not bytes:
        message = f"a node's value is bytes, str or None, not {type(value).__name__}"
        raise InvalidRequestError(message)
    if len(value) > MAX_VALUE_BYTES:
        message = f"a node's value has at most {MAX_VALUE_BYTES} bytes, this one {len(value)}"
        raise InvalidRequestError(message)
    return value


def parent(path: str) -> str:
    """Give the path above; the root is its own."""
    return path.rpartition("/")[0] or ROOT


def name(path: str) -> str:
    """Give the last segment; "" for the root."""
    return path.rpartition("/")[2]


def child(path: str, segment: str) -> str:
    """Give the path of a child."""
    return f"/{segment}" if path == ROOT else f"{path}/{segment}"


def ancestors(path: str) -> list[str]:
    """Give the paths above, the root left out, the topmost first."""
    segments = path[1:].split("/")[:-1]
    return ["/" + "/".join(segments[: end + 1]) for end in range(len(segments))]


def is_below(path: str, above: str) -> bool:
    """Say whether ``path`` is somewhere below ``above``."""
    return path != above and path.startswith(child(above, ""))
