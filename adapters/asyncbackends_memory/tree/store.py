"""The tree that openers of one name share: nodes, sessions, a history of events, watches."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import dropwhile
from typing import Protocol
from uuid import uuid4

from asyncbackends.clock import Clock, Timer
from asyncbackends.coordination.paths import ROOT, ancestors, child, parent
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, WatchScope
from asyncbackends_memory.tree.editing import Edit
from asyncbackends_memory.tree.faults import CoordinationFaults

__all__ = ("StoredSession", "TreeStore", "Watcher")


class Watcher(Protocol):
    """Who is told of events."""

    @property
    def path(self) -> str:
        """What it watches."""
        ...

    @property
    def scope(self) -> WatchScope:
        """How much of it."""
        ...

    def offer(self, event: NodeEvent) -> None:
        """Take an event in."""
        ...

    def miss(self, revision: int) -> None:
        """Notice that an event after ``revision`` did not arrive."""
        ...


class StoredSession:
    """A session as the service sees it: alive until ``expires`` on the service's clock."""

    def __init__(self, ttl: float, expires: float) -> None:
        self.id = uuid4().hex
        self.ttl = ttl
        self.expires = expires
        self.timer: Timer | None = None
        self.owned: dict[str, bool] = {}
        """The paths of its ephemeral nodes."""


class TreeStore:
    """All nodes and sessions of one name and namespace. Only an :class:`Edit` changes nodes."""

    def __init__(self, faults: CoordinationFaults) -> None:
        self.clock: Clock = faults.clock
        self.faults = faults
        self.revision = 0
        self.compacted = 0
        """Events after this revision are in the history."""
        self.kept = 0
        """So many events are kept."""
        born = self.now()
        root = NodeStat(ROOT, 0, 0, 0, born, born)
        self.nodes: dict[str, Node] = {ROOT: Node(b"", root)}
        self.children: dict[str, dict[str, bool]] = {}
        """The names of the children, by path; none where there are none."""
        self.sessions: dict[str, StoredSession] = {}
        self._history: deque[NodeEvent] = deque()
        self._watchers: dict[tuple[WatchScope, str], dict[Watcher, bool]] = {}
        faults.add_store(self)

    def now(self) -> datetime:
        """Give the time for a stat."""
        return datetime.fromtimestamp(self.clock.utc(), UTC)

    def drop(self) -> None:
        """Let no timer be left: the last opener is gone."""
        self.faults.remove_store(self)
        for session in self.sessions.values():
            if session.timer is not None:
                session.timer.cancel()
        self.sessions.clear()

    def stat(self, path: str) -> NodeStat | None:
        """Give the stat of a node."""
        node = self.nodes.get(path)
        return None if node is None else node.stat

    def below(self, path: str) -> list[str]:
        """Give the paths of a node and all below it, each before its children."""
        found: list[str] = []
        ahead = [path]
        while ahead:
            found.append(ahead.pop())
            names = self.children.get(found[-1], ())
            ahead += [child(found[-1], name) for name in sorted(names, reverse=True)]
        return found

    def watched(self, path: str, scope: WatchScope) -> Iterator[Node]:
        """Give the nodes that a watch covers now."""
        if path not in self.nodes:
            return iter(())
        if scope == "node":
            return iter((self.nodes[path],))
        if scope == "children":
            return (self.nodes[child(path, name)] for name in self.children.get(path, ()))
        return (self.nodes[one] for one in self.below(path))

    # Events

    def publish(self, events: Sequence[NodeEvent]) -> None:
        """Tell the watchers what an edit did, and keep it."""
        self._history += events
        while len(self._history) > self.kept:
            self.compacted = self._history.popleft().revision or 0
        for event in events:
            watchers = self._watchers_of(event)
            lost = bool(watchers) and self.faults.loses_event()
            for watcher in watchers:
                if lost:
                    watcher.miss((event.revision or 0) - 1)
                else:
                    watcher.offer(event)

    def _watchers_of(self, event: NodeEvent) -> list[Watcher]:
        path = event.path
        found = list(self._watchers.get(("node", path), ()))
        if event.kind != "updated":
            found += self._watchers.get(("children", parent(path)), ())
        for above in (ROOT, *ancestors(path), path):
            found += self._watchers.get(("tree", above), ())
        return found

    def since(self, revision: int) -> Iterator[NodeEvent]:
        """Give the kept events after a revision."""
        return dropwhile(lambda event: (event.revision or 0) <= revision, self._history)

    def add_watcher(self, watcher: Watcher) -> None:
        """Tell a watcher of what happens from now on."""
        self._watchers.setdefault((watcher.scope, watcher.path), {})[watcher] = True

    def remove_watcher(self, watcher: Watcher) -> None:
        """Tell it no more."""
        key = (watcher.scope, watcher.path)
        watchers = self._watchers.get(key, {})
        watchers.pop(watcher, None)
        if not watchers:
            self._watchers.pop(key, None)

    # Sessions

    @property
    def session_ids(self) -> list[str]:
        """The ids of the sessions that have not ended."""
        return list(self.sessions)

    def open_session(self, ttl: float) -> StoredSession:
        """Begin a session."""
        session = StoredSession(ttl, self.clock.monotonic() + ttl)
        self.sessions[session.id] = session
        self._watch_expiry(session)
        return session

    def live_session(self, session_id: str) -> StoredSession | None:
        """Give a session that has not expired."""
        session = self.sessions.get(session_id)
        if session is not None and self.clock.monotonic() >= session.expires:
            self.end_session(session_id)
            return None
        return session

    def renew_session(self, session_id: str) -> bool:
        """Let a session live on from now, unless it is not known."""
        session = self.live_session(session_id)
        if session is None:
            return False
        session.expires = self.clock.monotonic() + session.ttl
        return True

    def end_session(self, session_id: str) -> None:
        """End a session: its nodes vanish at once; one that is not known is no error."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        if session.timer is not None:
            session.timer.cancel()
        edit = Edit(self)
        for path in list(session.owned):
            edit.delete(path)
        edit.commit()

    def _watch_expiry(self, session: StoredSession) -> None:
        left = session.expires - self.clock.monotonic()
        if left <= 0:
            self.end_session(session.id)
        else:
            session.timer = self.clock.call_later(left, partial(self._watch_expiry, session))
