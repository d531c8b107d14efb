"""Lines of our own form, and what is done about objects that are there already: pure rules."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.files import RecordFile
from asyncbackends.interchange.presence import (
    changed_fields,
    element_updates,
    identity_problem,
    same_refs,
)
from asyncbackends.interchange.records import (
    FORMAT,
    VERSION,
    EndRecord,
    Header,
    ObjectRecord,
    RowRecord,
    ShareRecord,
    TextRecord,
    canonical,
    read_header,
    read_record,
    to_line,
)
from asyncbackends.protocols.values import CollectionUpdate, ConfigObject
from asyncbackends.schema import MapProperty, ObjectType, RefType, Schema

NAME = "a dump"
NOW = datetime.now(UTC)
THING = ObjectType(
    lists={"rules": "or_list", "bare": None},
    maps={"pairs": MapProperty()},
    refs={"other": RefType()},
)


def stored(**content: Any) -> ConfigObject:
    return ConfigObject(
        {"uuid": "u", "fq_name": ["n"]} | content, revision=1, created=NOW, last_modified=NOW
    )


def record(positions: dict[str, list[str]] | None = None, **content: Any) -> ObjectRecord:
    return ObjectRecord("thing", {"uuid": "u", "fq_name": ["n"]} | content, positions or {})


@pytest.mark.parametrize(
    "line",
    [
        ObjectRecord("thing", {"uuid": "u", "a": [1, None]}, {"l": ["0", "x"]}, ["h"]),
        ShareRecord("thing", "u", "tenant", "t", 7),
        RowRecord("table", "key", {"column": 1}),
        TextRecord("key", "value"),
        EndRecord(3),
    ],
)
def test_records_read_back_equal(line: Any) -> None:
    assert read_record(to_line(line), NAME, 2) == line


def test_equal_records_are_equal_bytes_whatever_the_order_of_their_keys() -> None:
    assert to_line(ObjectRecord("t", {"a": {"x": 1, "y": 2}, "b": 1})) == to_line(
        ObjectRecord("t", {"b": 1, "a": {"y": 2, "x": 1}})
    )


def test_the_header_is_the_first_line() -> None:
    schema = Schema({"thing": ObjectType(properties=("a",))})
    header = Header(FORMAT, VERSION, schema.to_dict(), 7)
    assert read_header(to_line(header), NAME) == (header, schema)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"format":"asyncbackends-dump","version":9,"schema":{},"revision":1}\n', "version 9"),
        (b'{"format":"asyncbackends-dump","version":1}\n', "no header"),
        (b'{"format":"asyncbackends-dump","vers', "line 1 is cut off"),
        (
            b'{"format":"asyncbackends-dump","version":1,"schema":{"types":{"a":{"x":1}}},"revision":1}\n',
            "line 1: schema type 'a'",
        ),
    ],
)
def test_a_wrong_header_is_refused(line: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        read_header(line, NAME)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"record":"object","ty', "line 5 is cut off"),
        (b'{"record":"object",}\n', "line 5 is not JSON"),
        (b"\n", "line 5 is not JSON"),
        (b'{"record":"ghost"}\n', "line 5 is no record"),
        (b'{"record":"object","type":1,"object":{}}\n', "line 5 is no record"),
        (b'{"record":"object","type":"a","object":{"b":"\xff"}}\n', "line 5"),
        (b'{"record":"object","type":"a","object":' + b'{"a":' * 10_000 + b"\n", "line 5"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(line: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"{NAME}: {said}"):
        read_record(line, NAME, 5)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([ObjectRecord("t", {})], "cut off"),
        ([], "cut off"),
        ([ObjectRecord("t", {}), EndRecord(2)], "line 3 counts 2 objects, but 1"),
        ([EndRecord(0), ObjectRecord("t", {})], "behind the end"),
    ],
)
def test_a_dump_that_lost_lines_is_refused(lines: list[Any], said: str) -> None:
    file = RecordFile(io.BytesIO(b"".join(map(to_line, lines))), NAME, lines_before=1)
    with pytest.raises(InvalidRequestError, match=said):
        list(file.check())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_the_canonical_value_is_equal(value: Any) -> None:
    assert canonical(value) == value


def test_whole_floats_are_written_as_integers() -> None:
    assert repr(canonical({"a": [1.0, 1.5, True, 1e300]})) == repr({"a": [1, 1.5, True, 1e300]})


def test_what_is_equal_needs_no_update() -> None:
    content: dict[str, Any] = {"a": 1, "rules": {"or_list": [1, 2]}, "pairs": [{"key": "k"}]}
    positions = {"rules": ["0", "1"]}
    assert changed_fields(record(None, **content), stored(**content), positions, THING) == {}
    assert changed_fields(record(bare=[]), stored(), {}, THING) == {}
    assert changed_fields(record(rules={"or_list": []}), stored(), {}, THING) == {}


def test_what_differs_is_set_and_what_is_gone_is_removed() -> None:
    update = changed_fields(record(a=2, c={"x": []}), stored(a=1, b=1), {}, THING)
    assert update == {"a": 2, "b": None, "c": {"x": []}}


def test_a_boolean_is_not_a_number() -> None:
    assert changed_fields(record(a=True), stored(a=1), {}, THING) == {"a": True}


def test_positions_of_their_own_are_written_element_by_element() -> None:
    wanted = record({"rules": ["0", "x"]}, rules={"or_list": ["a", "b"]})
    there = stored(rules={"or_list": ["a", "b"]})
    update = changed_fields(wanted, there, {"rules": ["0", "1"]}, THING)
    assert update == {"rules": None}
    assert list(element_updates(wanted, THING, update)) == [
        CollectionUpdate("rules", "add", "a", "0"),
        CollectionUpdate("rules", "add", "b", "x"),
    ]
    assert changed_fields(wanted, there, {"rules": ["0", "x"]}, THING) == {}
    assert list(element_updates(wanted, THING, {})) == []


def test_a_list_loses_positions_that_the_dump_does_not_have() -> None:
    wanted, there = record(bare=["a"]), stored(bare=["a"])
    assert changed_fields(wanted, there, {"bare": ["7"]}, THING) == {"bare": ["a"]}


@pytest.mark.parametrize(
    "wanted",
    [
        record({"bare": ["0"]}, bare=["a", "b"]),
        record({"bare": ["0", "0"]}, bare=["a", "b"]),
        record({"bare": ["0"]}),
        record({"pairs": ["0"]}, pairs=["a"]),
    ],
)
def test_positions_must_fit_the_elements(wanted: ObjectRecord) -> None:
    with pytest.raises(InvalidRequestError):
        list(element_updates(wanted, THING))


def test_refs_are_compared_by_target_and_attr() -> None:
    there = stored(other_refs=[{"to": ["n"], "uuid": "o", "attr": None}])
    assert same_refs(record(other_refs=[{"uuid": "o"}]), there, THING)
    assert not same_refs(record(other_refs=[{"uuid": "o", "attr": 1}]), there, THING)
    assert not same_refs(record(), there, THING)
    assert not same_refs(record(other_refs="text"), there, THING)


def test_a_name_or_a_parent_cannot_change() -> None:
    assert identity_problem(record(), stored()) is None
    assert "fq_name" in (identity_problem(record(fq_name=["m"]), stored()) or "")
    there = stored(parent_type="p", parent_uuid="q")
    assert identity_problem(record(parent_uuid="q"), there) is None
    assert "parent_uuid" in (identity_problem(record(), there) or "")
