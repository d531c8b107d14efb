"""What a slow reader of a watch is told: less than what happened, and never anything wrong."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.coordination.paths import parent
from asyncbackends.coordination.pending import PendingEvents
from asyncbackends.protocols.nodes import NodeEvent, NodeStat

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATHS = ("/a", "/a/b", "/a/b/c", "/a/d", "/e")


class Tree:
    """A tree that turns steps into the events that they would cause."""

    def __init__(self) -> None:
        self.revision = 0
        self.nodes: dict[str, NodeEvent] = {}

    def create(self, path: str) -> NodeEvent:
        self.revision += 1
        stat = NodeStat(path, self.revision, self.revision, self.revision, NOW, NOW)
        self.nodes[path] = NodeEvent("created", path, self.revision, stat, b"%d" % self.revision)
        return self.nodes[path]

    def update(self, path: str) -> NodeEvent:
        self.revision += 1
        old = self.nodes[path].stat
        assert old is not None
        stat = NodeStat(path, self.revision, old.created_revision, self.revision, NOW, NOW)
        self.nodes[path] = NodeEvent("updated", path, self.revision, stat, b"%d" % self.revision)
        return self.nodes[path]

    def delete(self, path: str) -> NodeEvent:
        self.revision += 1
        del self.nodes[path]
        return NodeEvent("deleted", path, self.revision)

    def step(self, path: str, wish: int) -> NodeEvent | None:
        if path not in self.nodes:
            is_possible = parent(path) == "/" or parent(path) in self.nodes
            return self.create(path) if is_possible else None
        if wish == 0 or any(parent(other) == path for other in self.nodes):
            return self.update(path)
        return self.delete(path)


class Reader:
    """What somebody knows who believes every event, and doubts none."""

    def __init__(self) -> None:
        self.known: dict[str, bytes | None] = {}
        self.revision = 0

    def read(self, event: NodeEvent) -> None:
        assert event.revision is not None
        assert event.revision > self.revision
        self.revision = event.revision
        if event.kind == "created":
            assert event.path not in self.known
            assert parent(event.path) in {"/", *self.known}
            self.known[event.path] = event.value
        elif event.kind == "updated":
            assert event.path in self.known
            self.known[event.path] = event.value
        else:
            del self.known[event.path]
            assert event.path not in map(parent, self.known)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(PATHS), st.integers(0, 1)),
            st.just(("read", 0)),
        ),
        max_size=60,
    )
)
def test_a_reader_at_any_pace_ends_with_the_last_state(steps: list[tuple[str, int]]) -> None:
    tree, reader, pending = Tree(), Reader(), PendingEvents()
    for path, wish in steps:
        if path == "read":
            read = pending.pop()
            if read is not None:
                reader.read(read)
        elif (event := tree.step(path, wish)) is not None:
            assert pending.offer(event)
        assert len(pending) <= 2 * len(PATHS)
    while (event := pending.pop()) is not None:
        reader.read(event)
    assert reader.known == {path: node.value for path, node in tree.nodes.items()}
    assert len(pending) == 0


def kinds(pending: PendingEvents) -> list[str]:
    given: list[str] = []
    while (event := pending.pop()) is not None:
        given.append(event.kind)
    return given


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("cu", ["created"]),
        ("cuu", ["created"]),
        ("cd", ["created", "deleted"]),
        ("cdc", ["created"]),
        ("cdcd", ["created", "deleted"]),
        ("|uu", ["updated"]),
        ("|ud", ["deleted"]),
        ("|dc", ["deleted", "created"]),
        ("|dcu", ["deleted", "created"]),
        ("|dcd", ["deleted"]),
        ("|udcdcu", ["deleted", "created"]),
    ],
)
def test_changes_of_one_path_show_as_few(steps: str, told: list[str]) -> None:
    tree, pending = Tree(), PendingEvents()
    before, _, after = steps.rpartition("|")
    if "|" in steps:
        tree.create("/a")
    for step in before + after:
        change = {"c": tree.create, "u": tree.update, "d": tree.delete}[step]
        pending.offer(change("/a"))
    last = tree.nodes.get("/a")
    events: list[NodeEvent] = []
    while (event := pending.pop()) is not None:
        events.append(event)
    assert [event.kind for event in events] == told
    assert (events[-1].value, events[-1].stat) == (
        (None, None) if last is None else (last.value, last.stat)
    )


def test_the_number_of_paths_is_bounded_not_that_of_changes() -> None:
    tree, pending = Tree(), PendingEvents(limit=2)
    assert pending.offer(tree.create("/a"))
    assert pending.offer(tree.create("/b"))
    assert not pending.offer(tree.create("/c"))
    for _ in range(50):
        assert pending.offer(tree.update("/a"))
        assert pending.offer(tree.delete("/b"))
        assert pending.offer(tree.create("/b"))
    assert len(pending) == 2
    pending.pop()
    assert pending.offer(tree.update("/c"))
    pending.clear()
    assert len(pending) == 0
    assert pending.pop() is None


def test_what_came_and_went_below_what_came_and_went_is_told_until_that_is_back() -> None:
    tree, pending = Tree(), PendingEvents()
    for _ in range(2):
        pending.offer(tree.create("/a"))
        pending.offer(tree.create("/a/b"))
        pending.offer(tree.delete("/a/b"))
        assert len(pending) == 3
        pending.offer(tree.delete("/a"))
    assert kinds(pending) == ["created", "created", "deleted", "deleted"]
