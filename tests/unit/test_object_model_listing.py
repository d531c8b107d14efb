"""Pure rules of lists: filters with and without an index, markers, arguments."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import InvalidRequestError
from asyncbackends.narrowing import is_dict
from asyncbackends.object_model.listing import listing, marker_after, matches, read_marker
from asyncbackends.object_model.values import index_key, json_equal
from asyncbackends.object_model.views import type_view
from asyncbackends.schema import ObjectType, Schema
from tests.unit.json_strategies import json_values, scalars, texts

pytestmark = pytest.mark.promise("object.rules-hold-for-any-value")

VIEW = type_view(
    Schema(
        {"kind": ObjectType(properties=("found", "read"), lists={"rows": None}, indexed=("found",))}
    ),
    "kind",
)


@given(st.lists(json_values, max_size=4), scalars)
def test_index_finds_what_reading_finds(values: list[Any], stored: Any) -> None:
    """A property gives the same answer whether it is indexed or not."""
    asked = listing(VIEW, filters={"found": values})
    assert asked.filters == {}
    by_index = index_key(stored) in asked.indexed["found"]
    assert by_index == matches({"read": values}, {"read": stored})


@given(json_values, json_values)
def test_value_matches_when_it_is_equal_or_contained(wanted: Any, stored: Any) -> None:
    matched = matches({"read": [wanted]}, {"read": stored})
    if is_dict(wanted) and is_dict(stored):
        assert matched == all(
            name in stored and json_equal(value, stored[name]) for name, value in wanted.items()
        )
    else:
        assert matched == json_equal(wanted, stored)


@given(json_values.filter(lambda value: value is not None))
def test_everything_matches_itself(value: Any) -> None:
    assert matches({"read": [value]}, {"read": value})
    assert not matches({"read": []}, {"read": value})
    assert not matches({"read": [value]}, {})


@given(st.dictionaries(st.sampled_from("abc"), st.lists(scalars, max_size=2), max_size=3))
def test_keys_are_joined_by_and(filters: dict[str, list[Any]]) -> None:
    properties = {"a": 1, "b": "x"}
    assert matches(filters, properties) == all(
        matches({name: values}, properties) for name, values in filters.items()
    )


@given(st.uuids().map(str))
def test_marker_leads_back(uuid: str) -> None:
    assert read_marker(marker_after(uuid)) == uuid
    assert listing(VIEW, marker=marker_after(uuid), limit=5).after == uuid


@given(texts)
def test_other_text_is_no_marker(text: str) -> None:
    if not text.startswith("after:"):
        with pytest.raises(InvalidRequestError):
            read_marker(text)


@given(st.lists(st.uuids()))
def test_ids_are_a_sorted_set(ids: list[Any]) -> None:
    asked = listing(VIEW, obj_uuids=[*ids, *map(str, ids)])
    assert asked.uuids == tuple(sorted({str(uuid) for uuid in ids}))
    assert asked.parents is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": True},
        {"limit": "5"},
        {"marker": "5"},
        {"count": True, "limit": 5},
        {"count": True, "marker": "after:x"},
        {"count": True, "field_names": ["read"]},
        {"obj_uuids": "not a list"},
        {"parent_uuids": ["x"]},
        {"filters": {"nothing": [1]}},
        {"filters": {"rows": [1]}},
        {"filters": {"read": "text"}},
        {"filters": {"read": [b"x"]}},
        {"filters": {"read": 5}},
        {"field_names": ["nothing"]},
        {"field_names": "read"},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        listing(VIEW, **arguments)
