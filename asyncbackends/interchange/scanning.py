"""The first look at a column dump: who is in it, what hangs together, which fields there are. Pure."""

from collections.abc import Container, Iterator
from itertools import chain
from typing import Final

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump
from asyncbackends.interchange.column_names import (
    IDENTITY_COLUMNS,
    Column,
    attr_of,
    decoded,
    identity_of,
    split_column,
)
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.inferring import SchemaSketch
from asyncbackends.object_model.values import canonical_id

__all__ = ("Entry", "Index", "Mutual", "scan")

SECOND: Final = 0xFFFFFFFF


class Entry(msgspec.Struct, gc=False):
    """What is remembered of a row that is an object."""

    row: str
    """The row's key as it stands in the dump."""
    obj_type: str
    key: str
    parent_type: str | None = None
    parent: str | None = None

    def __str__(self) -> str:
        return f"{self.obj_type} {self.row}"


class Mutual(msgspec.Struct):
    """A ref between two objects of one type, by the ends that store it."""

    ends: dict[str, object] = {}
    """Holder's uuid: attr."""


class Index:
    """Who is in a dump, and its links; the links as pairs of numbers, which take little room."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.sketch = SchemaSketch()
        self.refs: set[int] = set()
        self.parents: set[int] = set()
        self.back_refs: set[int] = set()
        self.children: set[int] = set()
        self.mutual: dict[str, dict[str, Mutual]] = {}
        """Same-type refs: by each end, by the other end."""
        self.broken: set[str] = set()
        """Ids whose row is damaged as a whole."""
        self.other_types: dict[str, str] = {}
        """The type that a column gives to an id which has no row."""
        self._numbers: dict[str, int] = {}

    def pair(self, first: str, second: str) -> int:
        """Give two ids as one number."""
        numbers = self._numbers
        return numbers.setdefault(first, len(numbers)) << 32 | numbers.setdefault(
            second, len(numbers)
        )

    def strangers(self) -> set[str]:
        """Give the ids that a ref or a parent leads to and that have no row."""
        ids = list(self._numbers)
        known = {self._numbers[uuid] for uuid in self.entries if uuid in self._numbers}
        links = chain(self.refs, self.parents)
        return {ids[number] for pair in links if (number := pair & SECOND) not in known}

    def forget_reverse_links(self) -> None:
        """Drop what is only compared once."""
        self.back_refs.clear()
        self.children.clear()
        self.other_types.clear()

    def unpaired(self, pairs: set[int]) -> Iterator[tuple[str, str]]:
        """Give pairs as ids, in order."""
        ids = list(self._numbers)
        yield from sorted((ids[pair >> 32], ids[pair & SECOND]) for pair in pairs)


def scan(
    dump: ColumnDump, named: Container[str], findings: Findings, index: Index
) -> Iterator[str]:
    """Look at every row, in order of the uuids; gives each row's key when it is done.

    :param named: ids that the name table has: of two rows with one name they come first.
    """
    names: dict[str, dict[str, str]] = {}
    for row in sorted(dump.rows, key=lambda row: (row not in named, row)):
        entry = _entry(dump, row, index, findings)
        if entry is not None:
            uuid, texts, found = entry
            holder = names.setdefault(found.obj_type, {}).setdefault(found.key, uuid)
            if holder == uuid:
                index.entries[uuid] = found
                _fields(index, uuid, found, texts, findings)
            else:
                reason = f"{found.obj_type} {holder} has the same name {found.key}"
                findings.damage(str(found), "fq_name", reason)
                index.broken.add(uuid)
        yield row


def _entry(
    dump: ColumnDump, row: str, index: Index, findings: Findings
) -> tuple[str, dict[str, str], Entry] | None:
    try:
        uuid = canonical_id(row)
    except InvalidRequestError as error:
        findings.damage(row, "", str(error))
        return None
    if uuid in index.entries:
        findings.damage(row, "", f"row {index.entries[uuid].row} has the same uuid")
        return None
    index.broken.add(uuid)
    try:
        texts, broken = dump.columns(dump.rows[row])
    except ValueError as error:
        findings.damage(row, "", str(error))
        return None
    for column in sorted(broken.keys() & IDENTITY_COLUMNS):
        findings.damage(row, column, broken[column])
        return None
    try:
        identity = identity_of(uuid, texts)
    except KeyError as error:
        column, reason = error.args
        findings.damage(row, column, reason)
        return None
    index.broken.discard(uuid)
    entry = Entry(row, identity.obj_type, identity.key, identity.parent_type)
    return uuid, texts, entry


def _fields(
    index: Index, uuid: str, entry: Entry, texts: dict[str, str], findings: Findings
) -> None:
    sketch = index.sketch.type(entry.obj_type)
    parents: list[Column] = []
    for column, text in texts.items():
        if column in IDENTITY_COLUMNS:
            continue
        try:
            split = split_column(column)
        except ValueError:
            continue  # the conversion reports it
        if split is None:
            findings.note(f"columns {column.partition(':')[0]} are left out")
            continue
        if split.dashed:
            findings.note("columns have a type's old name with dashes")
        if split.kind == "parent":
            parents.append(split)
        elif split.kind == "ref":
            index.refs.add(index.pair(uuid, split.rest))
            sketch.refs.add(split.name)
            if split.name == entry.obj_type:
                _mutual(index, uuid, split.rest, text)
        elif split.kind == "backref":
            index.back_refs.add(index.pair(split.rest, uuid))
            index.other_types.setdefault(split.rest, split.name)
        elif split.kind == "children":
            index.children.add(index.pair(split.rest, uuid))
            index.other_types.setdefault(split.rest, split.name)
        elif split.kind != "relaxbackref":
            sketch.add_field(split, text)
    _parent(index, uuid, entry, parents, findings)
    sketch.add_parent(entry.parent_type if entry.parent is not None else None)


def _mutual(index: Index, uuid: str, other: str, text: str) -> None:
    try:
        attr = attr_of(decoded(text))
    except ValueError:
        return
    known = index.mutual.get(other, {}).get(uuid) or Mutual()
    known.ends[uuid] = attr
    index.mutual.setdefault(uuid, {})[other] = known
    index.mutual.setdefault(other, {})[uuid] = known


def _parent(
    index: Index, uuid: str, entry: Entry, parents: list[Column], findings: Findings
) -> None:
    said = entry.parent_type
    if not parents:
        if said is not None:
            reason = f"it says {said}, but there is no column parent:{said}:...; it has no parent"
            findings.warn("parents without a link", str(entry), "parent_type", reason)
        return
    parents.sort(key=lambda column: (column.name != said, column.name, column.rest))
    chosen = parents[0]
    for other in parents[1:]:
        reason = f"its parent is {chosen.name} {chosen.rest} already"
        findings.damage(str(entry), f"parent:{other.name}:{other.rest}", reason)
    if chosen.name != said:
        reason = f"it says {said or 'nothing'}, the parent: column {chosen.name}, which is taken"
        findings.warn("parent types that differ", str(entry), "parent_type", reason)
    entry.parent_type, entry.parent = chosen.name, chosen.rest
    index.parents.add(index.pair(uuid, chosen.rest))
