"""Several operations as one Txn: what is read before it, what it compares, what it writes. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from asyncbackends.coordination.evaluating import Evaluation, Looks, Write
from asyncbackends.coordination.paths import ROOT, ancestors, name, parent
from asyncbackends.coordination.transaction import Create, Guard, NodeOperation
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_etcd import requests
from asyncbackends_etcd.envelope import Held, again_head, head_time, plain_head, sealed, stat_of
from asyncbackends_etcd.keys import NEXT, Keys
from asyncbackends_etcd.responses import Ranged

__all__ = ("MOST_AT_ONCE", "Commit", "Snapshot", "hulls", "reading_of", "targets_of")

MOST_AT_ONCE: Final = 120
"""Operations, and compares, of one Txn: a server takes 128 of each unless it is told otherwise."""
MOST_NAMES: Final = 500
"""Keys below a node that is deleted; there are more where this is not enough."""

KeyRange = tuple[bytes, bytes]


class Snapshot:
    """What was read, as it was at one revision."""

    def __init__(self, keys: Keys, revision: int) -> None:
        self._keys = keys
        self.revision = revision
        self.held: dict[str, Held] = {}
        self.names: dict[str, Collection[str]] = {}
        self.unread: list[str] = []
        """Paths with more children than were read."""

    def take(self, reads: Sequence[tuple[str, bool]], answers: Sequence[Ranged]) -> None:
        """Take the answers to what :func:`reading_of` asked."""
        for (path, is_children), answer in zip(reads, answers, strict=True):
            if not is_children:
                if answer.kvs:
                    self.held[path] = Held.opened(path, answer.kvs[0])
                continue
            paths = (self._keys.path(kv.key) for kv in answer.kvs)
            self.names[path] = [
                name(found) for found in paths if found is not None and parent(found) == path
            ]
            if answer.more:
                self.unread.append(path)

    @property
    def stats(self) -> dict[str, NodeStat]:
        """Give the stats of what is there."""
        return {path: held.stat for path, held in self.held.items()}


def targets_of(operations: Iterable[NodeOperation]) -> set[str]:
    """Name the nodes that operations are about themselves."""
    return {one.ticket.path if isinstance(one, Guard) else one.path for one in operations}


def reading_of(
    keys: Keys, looks: Looks, targets: Collection[str]
) -> list[tuple[tuple[str, bool], bytes]]:
    """Say what has to be read: each with a path, and whether its children are meant.

    Of what is only above the nodes that matter it is enough to know that it is there.
    """
    reads: list[tuple[tuple[str, bool], bytes]] = []
    for path in sorted(looks.nodes):
        request = requests.range_of(keys.of(path), keys_only=path not in targets)
        reads.append(((path, False), request))
    for path in sorted(looks.children):
        request = requests.range_of(*keys.below(path), limit=MOST_NAMES, keys_only=True)
        reads.append(((path, True), request))
    # Of the root alone there is nothing to read, and yet a revision to know.
    return reads or [((ROOT, False), requests.range_of(keys.of(ROOT), keys_only=True))]


def hulls(ranges: Iterable[KeyRange], room: int) -> list[KeyRange]:
    """Cover ranges by fewer: a change between two of them then counts as one of them."""
    found = sorted(ranges)
    if len(found) <= room:
        return found
    size = -(-len(found) // max(1, room))
    groups = (found[start : start + size] for start in range(0, len(found), size))
    return [(group[0][0], max(end for _, end in group)) for group in groups]


class Commit:
    """The Txn that applies what operations came to, if all that was read is still so."""

    def __init__(
        self, keys: Keys, snapshot: Snapshot, evaluation: Evaluation, lease: int, now: int
    ) -> None:
        self._keys = keys
        self._snapshot = snapshot
        self._evaluation = evaluation
        self._lease = lease
        self._now = now
        self._heads: dict[str, bytes] = {}
        writes = [*evaluation.writes.values()]
        self.is_partial = len(writes) > MOST_AT_ONCE
        """It only makes the first of the missing ancestors, which are too many for one Txn."""
        if self.is_partial:
            told = set(evaluation.told)
            writes = [write for write in writes if write.path not in told and write.before is None][
                :MOST_AT_ONCE
            ]
        self._writes = writes

    def request(self, operations: Sequence[NodeOperation], looks: Looks) -> bytes:
        """Give it."""
        return requests.txn(self._compares(operations, looks), map(self._write, self._writes))

    def _compares(self, operations: Sequence[NodeOperation], looks: Looks) -> list[bytes]:
        held, keys = self._snapshot.held, self._keys
        targets = targets_of(operations)
        exact = [
            requests.modified_at(keys.of(path), held[path].kv.mod_revision)
            for path in targets
            if path in held
        ]
        ranges = [(keys.of(path), keys.of(path) + NEXT) for path in looks.nodes if path not in held]
        ranges += [keys.below(path) for path in looks.children]
        above = _present_above(operations, held) - targets
        loose: list[bytes] = []
        for path in above:
            # Its value may change meanwhile.
            key = keys.of(path)
            loose += [
                requests.created_at(key, held[path].kv.create_revision),
                requests.lease_is_none(key),
            ]
        if len(exact) + len(loose) + len(ranges) > MOST_AT_ONCE:
            loose = [requests.modified_at(keys.of(one), held[one].kv.mod_revision) for one in above]
        exact += loose
        revision = self._snapshot.revision
        room = MOST_AT_ONCE - len(exact)
        return exact + [
            requests.nothing_since(start, end, revision) for start, end in hulls(ranges, room)
        ]

    def _write(self, write: Write) -> bytes:
        key = self._keys.of(write.path)
        if write.kind == "delete":
            return requests.delete(key)
        before = self._snapshot.held.get(write.path)
        if write.kind == "update" and before is not None:
            head = before.head
            self._heads[write.path] = head
            return requests.put(key, sealed(head, self._now, write.value), keeps_lease=True)
        head = plain_head(self._now) if before is None else again_head(self._now)
        self._heads[write.path] = head
        lease = self._lease if write.ephemeral else 0
        return requests.put(key, sealed(head, self._now, write.value), lease_id=lease)

    def stats(self, revision: int) -> list[NodeStat | None]:
        """Give what is told of each operation, once it is applied by a revision."""
        return [
            None if path is None else self._told(path, revision) for path in self._evaluation.told
        ]

    def _told(self, path: str, revision: int) -> NodeStat:
        write = self._evaluation.writes.get(path)
        head = self._heads.get(path, plain_head(self._now))
        modified = max(self._now, head_time(head))
        held = self._snapshot.held.get(path)
        if write is not None and write.kind == "update" and held is not None:
            created = held.created_revision
            return stat_of(path, created, revision, head, modified, held.kv.lease)
        # What came and went in the same Txn has a stat, too.
        lease = self._lease if write is not None and write.ephemeral else 0
        return stat_of(path, revision, revision, head, modified, lease)


def _present_above(operations: Iterable[NodeOperation], held: Mapping[str, Held]) -> set[str]:
    """Name the nearest nodes that are there above those that are made; where they are, so are all above."""
    found: set[str] = set()
    for operation in operations:
        if isinstance(operation, Create) and operation.path != ROOT:
            present = (above for above in reversed(ancestors(operation.path)) if above in held)
            nearest = next(present, None)
            if nearest is not None:
                found.add(nearest)
    return found
