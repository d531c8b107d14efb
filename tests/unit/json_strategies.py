"""Values that JSON has, and values that it has not."""

import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = ("any_values", "json_values", "scalars", "texts")


class Colour(enum.Enum):
    RED = "red"
    SEVEN = 7
    NOTHING = None


class Text(str):
    """A str of somebody's own."""

    __slots__ = ()


texts: SearchStrategy[str] = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
scalars: SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53).map(float),
    texts,
)
json_values: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
strange: SearchStrategy[Any] = st.one_of(
    st.binary(max_size=3),
    st.floats(),
    st.integers(),
    st.sampled_from([2**64, -(2**63) - 1, 10**40]),
    st.decimals(),
    st.text(max_size=3),
    st.just("a\0b"),
    st.just("\\u0000"),
    st.sampled_from([*Colour, Text("own"), Text("\0"), UUID(int=1), datetime.now(UTC), object()]),
    st.sampled_from([Decimal(1), (), {1}, frozenset(), {1: 2}, {"a\0": 1}, {None: 1}, {True: 1}]),
)
any_values: SearchStrategy[Any] = st.recursive(
    st.one_of(scalars, strange),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(st.one_of(texts, st.integers(), st.text()), inner, max_size=3),
    ),
    max_leaves=6,
)
