"""Writes, checked and encoded: what an engine applies, and what a batch holds.

Each is a snapshot: values are JSON text already, so a caller may change its dict afterwards.
"""

from typing import TypeAlias

import msgspec

__all__ = (
    "Create",
    "Delete",
    "ElementStep",
    "ElementUpdate",
    "KvDelete",
    "KvPut",
    "KvReplace",
    "PlainWrite",
    "RefTarget",
    "RefUpdate",
    "Relax",
    "RevisedWrite",
    "Share",
    "Update",
    "UseragentDelete",
    "UseragentStore",
    "Write",
)


class RefTarget(msgspec.Struct, frozen=True):
    """Where a ref leads: ``uuid``, ``key`` (the fq_key of its name) or both; ``attr`` is JSON."""

    to_type: str
    uuid: str | None
    key: str | None
    attr: str


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Create an object."""

    obj_type: str
    uuid: str
    key: str
    """The fq_key of its name."""
    parent_type: str | None
    parent_uuid: str | None
    parent_key: str | None
    """The fq_key of the parent's name where only that is known."""
    document: str
    """Its scalar and structured properties, a JSON object."""
    index: dict[str, str]
    """Indexed properties that it has: their index_key."""
    elements: dict[str, list[tuple[str, str]]]
    """Per collection: (position or key, JSON) in order."""
    refs: dict[str, list[RefTarget]]
    """Per target type."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Change an object; what is not named is untouched."""

    obj_type: str
    uuid: str
    key: str | None
    parent_type: str | None
    parent_uuid: str | None
    """``key`` and ``parent_*`` where repeated: refused when they differ from what is stored."""
    properties: dict[str, str | None]
    """JSON, or None to remove."""
    index: dict[str, str | None]
    elements: dict[str, list[tuple[str, str]]]
    refs: dict[str, list[RefTarget]]
    """``elements`` and ``refs`` replace the whole of each that is named."""
    expected_revision: int | None


class Delete(msgspec.Struct, frozen=True):
    """Delete an object."""

    obj_type: str
    uuid: str
    expected_revision: int | None


class ElementStep(msgspec.Struct, frozen=True):
    """Put (with ``text``) or delete (without) one element; ``position`` None appends."""

    field: str
    position: str | None
    text: str | None


class ElementUpdate(msgspec.Struct, frozen=True):
    """Change elements of an object's collections, in order."""

    obj_type: str
    uuid: str
    steps: list[ElementStep]
    expected_revision: int | None


class RefUpdate(msgspec.Struct, frozen=True):
    """Add (with ``attr``) or delete (without) one ref."""

    obj_type: str
    uuid: str
    to_type: str
    to_uuid: str
    attr: str | None
    relax: bool
    expected_revision: int | None


class Relax(msgspec.Struct, frozen=True):
    """Let ``to_uuid`` be deleted although ``uuid`` refers to it."""

    uuid: str
    to_uuid: str


class Share(msgspec.Struct, frozen=True):
    """Share an object, or with ``rwx`` None end the share."""

    obj_type: str
    uuid: str
    share_type: str
    share_id: str
    rwx: int | None


class UseragentStore(msgspec.Struct, frozen=True):
    """Store a text."""

    key: str
    value: str


class UseragentDelete(msgspec.Struct, frozen=True):
    """Delete a text."""

    key: str


class KvPut(msgspec.Struct, frozen=True):
    """Set columns (JSON) of a row."""

    table: str
    key: str
    columns: dict[str, str]


class KvDelete(msgspec.Struct, frozen=True):
    """Delete columns of a row, or the row."""

    table: str
    key: str
    columns: tuple[str, ...] | None


class KvReplace(msgspec.Struct, frozen=True):
    """Make columns (JSON) the whole row."""

    table: str
    key: str
    columns: dict[str, str]
    expected_revision: int | None


RevisedWrite: TypeAlias = (
    Create | Update | Delete | ElementUpdate | RefUpdate | KvPut | KvDelete | KvReplace
)
"""Writes that take a revision: their result is a WriteResult."""
PlainWrite: TypeAlias = Relax | Share | UseragentStore | UseragentDelete
"""Writes that do not: their result is None."""
Write: TypeAlias = RevisedWrite | PlainWrite
