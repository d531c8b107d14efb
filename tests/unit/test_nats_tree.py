"""The pure rules of the tree on NATS: subjects, records, units, and what a watch makes of messages."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.coordination.paths import checked_path
from asyncbackends.errors import InvalidRequestError
from asyncbackends_nats.tree.endings import ending
from asyncbackends_nats.tree.looking import highest
from asyncbackends_nats.tree.records import Record, after, node_header, parsed, tombstone_header
from asyncbackends_nats.tree.seeing import Seen, events_since
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import Message, frames

SUBJECTS = Subjects("site")


@st.composite
def paths(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=60))
    path = "/" + "/".join(segments)
    try:
        return checked_path(path)
    except InvalidRequestError:
        return "/plain"


@given(paths(), paths())
def test_subjects_tell_paths_apart_and_have_no_signs_of_nats(one: str, other: str) -> None:
    subject = SUBJECTS.node(one)
    assert len(subject) <= 3000
    assert set(subject) <= {*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=."}
    assert ".." not in subject
    assert (subject == SUBJECTS.node(other)) == (one == other)
    assert SUBJECTS.path_of(subject, b"NATS/1.0\r\n" + path_header(one) + b"\r\n") == one


def _matches(one: str, subject: str) -> bool:
    return highest([Record(subject, 7, "n")], one) == 7


@given(paths(), st.text(min_size=1, max_size=200))
def test_filters_of_children_and_trees_match_them(path: str, segment: str) -> None:
    try:
        below = checked_path(f"{path}/{segment}".replace("//", "/"))
    except InvalidRequestError:
        return
    if "/" in segment:
        return
    subject = SUBJECTS.node(below)
    assert any(_matches(one, subject) for one in SUBJECTS.children(path))
    assert any(_matches(one, subject) for one in SUBJECTS.below(path))
    assert any(_matches(one, subject) for one in SUBJECTS.below("/"))
    assert not any(_matches(one, SUBJECTS.node(path)) for one in SUBJECTS.children(path))


def _parsed(headers: bytes, sequence: int, path: str | None = "/a") -> Record:
    return parsed("abc.site.n.a", path, sequence, b"NATS/1.0\r\n" + headers + b"\r\n", b"v")


def test_first_message_of_a_node_is_its_creation() -> None:
    record = _parsed(node_header(5), 9)
    assert (record.created_revision, record.created, record.modified) == (9, 5, 5)
    changed = _parsed(node_header(6, 5, 9, "me", "3-8"), 12)
    assert (changed.created_revision, changed.created, changed.modified) == (9, 5, 6)
    assert (changed.owner, changed.lives, changed.value) == ("me", "3-8", b"v")


@pytest.mark.parametrize(
    "headers", [b"", b"Ab: \r\n", b"Ab: n x\r\n", b"Ab: n 1 2\r\n", b"Ab: d\r\n"]
)
def test_strangers_message_is_nothing(headers: bytes) -> None:
    assert not _parsed(headers, 3).is_node


def test_lives_of_a_path_are_remembered() -> None:
    first = _parsed(node_header(1), 10)
    end = _parsed(tombstone_header(10), 15)
    second = _parsed(node_header(2, lives=after(end, 0)), 20)
    assert [first.was_there(s) for s in (9, 10)] == [False, True]
    assert [end.was_there(s) for s in (9, 10, 14)] == [False, True, True]
    assert [second.was_there(s) for s in (9, 10, 14, 15, 19)] == [False, True, True, False, False]
    # Of one that died unseen nobody can say when.
    third = _parsed(node_header(3, lives=after(second, 0)), 30)
    assert third.was_there(25) is None


def test_conditions_travel_first_and_one_goes_along() -> None:
    writes = [Message("n.a", b"Ab: n 1\r\n", b"x", 4), Message("n.b", b"Ab: n 1\r\n", b"y", 0)]
    unit = frames({"n.p": 3}, writes, "x", b"id")
    assert (unit.size, unit.skipped) == (3, 1)
    assert [unit.sequence(30, index) for index in range(2)] == [29, 30]
    assert unit.before.startswith(b"HPUB x ")
    assert b"Sequence-Subject: n.p\r\n" in unit.before
    # What replaces something takes it away for good.
    assert unit.before.count(b"Nats-Rollup: sub\r\n") == 1
    assert b"Nats-Rollup" not in unit.headers
    single = frames({"n.p": 3}, [Message("n.a", b"", b"x", None, "c:n.a")], "x", b"id")
    assert (single.before, single.size, single.skipped) == (b"", 1, 0)
    for line in (b"Nats-Msg-Id: c:n.a\r\n", b"Sequence: 3\r\n", b"Sequence-Subject: n.p\r\n"):
        assert line in single.headers
    assert b"Nats-Batch" not in single.headers


def test_end_of_what_goes_with_a_session_has_no_name() -> None:
    record = Record("n.a", 8, "n", "/a", created_revision=5)
    assert ending(record, SUBJECTS).name == "d:5:n.a"
    record.owner = "me"
    assert ending(record, SUBJECTS).name == ""


def _node(path: str, sequence: int, created: int = 0, owner: str | None = None) -> Record:
    subject = SUBJECTS.node(path)
    return Record(subject, sequence, "n", path, created_revision=created or sequence, owner=owner)


def _end(path: str, sequence: int, created: int) -> Record:
    return Record(SUBJECTS.node(path), sequence, "d", path, created_revision=created)


def _told(seen: Seen, record: Record) -> list[tuple[str, str, int | None]]:
    return [(event.kind, event.path, event.revision) for event in seen.take(record)]


def test_child_whose_parents_message_is_yet_to_come() -> None:
    """The parent was changed meanwhile, so its message is a later one."""
    seen = Seen("/a", "tree")
    assert _told(seen, _node("/a/b/c", 6)) == [
        ("created", "/a", 6),
        ("created", "/a/b", 6),
        ("created", "/a/b/c", 6),
    ]
    assert _told(seen, _node("/a/b", 7, 5)) == [("updated", "/a/b", 7)]


def test_node_that_went_and_came_takes_what_was_below_along() -> None:
    seen = Seen("/", "tree")
    seen.begin([_node("/a", 1), _node("/a/b", 2), _node("/a/b/c", 3)])
    assert _told(seen, _node("/a", 9)) == [
        ("deleted", "/a/b/c", 9),
        ("deleted", "/a/b", 9),
        ("deleted", "/a", 9),
        ("created", "/a", 9),
    ]
    assert _told(seen, _end("/a/b/c", 8, 3)) == []


def test_end_of_a_session_takes_its_nodes_and_nothing_comes_after_it() -> None:
    seen = Seen("/", "children")
    seen.begin([_node("/a", 1, owner="x"), _node("/b", 2, owner="y")])
    assert [(one.kind, one.path) for one in seen.ended("x", 5)] == [("deleted", "/a")]
    assert _told(seen, _node("/c", 6, owner="x")) == []
    assert _told(seen, _end("/a", 7, 1)) == []
    assert seen.ended("z", 8) == []


@pytest.mark.parametrize(
    ("records", "ended", "wanted"),
    [
        ([_node("/a", 4)], {}, []),
        ([_node("/a", 14, 4)], {}, [("updated", "/a", 14)]),
        ([_node("/a", 14, 12)], {}, [("created", "/a", 12)]),
        ([_end("/a", 14, 4)], {}, [("deleted", "/a", 14)]),
        ([_end("/a", 14, 12)], {}, []),
        ([_node("/a", 4, owner="x")], {"x": 13}, [("deleted", "/a", 13)]),
        ([_node("/a", 4, owner="x")], {"x": 8}, []),
        ([_node("/a", 4, owner="x")], {"x": 0}, None),
        ([_node("/a", 14, owner="x")], {"x": 15}, []),
        ([_node("/b", 13, 3), _node("/a", 12)], {}, [("created", "/a", 12), ("updated", "/b", 13)]),
    ],
)
def test_what_happened_since(
    records: list[Record],
    ended: Mapping[str, int],
    wanted: list[tuple[str, str, int]] | None,
) -> None:
    found = events_since(10, records, ended, "tree")
    told = None if found is None else [(one.kind, one.path, one.revision) for one in found]
    assert told == wanted
