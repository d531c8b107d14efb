"""What a watch has seen, and what follows from the next message. Pure.

Of each subject the stream keeps the last message alone: what came between is not heard. So a
message tells how a node is now, and the events are what makes that of what was seen before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from asyncbackends.coordination.paths import ROOT, ancestors, is_below, parent
from asyncbackends.protocols.nodes import NodeEvent, WatchScope
from asyncbackends_nats.tree.records import GONE, Record

__all__ = ("Seen", "events_since")


MOST_ENDED: Final = 10_000


class _Life:
    __slots__ = ("created_revision", "owner")

    def __init__(self, created_revision: int | None, owner: str | None) -> None:
        self.created_revision = created_revision
        """None where only what is below it was seen."""
        self.owner = owner


class Seen:
    """The nodes of a watch's scope, as far as it was told."""

    def __init__(self, path: str, scope: WatchScope) -> None:
        self._path = path
        self._scope = scope
        self._lives: dict[str, _Life] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._below: dict[str, dict[str, None]] = {}
        """The paths directly below, where the scope is a tree."""
        self._ended: dict[str, None] = {}
        """The last sessions that ended: what is written for one after that is of no avail."""

    def begin(self, records: Iterable[Record]) -> None:
        """Take what is there."""
        for record in records:
            self._put(record.path, _Life(record.created_revision, record.owner))

    def owned(self) -> Mapping[str, Iterable[str]]:
        """Give the paths that go with a session, by its id."""
        return self._owned

    def take(self, record: Record) -> list[NodeEvent]:
        """Take a message about a node; give the events."""
        life = self._lives.get(record.path)
        if not record.is_node or record.owner in self._ended:
            return self._gone(record.path, record.sequence) if life is not None else []
        if life is not None and life.created_revision in {None, record.created_revision}:
            life.created_revision = record.created_revision
            if self._scope == "children":
                return []
            return [_event("updated", record, record.sequence)]
        events = [] if life is None else self._gone(record.path, record.sequence)
        if self._scope == "tree":
            events += self._parents(record)
        self._put(record.path, _Life(record.created_revision, record.owner))
        return [*events, _event("created", record, record.sequence)]

    def _parents(self, record: Record) -> list[NodeEvent]:
        """Tell of those above that were there before, and whose own message is yet to come."""
        events: list[NodeEvent] = []
        for above in ancestors(record.path):
            inside = above == self._path or is_below(above, self._path)
            if inside and above not in self._lives:
                self._put(above, _Life(None, None))
                events.append(NodeEvent("created", above, record.sequence))
        return events

    def ended(self, owner: str, sequence: int) -> list[NodeEvent]:
        """Hear of the end of a session; give the events."""
        self._ended[owner] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        paths = sorted(self._owned.get(owner, ()))
        return [event for path in paths for event in self._gone(path, sequence)]

    def _put(self, path: str, life: _Life) -> None:
        self._lives[path] = life
        if life.owner is not None:
            self._owned.setdefault(life.owner, {})[path] = None
        if self._scope == "tree" and path != ROOT:
            self._below.setdefault(parent(path), {})[path] = None

    def _gone(self, path: str, sequence: int) -> list[NodeEvent]:
        """Let a node go, and before it what was below: it had gone by then."""
        events: list[NodeEvent] = []
        for one in [*self._below.get(path, ())]:
            events += self._gone(one, sequence)
        life = self._lives.pop(path, None)
        self._below.pop(path, None)
        if life is None:
            return events
        if life.owner is not None:
            paths = self._owned[life.owner]
            paths.pop(path, None)
            if not paths:
                del self._owned[life.owner]
        siblings = self._below.get(parent(path))
        if siblings is not None:
            siblings.pop(path, None)
            if not siblings:
                del self._below[parent(path)]
        return [*events, NodeEvent("deleted", path, sequence)]


def events_since(
    since: int, records: Sequence[Record], ended: Mapping[str, int], scope: WatchScope
) -> list[NodeEvent] | None:
    """Give what happened after a revision; None where that cannot be said any more.

    :param records: the last messages of the scope, also ends.
    :param ended: the revisions at which sessions ended, 0 where unknown; those that live are none.
    """
    events: list[NodeEvent] = []
    for record in records:
        if record.sign not in {"n", GONE}:
            continue
        died = ended.get(record.owner) if record.owner is not None else None
        is_there = record.is_node and died is None
        if record.sequence <= since:
            # Nobody wrote it since; it may have gone with its session.
            was_there: bool | None = record.is_node
            if died is not None:
                was_there = died > since if died else None
        else:
            was_there = record.was_there(since)
        if was_there is None or (died == 0 and was_there):
            return None
        events += _difference(since, record, scope, was_there, is_there, died)
    return sorted(events, key=lambda event: event.revision or 0)


def _difference(
    since: int, record: Record, scope: WatchScope, was_there: bool, is_there: bool, died: int | None
) -> list[NodeEvent]:
    end = died or record.died or record.sequence
    is_new = record.created_revision > since
    if not is_there:
        return [NodeEvent("deleted", record.path, end)] if was_there else []
    if not was_there:
        return [_event("created", record, record.created_revision)]
    if is_new:
        before = int(record.lives.rpartition("-")[2] or 0) or record.created_revision
        gone = NodeEvent("deleted", record.path, max(before, since + 1))
        return [gone, _event("created", record, record.created_revision)]
    if record.sequence > since and scope != "children":
        return [_event("updated", record, record.sequence)]
    return []


def _event(kind: str, record: Record, revision: int) -> NodeEvent:
    stat = record.stat
    if kind == "created":
        return NodeEvent("created", record.path, revision, stat, record.value)
    return NodeEvent("updated", record.path, revision, stat, record.value)
