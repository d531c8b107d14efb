"""What operations come to on what was read: for engines that commit by comparing. Pure.

Such an engine reads what :func:`looks_of` names, asks :func:`evaluate`, and writes what it gives on
the condition that all that was read is still so; if it is not, it begins anew.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias, assert_never

import msgspec

from asyncbackends.coordination import refusals
from asyncbackends.coordination.paths import ROOT, ancestors, name, parent
from asyncbackends.coordination.transaction import (
    CheckExists,
    CheckVersion,
    Create,
    Delete,
    Guard,
    NodeOperation,
    Update,
)
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.errors import BackendError
from asyncbackends.protocols.nodes import NodeStat, Ticket

__all__ = ("Evaluation", "Looks", "Write", "WriteKind", "evaluate", "looks_of")

WriteKind: TypeAlias = Literal["create", "update", "delete"]


class Looks(msgspec.Struct, frozen=True):
    """What has to be read."""

    nodes: frozenset[str]
    """Paths whose stats are needed; the root, which is always there, is not among them."""
    children: frozenset[str]
    """Paths the names of whose direct children are needed."""


class Write(msgspec.Struct):
    """What becomes of one node."""

    path: str
    kind: WriteKind
    value: bytes
    """Nothing for a delete."""
    ephemeral: bool
    """Of a create: it goes with the session; of an update: it is ephemeral already."""
    before: NodeStat | None
    """What was there; None for a create."""


class Evaluation(msgspec.Struct):
    """What operations come to."""

    writes: dict[str, Write]
    """At most one of each path, in the order of the operations, parents before children."""
    told: list[str | None]
    """For each operation the path whose stat it gives, None where it gives none."""


def looks_of(operations: Sequence[NodeOperation]) -> Looks:
    """Say what :func:`evaluate` needs for operations, none of which is recursive."""
    nodes: set[str] = set()
    children: set[str] = set()
    for operation in operations:
        match operation:
            case Create(path):
                nodes.update((path, *ancestors(path)))
            case Delete(path):
                nodes.add(path)
                children.add(path)
            case CheckVersion(path) | CheckExists(path) | Update(path):
                nodes.add(path)
            case Guard(ticket):
                nodes.add(ticket.path)
            case _ as never:
                assert_never(never)
    return Looks(frozenset(nodes - {ROOT}), frozenset(children))


def evaluate(
    operations: Sequence[NodeOperation],
    stats: Mapping[str, NodeStat],
    children: Mapping[str, Collection[str]],
) -> Evaluation:
    """Apply operations in order, each seeing what those before it did.

    :param stats: of the nodes that are there, of those that were to be read.
    :param children: names of the direct children that are there, by path.
    :raises RefusedError: one is refused.
    """
    edit = _Edit(stats, children)
    told: list[str | None] = []
    for index, operation in enumerate(operations):
        try:
            told.append(edit.apply(operation))
        except BackendError as error:
            raise RefusedError(index, error) from error
    return Evaluation({path: write for path, write in edit.writes.items() if write}, told)


class _Edit:
    def __init__(
        self, stats: Mapping[str, NodeStat], children: Mapping[str, Collection[str]]
    ) -> None:
        self._stats = stats
        self._children = children
        self.writes: dict[str, Write | None] = {}
        """None is what came and went."""

    def apply(self, operation: NodeOperation) -> str | None:
        match operation:
            case Create(path, value, ephemeral, make_parents):
                self._create(path, value, ephemeral=ephemeral, make_parents=make_parents)
                return path
            case Update(path, value, expected_version):
                self._update(path, value, expected_version)
                return path
            case Delete(path, _, expected_version):
                self._delete(path, expected_version)
            case CheckVersion(path, version):
                self._check_version(path, version)
            case CheckExists(path, exists):
                self._check_exists(path, exists)
            case Guard(ticket):
                self._guard(ticket)
            case _ as never:
                assert_never(never)
        return None

    def _create(self, path: str, value: bytes, *, ephemeral: bool, make_parents: bool) -> None:
        if self._exists(path):
            raise refusals.node_exists(path, self._stats.get(path))
        missing = [above for above in ancestors(path) if not self._exists(above)]
        if missing and not make_parents:
            raise refusals.no_parent(path, missing[-1])
        present = parent((missing or [path])[0])
        if self._is_ephemeral(present):
            raise refusals.under_ephemeral(path, present)
        for above in missing:
            self._put(above, b"", ephemeral=False)
        self._put(path, value, ephemeral=ephemeral)

    def _put(self, path: str, value: bytes, *, ephemeral: bool) -> None:
        # What goes and comes again is one write: its parents may come after it no more.
        before = self._stats.get(path)
        self.writes.pop(path, None)
        self.writes[path] = Write(path, "create", value, ephemeral, before)

    def _update(self, path: str, value: bytes, version: int | None) -> None:
        self._check_version(path, version)
        write = self.writes.get(path)
        if write is not None:
            write.value = value
            return
        before = self._stats[path]
        ephemeral = before.ephemeral_owner is not None
        self.writes[path] = Write(path, "update", value, ephemeral, before)

    def _delete(self, path: str, version: int | None) -> None:
        self._check_version(path, version)
        names = {one for one in self._children.get(path, ()) if self._exists(f"{path}/{one}")}
        names |= {
            name(one) for one, write in self.writes.items() if parent(one) == path and _puts(write)
        }
        if names:
            raise refusals.has_children(path, names)
        before = self._stats.get(path)
        self.writes.pop(path, None)
        if before is None:
            self.writes[path] = None
        else:
            self.writes[path] = Write(path, "delete", b"", ephemeral=False, before=before)

    def _check_version(self, path: str, version: int | None) -> None:
        if not self._exists(path):
            raise refusals.no_node(path)
        actual = self._version(path)
        if version is not None and version != actual:
            raise refusals.other_version(path, version, actual)

    def _check_exists(self, path: str, exists: bool) -> None:
        if exists and not self._exists(path):
            raise refusals.no_node(path)
        if not exists and self._exists(path):
            raise refusals.node_exists(path, self._stats.get(path))

    def _guard(self, ticket: Ticket) -> None:
        stat, write = self._stats.get(ticket.path), self.writes.get(ticket.path)
        is_there = stat is not None and stat.created_revision == ticket.order
        if not is_there or (write is not None and write.kind != "update"):
            raise refusals.no_ticket(ticket)

    def _exists(self, path: str) -> bool:
        if path == ROOT:
            return True
        if path in self.writes:
            return _puts(self.writes[path])
        return path in self._stats or self._is_listed(path)

    def _is_listed(self, path: str) -> bool:
        """Say whether it is a child of what is deleted, whose own stat nobody asked for."""
        return name(path) in self._children.get(parent(path), ())

    def _version(self, path: str) -> int:
        """Give a version; what this very unit wrote has one that nobody can know: -1."""
        if path == ROOT:
            return 0
        return -1 if path in self.writes else self._stats[path].version

    def _is_ephemeral(self, path: str) -> bool:
        if path == ROOT:
            return False
        write = self.writes.get(path)
        if write is not None:
            return write.ephemeral
        return self._stats[path].ephemeral_owner is not None


def _puts(write: Write | None) -> bool:
    return write is not None and write.kind != "delete"
