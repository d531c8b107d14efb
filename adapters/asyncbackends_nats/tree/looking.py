"""What a unit of operations stands on: nodes as they were read, and on what to insist. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from asyncbackends.coordination.evaluating import Evaluation
from asyncbackends.coordination.paths import ROOT, ancestors, name, parent
from asyncbackends.coordination.transaction import (
    CheckExists,
    CheckVersion,
    Create,
    Delete,
    Guard,
    NodeOperation,
)
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_nats.tree.records import Record
from asyncbackends_nats.tree.subjects import Subjects

__all__ = ("Look", "highest")


def highest(records: Iterable[Record], one: str) -> int:
    """Give the highest sequence of what matches a filter, 0 for nothing."""
    if one.endswith(">"):
        start = one[:-1]
        return max((r.sequence for r in records if r.subject.startswith(start)), default=0)
    if one.endswith("*"):
        start, dots = one[:-1], one.count(".")
        return max(
            (
                r.sequence
                for r in records
                if r.subject.startswith(start) and r.subject.count(".") == dots
            ),
            default=0,
        )
    return max((r.sequence for r in records if r.subject == one), default=0)


class Look:
    """What was read for a unit of operations.

    :param alive: the sequences of the messages of living sessions.
    """

    def __init__(
        self, subjects: Subjects, records: Sequence[Record], alive: Mapping[str, int]
    ) -> None:
        self._subjects = subjects
        self._alive = alive
        self.records = records
        self.by_subject = {record.subject: record for record in records}
        nodes = [record for record in records if record.is_node]
        there = [one for one in nodes if one.owner is None or one.owner in alive]
        self.dead = [one for one in nodes if one.owner is not None and one.owner not in alive]
        self.nodes = {record.path: record for record in there}
        self.stats: dict[str, NodeStat] = {path: one.stat for path, one in self.nodes.items()}

    def children(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Give the names of the direct children, by path."""
        found: dict[str, list[str]] = {path: [] for path in paths}
        for path in self.nodes:
            if parent(path) in found:
                found[parent(path)].append(name(path))
        return found

    def sequence(self, path: str) -> int:
        """Give the sequence of what is on a node's subject, whatever it is; 0 for nothing."""
        record = self.by_subject.get(self._subjects.node(path))
        return 0 if record is None else record.sequence

    def conditions(
        self, operations: Sequence[NodeOperation], evaluation: Evaluation
    ) -> dict[str, int]:
        """Give the conditions for what was read and is not written."""
        found: dict[str, int] = {}

        def insist(path: str) -> None:
            if path == ROOT:
                return
            if path in evaluation.writes:
                return
            found[self._subjects.node(path)] = self.sequence(path)
            record = self.nodes.get(path)
            if record is not None and record.owner is not None:
                found[self._subjects.session(record.owner)] = self._alive[record.owner]

        for operation in operations:
            match operation:
                case Create(path):
                    insist(path)
                    insist(self._lowest_above(path))
                case CheckVersion(path) | CheckExists(path):
                    insist(path)
                case Guard(ticket):
                    insist(ticket.path)
                case Delete(path):
                    insist(path)
                    record = self.nodes.get(path)
                    if record is not None and record.owner is None:
                        for one in self._subjects.children(path):
                            found[one] = highest(self.records, one)
                case _:
                    insist(operation.path)
        return found

    def _lowest_above(self, path: str) -> str:
        """Give the lowest node above a path that is there; those above it are there, too."""
        return next((one for one in reversed(ancestors(path)) if one in self.nodes), ROOT)
