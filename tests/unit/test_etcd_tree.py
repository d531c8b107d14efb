"""Where etcd keeps the tree, what stands before values, and what its events are to the tree."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.coordination.paths import checked_path, is_below, parent
from asyncbackends_etcd.committing import hulls
from asyncbackends_etcd.envelope import AFTER_PLAIN, Held, again_head, plain_head, sealed
from asyncbackends_etcd.following import events_of
from asyncbackends_etcd.keys import Keys, name_in
from asyncbackends_etcd.responses import Event, KeyValue

SEGMENTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=4
).filter(lambda one: one not in {".", ".."})
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
TIMES = st.integers(0, 2**42)
KEYS = Keys("ns")


def is_in(key: bytes, bounds: tuple[bytes, bytes]) -> bool:
    return bounds[0] <= key < bounds[1]


@given(PATHS, PATHS | st.just("/"), st.sampled_from(["", "ns", "ns0"]))
def test_ranges_hold_what_is_below(path: str, above: str, namespace: str) -> None:
    keys = Keys(namespace)
    key = keys.of(checked_path(path))
    assert keys.path(key) == path
    assert is_in(key, keys.below(above)) is is_below(path, above)
    if path == above or is_below(path, above):
        assert is_in(key, keys.tree(above))
    if is_below(path, above):
        start, _ = keys.below(above)
        name = name_in(start, key).decode()
        assert parent(path) != above or path.endswith(f"/{name}")


@given(PATHS)
def test_namespaces_do_not_meet(path: str) -> None:
    for one in ("a", "ab", "a0", "a_"):
        for other in ("a", "ab", "a0", "a_"):
            key = Keys(other).of(path)
            assert is_in(key, Keys(one).below("/")) is (one == other)


def test_entries_are_hexadecimal_children() -> None:
    entries = KEYS.entries("/q")
    assert is_in(KEYS.of("/q/00ff00ff00ff00ff00ff00ff00ff00ff"), entries)
    assert is_in(KEYS.of("/q/ffffffffffffffffffffffffffffffff"), entries)
    for path in ("/q", "/q/zebra", "/q0", "/q/guard", "/r"):
        assert not is_in(KEYS.of(path), entries)


@pytest.mark.parametrize("key", [b"ns", b"ns/", b"ns/a/", b"ns//a", b"ns/\xff", b"nsa/b"])
def test_what_others_put_there_is_no_node(key: bytes) -> None:
    assert KEYS.path(key) is None


@given(TIMES, TIMES, st.binary(max_size=40), st.integers(1, 2**40), st.integers(1, 2**40))
def test_values_come_back(created: int, modified: int, value: bytes, made: int, put: int) -> None:
    plain = KeyValue(b"k", made, put, 2, sealed(plain_head(created), modified, value))
    again = KeyValue(b"k", made, put, 2, sealed(again_head(created), modified, value))
    for kv, revision in ((plain, made), (again, put)):
        held = Held.opened("/k", kv)
        assert held.value == value
        assert held.created_revision == held.stat.created_revision == revision
        assert held.modified == max(created, modified)
        assert held.stat.version == held.stat.modified_revision == put
        assert held.is_plain is (kv is plain)
        assert held.came_again is (kv is again)
        later = KeyValue(b"k", made, put + 5, 3, sealed(held.head, modified + 1, b""))
        assert Held.opened("/k", later).created_revision == revision
        assert not Held.opened("/k", later).came_again
        assert Held.opened("/k", later).stat.created == held.stat.created
    assert plain.value < AFTER_PLAIN <= again.value


@given(st.binary(max_size=30))
def test_what_others_put_is_a_value(stored: bytes) -> None:
    held = Held.opened("/k", KeyValue(b"k", 1, 2, 2, stored))
    assert held.stat.version == 2
    assert stored.endswith(held.value)


RANGES = st.lists(st.tuples(st.binary(max_size=3), st.binary(min_size=1, max_size=3)))


@given(RANGES, st.integers(1, 10))
def test_hulls_cover_all_ranges(pairs: list[tuple[bytes, bytes]], room: int) -> None:
    ranges = [(start, start + end) for start, end in pairs]
    found = hulls(ranges, room)
    assert len(found) <= room
    for start, end in ranges:
        assert any(first <= start and end <= last for first, last in found)


def put(path: str, revision: int, *, made: int | None = None, again: bool = False) -> Event:
    head = again_head(1000) if again else plain_head(1000)
    value = sealed(head, 1000, b"x")
    return Event(False, KeyValue(KEYS.of(path), made or revision, revision, 1, value))


def gone(path: str, revision: int) -> Event:
    return Event(True, KeyValue(KEYS.of(path), mod_revision=revision))


def told(*events: Event) -> list[tuple[str, str, Any]]:
    return [(one.kind, one.path, one.revision) for one in events_of(list(events), KEYS)]


def test_events_say_what_became_of_a_node() -> None:
    assert told(put("/a", 5)) == [("created", "/a", 5)]
    assert told(put("/a", 6, made=5)) == [("updated", "/a", 6)]
    assert told(gone("/a", 7)) == [("deleted", "/a", 7)]
    assert told(put("/a", 8, made=5, again=True)) == [("deleted", "/a", 8), ("created", "/a", 8)]
    assert told(Event(False, KeyValue(b"ns/a//b", 1, 1, 1, b""))) == []


def test_events_of_a_transaction_keep_parents_around_their_children() -> None:
    events = [
        gone("/a", 5),
        gone("/a-b", 5),
        gone("/a/b", 5),
        put("/c", 5),
        put("/c/d", 5),
        put("/a", 6),
        put("/e", 7),
    ]
    assert told(*events) == [
        ("deleted", "/a/b", 5),
        ("deleted", "/a-b", 5),
        ("deleted", "/a", 5),
        ("created", "/c", 5),
        ("created", "/c/d", 5),
        ("created", "/a", 6),
        ("created", "/e", 7),
    ]
