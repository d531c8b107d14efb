"""Changes of the tree that all hold or are all taken back."""

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from asyncbackends.coordination import refusals
from asyncbackends.coordination.paths import ancestors, name, parent
from asyncbackends.coordination.transaction import (
    CheckExists,
    CheckVersion,
    Create,
    Delete,
    Guard,
    NodeOperation,
    Update,
)
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, Ticket

if TYPE_CHECKING:
    from asyncbackends_memory.tree.store import StoredSession, TreeStore

__all__ = ("Edit",)

MISSING = object()


class Edit:
    """A unit of change: each node that is made, updated or deleted takes the next revision."""

    def __init__(self, store: "TreeStore") -> None:
        self._store = store
        self._now = store.now()
        self._first = store.revision
        self._events: list[NodeEvent] = []
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    def apply(
        self, operation: NodeOperation, session: "StoredSession | None" = None
    ) -> NodeStat | None:
        """Apply one operation.

        :param session: what an ephemeral node goes with.
        :raises BackendError: it is refused.
        """
        match operation:
            case Create(path, value, ephemeral, make_parents):
                return self.create(path, value, session if ephemeral else None, make_parents)
            case Update(path, value, expected_version):
                return self.update(path, value, expected_version)
            case Delete(path, recursive, expected_version):
                self.delete(path, recursive, expected_version)
            case CheckVersion(path, version):
                self._node(path, version)
            case CheckExists(path, exists):
                self._check_exists(path, exists)
            case Guard(ticket):
                self._guard(ticket)
            case _ as never:
                assert_never(never)
        return None

    def create(
        self,
        path: str,
        value: bytes,
        session: "StoredSession | None" = None,
        make_parents: bool = True,
    ) -> NodeStat:
        """Make a node, and those above it that are missing."""
        nodes = self._store.nodes
        if path in nodes:
            raise refusals.node_exists(path, nodes[path].stat)
        missing = [above for above in ancestors(path) if above not in nodes]
        if missing and not make_parents:
            raise refusals.no_parent(path, missing[-1])
        present = parent((missing or [path])[0])
        if nodes[present].stat.ephemeral_owner is not None:
            raise refusals.under_ephemeral(path, present)
        for above in missing:
            self._make(above, b"", None)
        return self._make(path, value, session)

    def update(self, path: str, value: bytes, expected_version: int | None = None) -> NodeStat:
        """Replace a value."""
        node = self._node(path, expected_version)
        revision = self._next_revision()
        stat = msgspec.structs.replace(
            node.stat, version=revision, modified_revision=revision, modified=self._now
        )
        self._put(self._store.nodes, path, Node(value, stat))
        self._events.append(NodeEvent("updated", path, revision, stat, value))
        return stat

    def delete(
        self, path: str, recursive: bool = False, expected_version: int | None = None
    ) -> None:
        """Take a node away, with ``recursive`` the children before their parents."""
        self._node(path, expected_version)
        children = self._store.children.get(path)
        if children and not recursive:
            raise refusals.has_children(path, children)
        for one in reversed(self._store.below(path)):
            self._remove(one)

    def commit(self) -> None:
        """Publish what was done."""
        events, self._events = self._events, []
        self._undo.clear()
        if events:
            self._store.publish(events)

    def take_back(self) -> None:
        """Undo everything, the last change first."""
        for table, key, value in reversed(self._undo):
            if value is MISSING:
                del table[key]
            else:
                table[key] = value
        self._store.revision = self._first

    def _node(self, path: str, version: int | None = None) -> Node:
        node = self._store.nodes.get(path)
        if node is None:
            raise refusals.no_node(path)
        if version is not None and node.stat.version != version:
            raise refusals.other_version(path, version, node.stat.version)
        return node

    def _check_exists(self, path: str, exists: bool) -> None:
        stat = self._store.stat(path)
        if exists and stat is None:
            raise refusals.no_node(path)
        if not exists and stat is not None:
            raise refusals.node_exists(path, stat)

    def _guard(self, ticket: Ticket) -> None:
        stat = self._store.stat(ticket.path)
        if stat is None or stat.created_revision != ticket.order:
            raise refusals.no_ticket(ticket)

    def _make(self, path: str, value: bytes, session: "StoredSession | None") -> NodeStat:
        revision, now = self._next_revision(), self._now
        owner = None if session is None else session.id
        stat = NodeStat(path, revision, revision, revision, now, now, owner)
        self._put(self._store.nodes, path, Node(value, stat))
        above = parent(path)
        if above not in self._store.children:
            self._put(self._store.children, above, {})
        self._put(self._store.children[above], name(path), True)
        if session is not None:
            self._put(session.owned, path, True)
        self._events.append(NodeEvent("created", path, revision, stat, value))
        return stat

    def _remove(self, path: str) -> None:
        node = self._store.nodes[path]
        above = parent(path)
        self._take(self._store.nodes, path)
        self._take(self._store.children[above], name(path))
        if not self._store.children[above]:
            self._take(self._store.children, above)
        owner = self._store.sessions.get(node.stat.ephemeral_owner or "")
        if owner is not None:
            self._take(owner.owned, path)
        self._events.append(NodeEvent("deleted", path, self._next_revision()))

    def _next_revision(self) -> int:
        self._store.revision += 1
        return self._store.revision

    def _put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, MISSING)))
        table[key] = value

    def _take(self, table: dict[Any, Any], key: Any) -> None:
        self._undo.append((table, key, table.pop(key)))
