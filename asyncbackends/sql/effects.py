"""What a write unit puts and takes away, as rows; an adapter applies all of it, or nothing."""

from typing import Final, NamedTuple

import msgspec

__all__ = (
    "CREATED",
    "DELETED",
    "NOBODY",
    "UPDATED",
    "Applied",
    "Effects",
    "Guard",
    "NewChange",
    "NewElement",
    "NewIndex",
    "NewKvRow",
    "NewObject",
    "NewRef",
    "NewShare",
    "RefKey",
    "Target",
)

CREATED, UPDATED, DELETED = range(3)
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""The ``twin`` of the object that has its name; a legacy duplicate has its own uuid there."""


class Guard(NamedTuple):
    """An object that must be there, of this type; with a revision, at that revision."""

    uuid: str
    type: str
    revision: int | None


class Target(NamedTuple):
    """An object that must be there, and stay until the end of the unit: by uuid, by name or both.

    Given by name alone it must be the only one of that name; see :class:`NewRef`.
    """

    type: str
    uuid: str | None
    fq: str | None


class NewObject(NamedTuple):
    """A row of ``object``; it takes over a tombstone with its uuid.

    A parent given by ``parent_fq`` alone is found by (parent_type, parent_fq), the first by uuid;
    a parent that is not found refuses the unit. With ``unique`` nobody else may have the name, and
    ``twin`` is NOBODY.
    """

    uuid: str
    type: str
    fq: str
    twin: str
    unique: bool
    parent_type: str | None
    parent_uuid: str | None
    parent_fq: str | None


class NewElement(NamedTuple):
    """An element to put; it replaces the one at its item."""

    uuid: str
    field: str
    item: str
    value: str


class NewRef(NamedTuple):
    """A ref to put; one that was relaxed stays so.

    ``from_fq`` None is read from ``object``. ``to_uuid`` None is found by (to_type, to_fq), the
    first by uuid. ``to_fq`` None is read from ``object``, unless ``dangling``: then it stays
    NULL, and a tombstone is made where there is nothing with that uuid.
    """

    from_uuid: str
    from_type: str
    from_fq: str | None
    to_type: str
    to_uuid: str | None
    to_fq: str | None
    attr: str
    relaxed: bool
    dangling: bool


class RefKey(NamedTuple):
    """A ref."""

    from_uuid: str
    to_uuid: str


class NewIndex(NamedTuple):
    """An entry of the index of properties."""

    type: str
    prop: str
    item: str
    uuid: str


class NewShare(NamedTuple):
    """A share to put, or with ``rwx`` None to take away."""

    type: str
    share_type: str
    share_id: str
    uuid: str
    rwx: int | None


class NewKvRow(NamedTuple):
    """A row of columns to put, or with ``columns`` None to take away.

    ``seen`` is the revision it was read at, 0 where there was none: else the unit is refused.
    ``offset`` says which of the unit's revisions it takes, from 1 on.
    """

    row_table: str
    name: str
    columns: str | None
    seen: int
    offset: int


class NewChange(NamedTuple):
    """A change of an object, which takes the unit's revision number ``offset``, from 1 on."""

    offset: int
    op: int
    type: str
    uuid: str


class Effects(msgspec.Struct, kw_only=True):
    """One write unit.

    Order: the fence; guards and targets are locked and checked; rows are put and taken away; last
    the counter is raised by ``revisions``, and ``state`` and ``changes`` get their revisions, which
    are the counter's value before it plus their offset. An object whose uuid is in ``changes`` with
    CREATED gets a new row of ``state`` (it may be there with UPDATED, too); with UPDATED alone its
    row is changed; either way to the revision of its last change and the time. ``revisions`` 0
    leaves the counter alone. No two rows of one list have the same key, and no key stands in a
    list of rows to put and in the one of rows to take away.
    """

    stamp: int
    """The counter's ``stamp`` that ``indexes`` were made by: another one refuses the unit."""
    revisions: int = 0
    fence: tuple[str, int, int] | None = None
    """(name, epoch, token); refused where (epoch, token) is below the highest."""
    guards: list[Guard] = msgspec.field(default_factory=list[Guard])
    targets: list[Target] = msgspec.field(default_factory=list[Target])
    needed_refs: list[tuple[str, str, str]] = msgspec.field(
        default_factory=list[tuple[str, str, str]]
    )
    """(from_uuid, to_type, to_uuid) that must be there."""
    objects: list[NewObject] = msgspec.field(default_factory=list[NewObject])
    gone: list[str] = msgspec.field(default_factory=list[str])
    """Objects to take away; what else hangs on them goes by cascade. A child or a ref to one of
    them that this unit does not take away refuses it."""
    buried: list[str] = msgspec.field(default_factory=list[str])
    """Objects that become tombstones: their own rows elsewhere go, refs to them get to_fq NULL."""
    documents: list[tuple[str, str]] = msgspec.field(default_factory=list[tuple[str, str]])
    """(uuid, properties) to put."""
    elements: list[NewElement] = msgspec.field(default_factory=list[NewElement])
    appended: tuple[str, str, str] | None = None
    """(uuid, field, value) of an element that goes behind the last one, if that has the item of a
    number (or there is none) below 999 999 999: else, or when somebody else is faster, refused."""
    elements_gone: list[tuple[str, str, str]] = msgspec.field(
        default_factory=list[tuple[str, str, str]]
    )
    """(uuid, field, item)"""
    refs: list[NewRef] = msgspec.field(default_factory=list[NewRef])
    refs_gone: list[RefKey] = msgspec.field(default_factory=list[RefKey])
    refs_relaxed: list[RefKey] = msgspec.field(default_factory=list[RefKey])
    indexes: list[NewIndex] = msgspec.field(default_factory=list[NewIndex])
    indexes_gone: list[tuple[str, str]] = msgspec.field(default_factory=list[tuple[str, str]])
    """(uuid, prop)"""
    shares: list[NewShare] = msgspec.field(default_factory=list[NewShare])
    useragent: list[tuple[str, str | None]] = msgspec.field(
        default_factory=list[tuple[str, str | None]]
    )
    """(name, value) to put, or with None to take away."""
    kv_rows: list[NewKvRow] = msgspec.field(default_factory=list[NewKvRow])
    changes: list[NewChange] = msgspec.field(default_factory=list[NewChange])


class Applied(NamedTuple):
    """What a unit was given."""

    before: int
    """The counter before it: a row's revision is this plus its offset."""
    now: int
    """The server's clock, in microseconds since 1970."""
