"""What operations come to by comparing is what the tree in memory makes of them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.coordination.evaluating import Evaluation, evaluate, looks_of
from asyncbackends.coordination.paths import ancestors
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
from asyncbackends.protocols.values import Fence
from asyncbackends_memory.tree.editing import Edit
from asyncbackends_memory.tree.faults import CoordinationFaults
from asyncbackends_memory.tree.store import StoredSession, TreeStore

PATHS = ["/a", "/b", "/a/a", "/a/b", "/a/a/a", "/b/c/d"]
paths = st.sampled_from(PATHS)
versions = st.one_of(st.none(), st.integers(0, 6))
values = st.sampled_from([b"", b"x", b"y"])


def _guard(path: str, order: int) -> Guard:
    return Guard(Ticket(path, order, "s", Fence("f", 0, order)))


operations: st.SearchStrategy[NodeOperation] = st.one_of(
    st.builds(Create, paths, values, st.booleans(), st.booleans()),
    st.builds(Update, paths, values, versions),
    st.builds(Delete, paths, st.just(False), versions),
    st.builds(CheckVersion, paths, st.integers(0, 6)),
    st.builds(CheckExists, paths, st.booleans()),
    st.builds(_guard, paths, st.integers(0, 6)),
)


def _refused(tree: TreeStore, session: StoredSession, unit: list[NodeOperation]) -> Any:
    """Apply a unit to the tree; give (index, kind of error) where one is refused."""
    edit = Edit(tree)
    for index, operation in enumerate(unit):
        try:
            edit.apply(operation, session)
        except BackendError as error:
            edit.take_back()
            return index, type(error)
    edit.commit()
    return None


def _evaluated(tree: TreeStore, unit: list[NodeOperation]) -> Evaluation | tuple[int, type]:
    looks = looks_of(unit)
    stats: dict[str, NodeStat] = {
        path: tree.nodes[path].stat for path in looks.nodes & {*tree.nodes}
    }
    children = {path: tree.children.get(path, ()) for path in looks.children}
    try:
        return evaluate(unit, stats, children)
    except RefusedError as refused:
        return refused.index, type(refused.error)


def _by_hand(tree: TreeStore, evaluation: Evaluation) -> dict[str, tuple[bytes, bool]]:
    """Give what the writes make of the tree: values, and whether a node is ephemeral."""
    found = {
        path: (node.value, bool(node.stat.ephemeral_owner)) for path, node in tree.nodes.items()
    }
    for path, write in evaluation.writes.items():
        assert (write.before is None) == (path not in tree.nodes)
        if write.kind == "delete":
            del found[path]
        else:
            found[path] = (write.value, write.ephemeral)
    return found


def _asks_for_its_own_version(unit: list[NodeOperation]) -> bool:
    """Say whether it demands a version of what it wrote itself, which the tree alone knows."""
    written: set[str] = set()
    for one in unit:
        path = one.ticket.path if isinstance(one, Guard) else one.path
        asked = isinstance(one, Guard | CheckVersion) or getattr(one, "expected_version", None)
        if path in written and asked:
            return True
        if isinstance(one, Create | Update | Delete):
            written.add(path)
            if isinstance(one, Create):
                written.update(ancestors(path))
    return False


@given(st.lists(st.lists(operations, min_size=1, max_size=6), max_size=6))
def test_evaluation_is_what_the_tree_does(units: list[list[NodeOperation]]) -> None:
    tree = TreeStore(CoordinationFaults("evaluating"))
    session = StoredSession(10, 10)
    for unit in units:
        evaluation = _evaluated(tree, unit)
        wanted = None
        if isinstance(evaluation, Evaluation):
            wanted = _by_hand(tree, evaluation)
        refused = _refused(tree, session, unit)
        if refused != evaluation and _asks_for_its_own_version(unit):
            continue
        if wanted is None:
            assert refused == evaluation
            continue
        assert refused is None
        assert wanted == {
            path: (node.value, bool(node.stat.ephemeral_owner)) for path, node in tree.nodes.items()
        }
