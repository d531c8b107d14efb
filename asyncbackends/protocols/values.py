"""The values that go in and out of the configuration database."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec

__all__ = (
    "ALL_FIELDS",
    "AllFields",
    "Change",
    "CollectionUpdate",
    "ConfigObject",
    "Fence",
    "FieldNames",
    "Gap",
    "GapReason",
    "Id",
    "Json",
    "ObjectPage",
    "RefOperation",
    "WriteResult",
)

Id: TypeAlias = UUID | str
"""An object's id: taken as UUID or as text, given back as canonical lower-case text."""

Json: TypeAlias = Any
"""None, bool, int (-2**63 .. 2**64-1), finite float, str without NUL, list, dict with str keys."""

RefOperation: TypeAlias = Literal["ADD", "DELETE"]

ItemT = TypeVar("ItemT")


class AllFields(enum.Enum):
    """The type of ALL_FIELDS."""

    ALL_FIELDS = "all fields"


ALL_FIELDS = AllFields.ALL_FIELDS
"""As ``field_names``: properties, refs, back refs and children."""

FieldNames: TypeAlias = Sequence[str] | AllFields | None


class ConfigObject(dict[str, Json]):
    """An object as a dict, with what the engine keeps beside it.

    Keys: ``uuid``, ``fq_name`` (list of str), ``parent_type`` and ``parent_uuid`` if it has a
    parent, properties, ``<type>_refs``, ``<type>_back_refs``, ``<type>s`` for children. What is
    absent is an absent key, never None or an empty collection. It equals a plain dict with the
    same content.
    """

    __slots__ = ("created", "last_modified", "revision")

    def __init__(
        self,
        content: Mapping[str, Json],
        *,
        revision: int,
        created: datetime,
        last_modified: datetime,
    ) -> None:
        super().__init__(content)
        self.revision = revision
        self.created = created
        self.last_modified = last_modified


class WriteResult(msgspec.Struct, frozen=True):
    """What a write did.

    ``revision`` is the object's revision after it, ``last_modified`` its time (UTC,
    microseconds), ``peers`` the uuids of other objects that changed with it: the other ends of
    same-type refs, and holders whose relaxed ref went with a deleted object.
    """

    revision: int
    last_modified: datetime
    peers: tuple[str, ...] = ()


class ObjectPage(msgspec.Struct, Generic[ItemT], frozen=True):
    """A page of a list: its items, and the marker of the next page, None on the last one."""

    items: list[ItemT]
    marker: str | None = None

    def __iter__(self) -> Iterator[ItemT]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class CollectionUpdate(msgspec.Struct, frozen=True):
    """One change of a list or map property.

    For a list: ``add`` (at ``position``, or after the highest one when it is None), ``modify``
    and ``delete`` (at ``position``). For a map: ``set`` (an element that holds its key) and
    ``delete`` (the key as ``position``). ``add`` and ``modify`` replace what is at the position,
    ``delete`` of what is not there does nothing, so all but ``add`` without a position can be
    repeated.
    """

    field: str
    operation: Literal["add", "modify", "set", "delete"]
    value: Json = None
    position: str | None = None


class Change(msgspec.Struct, frozen=True):
    """One object was created, updated or deleted by the write with that ``revision``."""

    revision: int
    op: Literal["create", "update", "delete"]
    obj_type: str
    uuid: str


GapReason: TypeAlias = Literal["reconnect", "compacted", "overflow", "recreated"]
"""Why something may have been missed."""


class Gap(msgspec.Struct, frozen=True):
    """You may have missed something, for this reason; ``since`` is the last that was surely seen."""

    reason: GapReason
    since: int | None = None


class Fence(msgspec.Struct, frozen=True, order=True):
    """A token from a lock or a term: the database refuses a lower one under the same name.

    Compared as (``epoch``, ``token``). ``name`` is the coordination namespace and path.
    """

    name: str
    epoch: int
    token: int

    @property
    def order(self) -> tuple[int, int]:
        """What fences of one name are compared by."""
        return (self.epoch, self.token)
