"""Paths and values of nodes: what is one, and how paths relate."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.coordination import paths
from asyncbackends.coordination.transaction import NodeTransaction
from asyncbackends.errors import BackendError, InvalidRequestError
from asyncbackends.protocols.coordination import Transaction
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends.protocols.values import Fence

segments = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"))
good_segments = segments.filter(
    lambda segment: segment not in {"", ".", ".."} and len(segment.encode()) <= 255
)
good_paths = st.lists(good_segments, min_size=1, max_size=8).map(
    lambda parts: "/" + "/".join(parts)
)


@given(good_paths)
def test_a_path_of_good_segments_is_one(path: str) -> None:
    assert paths.checked_path(path) is path
    assert paths.changeable_path(path) is path


@given(st.one_of(st.text(max_size=20), st.text("/.a\0\x7f\ud800é", max_size=8)))
def test_what_breaks_a_rule_is_refused(text: str) -> None:
    breaks = (
        not text.startswith("/")
        or (text != "/" and any(part in {"", ".", ".."} for part in text[1:].split("/")))
        or any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)
    )
    if not breaks:
        assert paths.checked_path(text) is text
        return
    with pytest.raises(InvalidRequestError):
        paths.checked_path(text)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "does not start with a slash"),
        ("a", "does not start with a slash"),
        ("//", "has the segment ''"),
        ("/a/", "has the segment ''"),
        ("/a//b", "has the segment ''"),
        ("/./a", "has the segment '.'"),
        ("/a/..", "has the segment '..'"),
        ("/a\n", "has a control character"),
        ("/\x00", "has a control character"),
        ("/\x9f", "has a control character"),
        ("/\ud800", "has a lone surrogate"),
        ("/" + "a" * 256, "has a segment of more than 255 bytes"),
        ("/" + "é" * 128, "has a segment of more than 255 bytes"),
        ("/aaaaaaa" * 513, "has 4104 bytes of UTF-8, more than 4096"),
        (b"/a", "is not a str"),
        (None, "is not a str"),
    ],
)
def test_the_error_says_what_is_wrong(path: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        paths.checked_path(path)
    assert problem in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/a b", "/...", "/.a", "/é/\U0001f600", "/" + "a" * 255, "/aaaaaaa" * 512],
)
def test_just_right(path: str) -> None:
    assert paths.checked_path(path) == path


def test_the_root_is_not_changed() -> None:
    with pytest.raises(InvalidRequestError, match="the root always exists"):
        paths.changeable_path("/")


@given(good_paths, good_segments)
def test_a_child_is_below_its_parent(path: str, segment: str) -> None:
    child = paths.child(path, segment)
    assert (paths.parent(child), paths.name(child)) == (path, segment)
    assert paths.ancestors(child) == [*paths.ancestors(path), path]
    assert all(paths.is_below(child, above) for above in ["/", *paths.ancestors(child)])
    assert not paths.is_below(path, path)
    assert not paths.is_below(path, child)
    # A name that begins with another is not below it.
    assert not paths.is_below(f"{path}x/{segment}", path)


def test_the_root_is_its_own_parent() -> None:
    assert paths.parent("/") == "/" == paths.parent("/a")
    assert paths.ancestors("/") == [] == paths.ancestors("/a")
    assert paths.child("/", "a") == "/a"
    assert paths.name("/") == ""
    assert not paths.is_below("/", "/")


@pytest.mark.parametrize(
    ("value", "stored"), [(None, b""), ("é", b"\xc3\xa9"), (b"\0\xff", b"\0\xff"), ("", b"")]
)
def test_values_are_bytes(value: bytes | str | None, stored: bytes) -> None:
    assert paths.checked_value(value) == stored


@pytest.mark.parametrize("value", [1, ["a"], bytearray(b"a"), "\ud800", b"a" * 1_000_001])
def test_other_values_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        paths.checked_value(value)
    with pytest.raises(InvalidRequestError):
        paths.checked_value(f"é{'a' * 999_999}")
    assert len(paths.checked_value(b"a" * 1_000_000)) == 1_000_000


# Transactions

TICKET = Ticket("/lock/1", 7, "session", Fence("/lock", 0, 7))


def noted() -> tuple[NodeTransaction, list[object]]:
    applied: list[object] = []

    async def commit(operations: object) -> list[NodeStat | None]:
        applied.append(operations)
        return []

    return NodeTransaction(commit), applied


async def test_a_transaction_is_committed_once() -> None:
    transaction, applied = noted()
    _: Transaction = transaction
    chained = transaction.check("/a", exists=False).create("/a", "v").guard(TICKET)
    assert chained is transaction
    await transaction.update("/a", None, expected_version=1).delete("/a").commit()
    assert len(applied) == 1
    with pytest.raises(InvalidRequestError, match="committed already"):
        await transaction.commit()
    with pytest.raises(InvalidRequestError, match="committed already"):
        transaction.delete("/a")


async def test_what_breaks_a_rule_is_refused_when_it_is_noted() -> None:
    transaction, applied = noted()
    wrong: list[Callable[[], object]] = [
        lambda: transaction.check("/a"),
        lambda: transaction.check("/a", version=1, exists=True),
        lambda: transaction.check("/a", version=True),
        lambda: transaction.check("a", exists=True),
        lambda: transaction.create("/a/"),
        lambda: transaction.create("/a", b"a" * 1_000_001),
        lambda: transaction.update("/", b""),
        lambda: transaction.delete("/"),
        lambda: transaction.delete("/a", expected_version=True),
    ]
    for note in wrong:
        with pytest.raises(InvalidRequestError):
            note()
    await transaction.commit()
    assert applied == [()]


@pytest.mark.parametrize(
    ("operations", "size", "problem"),
    [(101, 0, "at most 100 operations, this one 101"), (2, 600_000, "this one 1200000")],
)
async def test_limits_are_those_of_the_whole(operations: int, size: int, problem: str) -> None:
    transaction, applied = noted()
    for number in range(operations):
        transaction.create(f"/{number}", b"a" * size)
    with pytest.raises(BackendError, match=problem):
        await transaction.commit()
    assert applied == []
