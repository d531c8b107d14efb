"""Pure rules of values: what may be stored, how it is compared, named and found."""

import math
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.values import (
    canonical_id,
    checked_text,
    fq_key,
    fq_name_of,
    index_key,
    json_equal,
    json_text,
    plain_text,
    value_problem,
)
from tests.unit.json_strategies import any_values, json_values, scalars, texts

pytestmark = pytest.mark.promise("object.rules-hold-for-any-value")

names = st.lists(texts.filter(bool), min_size=1, max_size=32)


@given(json_values)
def test_json_value_is_stored_and_reads_back_equal(value: Any) -> None:
    assert value_problem(value) is None
    read = msgspec.json.decode(json_text(value, "it"))
    assert read == value
    assert json_equal(read, value)


@given(any_values)
def test_what_is_encoded_at_once_has_no_problem(value: Any) -> None:
    """The short way never lets through what the walk refuses."""
    text = plain_text(value)
    if text is not None and type(value) is not str:
        problem = value_problem(value)
        # Text of somebody's own class is text all the same.
        assert problem is None or " is Text," in problem
    try:
        stored = json_text(value, "it")
    except InvalidRequestError:
        assert value_problem(value) is not None
    else:
        msgspec.json.decode(stored)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [0, {"b": b"x"}]}, "['a'][1]['b'] is bytes"),
        ([1, (2,)], "[1] is tuple, which JSON does not have; give it as a list"),
        ({1: 2}, "has the key 1, which is not a str"),
        ({"a": math.nan}, "['a'] is nan, not a finite number"),
        ([2**64], "[0] is not within -2**63 .. 2**64-1"),
        ("a\0", "is text with a NUL"),
        ({"\ud800": 1}, "has a key that is text with a lone surrogate"),
    ],
)
def test_error_says_where_and_why(value: Any, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        json_text(value, "the value")
    assert str(refusal.value).startswith("the value")
    assert reason in str(refusal.value)


@pytest.mark.parametrize("container", ["list", "dict"])
def test_depth_is_64(container: str) -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value] if container == "list" else {"x": value}
        return value

    json_text(nested(64), "it")
    with pytest.raises(InvalidRequestError, match="deeper than 64"):
        json_text(nested(65), "it")
    with pytest.raises(InvalidRequestError):
        json_text(nested(100_000), "it")


@given(json_values, st.integers(4, 200))
def test_limit_counts_the_bytes_of_json(value: Any, limit: int) -> None:
    size = len(msgspec.json.encode(value))
    if size <= limit:
        assert len(json_text(value, "it", limit).encode()) == size
    else:
        with pytest.raises(InvalidRequestError):
            json_text(value, "it", limit)


@given(scalars, scalars)
def test_index_key_is_equal_exactly_for_equal_scalars(one: Any, other: Any) -> None:
    assert (index_key(one) == index_key(other)) == json_equal(one, other)


@given(scalars)
def test_index_key_of_a_number_does_not_depend_on_its_type(value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and float(value) == value:
        assert index_key(value) == index_key(float(value))


@given(st.one_of(st.none(), st.lists(scalars), st.dictionaries(texts, scalars)))
def test_index_takes_scalars_alone(value: Any) -> None:
    assert index_key(value) is None


@given(json_values, json_values)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert json_equal(one, one)
    assert json_equal(one, other) == json_equal(other, one)
    # Python's equality is weaker: True is 1 there.
    if json_equal(one, other):
        assert one == other


@pytest.mark.parametrize("pair", [(True, 1), (False, 0), ([True], [1]), ({"a": 1}, {"a": True})])
def test_boolean_is_no_number(pair: tuple[Any, Any]) -> None:
    assert not json_equal(*pair)
    assert json_equal(1, 1.0)


@given(names)
def test_name_comes_back(name: list[str]) -> None:
    if len(msgspec.json.encode(name)) > 1024:
        with pytest.raises(InvalidRequestError):
            fq_key(name)
    else:
        assert fq_name_of(fq_key(name)) == name
        assert fq_key(tuple(name)) == fq_key(name)


@given(names, names)
def test_different_names_have_different_keys(one: list[str], other: list[str]) -> None:
    assert (fq_key(one, 10**6) == fq_key(other, 10**6)) == (one == other)


@given(st.uuids())
def test_every_form_of_an_id_is_the_same_id(uuid: UUID) -> None:
    forms: list[UUID | str] = [
        uuid,
        str(uuid),
        str(uuid).upper(),
        uuid.hex,
        f"{{{uuid}}}",
        uuid.urn,
    ]
    assert {canonical_id(form) for form in forms} == {str(uuid)}


@pytest.mark.parametrize("wrong", ["", "x", 5, None, b"0" * 16, ["a"], "0" * 31, object()])
def test_what_is_no_id_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="is not a UUID"):
        canonical_id(wrong)


@given(st.text(max_size=300))
def test_checked_text_is_of_so_many_bytes(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    if 1 <= size <= 255 and "\0" not in text:
        assert checked_text(text, "it") == text
    else:
        with pytest.raises(InvalidRequestError, match=r"^it "):
            checked_text(text, "it")
