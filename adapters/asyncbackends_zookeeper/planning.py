"""What a transaction asks of the server, on the condition that all that was read is still so. Pure.

The server applies the parts in order, each seeing what those before it did, as operations do.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec

from asyncbackends.coordination.paths import ROOT, ancestors, parent
from asyncbackends.coordination.transaction import (
    CheckExists,
    CheckVersion,
    Create,
    Delete,
    Guard,
    NodeOperation,
    Update,
)
from asyncbackends_zookeeper.codes import Op
from asyncbackends_zookeeper.jute import Znode, check_body, delete_body, set_body
from asyncbackends_zookeeper.multi import Part, created, created_with_stat
from asyncbackends_zookeeper.names import Names

__all__ = ("Plan", "guessed", "planned")

ANY: Final = -1


class Plan(msgspec.Struct):
    """The parts of a request, and which of them tells the stat of which operation."""

    parts: list[Part]
    told: list[int | None]


def planned(
    operations: Sequence[NodeOperation], znodes: Mapping[str, Znode], names: Names, acl: bytes
) -> Plan:
    """Plan operations that are not refused as things are.

    :param znodes: what is there of all that the operations are about, the root included.
    """
    planning = _Planning(znodes, names, acl)
    told = [planning.add(operation) for operation in operations]
    before = planning.absences()
    return Plan(
        [*before, *planning.parts], [None if at is None else at + len(before) for at in told]
    )


def guessed(operations: Sequence[NodeOperation], names: Names, acl: bytes) -> Plan | None:
    """Plan operations for which nothing has to be known, if all parents are there; else None.

    Whatever the server refuses may be right all the same.
    """
    for operation in operations:
        match operation:
            case Create(path) if path != ROOT:
                pass
            case Update(_, _, None) | Delete(_, False, None):
                pass
            case CheckExists(path, exists=True) if path != ROOT:
                pass
            case _:
                return None
    planning = _Planning({}, names, acl, guesses=True)
    told = [planning.add(operation) for operation in operations]
    return Plan(planning.parts, told)


class _Planning:
    def __init__(
        self, znodes: Mapping[str, Znode], names: Names, acl: bytes, *, guesses: bool = False
    ) -> None:
        self._znodes = znodes
        self._names = names
        self._acl = acl
        self._guesses = guesses
        self._there = {*znodes}
        self._touched: set[str] = set()
        """What the operations made or took away."""
        self._updates: dict[str, int] = {}
        """How often the operations set the value of what was there."""
        self._absent: dict[str, bool] = {}
        """What must not be there, and whether the operations make it themselves."""
        self.parts: list[Part] = []

    def add(self, operation: NodeOperation) -> int | None:
        match operation:
            case Create(path, value, ephemeral):
                for above in () if self._guesses else (ROOT, *ancestors(path)):
                    if above not in self._there:
                        self._create(above, created(self._names.znode(above), self._acl))
                znode = self._names.znode(path)
                return self._create(
                    path, created_with_stat(znode, value, self._acl, ephemeral=ephemeral)
                )
            case Update(path, value, expected):
                version = ANY if expected is None else self._version(path)
                self._updates[path] = self._updates.get(path, 0) + 1
                return self._part(Op.SET_DATA, set_body(self._names.znode(path), value, version))
            case Delete(path, _, expected):
                version = ANY if expected is None else self._version(path)
                self._touched.add(path)
                self._there.discard(path)
                self._part(Op.DELETE, delete_body(self._names.znode(path), version))
            case CheckVersion(path) | CheckExists(path, exists=True):
                known = path not in self._touched and path in self._znodes and path != ROOT
                if known or self._guesses:
                    is_any = isinstance(operation, CheckExists)
                    self._check(path, ANY if is_any else self._version(path))
            case CheckExists(path):
                self._must_be_absent(path)
            case Guard(ticket):
                self._check(ticket.path, self._version(ticket.path))
            case _ as never:
                assert_never(never)
        return None

    def _part(self, op: Op, body: bytes) -> int:
        self.parts.append(Part(op, body))
        return len(self.parts) - 1

    def _create(self, path: str, parts: Sequence[Part]) -> int:
        if path not in self._touched and path in self._absent:
            self._absent[path] = True
        self._touched.add(path)
        self._there.add(path)
        self.parts += parts
        return len(self.parts) - 1

    def _check(self, path: str, version: int) -> None:
        self._part(Op.CHECK, check_body(self._names.znode(path), version))

    def _version(self, path: str) -> int:
        return self._znodes[path].version + self._updates.get(path, 0)

    def _must_be_absent(self, path: str) -> None:
        if path in self._touched:
            return
        above = (ROOT, *ancestors(path), path)
        top = next((one for one in above if one not in self._znodes), None)
        # Where it was made or taken away before, that says it.
        if top is not None and top not in self._touched:
            self._absent.setdefault(top, False)

    def absences(self) -> list[Part]:
        """Give what finds out that nodes are not there, as far as nothing else does."""
        found: list[Part] = []
        for path, is_made in self._absent.items():
            if is_made:
                continue
            above = self._znodes.get(parent(path)) if path != ROOT else None
            if above is not None and above.owner:
                # An ephemeral node has no children.
                check = check_body(self._names.znode(parent(path)), above.version)
                found.append(Part(Op.CHECK, check))
                continue
            znode = self._names.znode(path)
            found += created(znode, self._acl)
            found.append(Part(Op.DELETE, delete_body(znode, ANY)))
        return found
