"""Pure rules of positions: one order in Python and in a sorted index."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.object_model.positions import (
    next_position,
    position_from_sort_key,
    position_order,
    position_sort_key,
)
from tests.unit.json_strategies import texts

pytestmark = pytest.mark.promise("object.rules-hold-for-any-value")

positions = st.one_of(
    st.text("0123456789", min_size=1, max_size=40),
    st.text("0aé~٣:/-", min_size=1, max_size=5),
    texts.filter(bool),
    st.integers(0, 10**30).map(str),
    st.builds("{}~{:012d}".format, texts, st.integers(0, 10**12 - 1)),
)


@given(st.lists(positions, max_size=12))
def test_sort_keys_sort_as_positions_do(some: list[str]) -> None:
    by_key = sorted(some, key=position_sort_key)
    assert [position_order(one) for one in by_key] == sorted(map(position_order, some))


@given(positions)
def test_position_is_read_back_from_its_key(position: str) -> None:
    assert position_from_sort_key(position_sort_key(position)) == position


@given(positions, positions)
def test_different_positions_have_different_keys(one: str, other: str) -> None:
    assert (position_sort_key(one) == position_sort_key(other)) == (one == other)


@given(st.lists(positions, max_size=6), st.integers(1, 15))
def test_appended_position_is_the_highest(some: list[str], times: int) -> None:
    held = list(some)
    for _ in range(times):
        added = next_position(max(held, key=position_order, default=None))
        assert added not in held
        assert all(position_order(one) < position_order(added) for one in held)
        held.append(added)


def test_whole_lists_are_numbered() -> None:
    held: list[str] = []
    for number in range(30):
        held.append(next_position(held[-1] if held else None))
        assert held[-1] == str(number)


@pytest.mark.parametrize(
    "ordered",
    [
        ["0", "1", "2", "9", "10", "11", "100"],
        ["9", "10", "-1", "1a", "a", "b"],
        ["0", "00", "000", "1", "01"],
    ],
)
def test_numbers_come_first_and_in_order(ordered: list[str]) -> None:
    numbers = [one for one in ordered if one.isdigit()]
    assert sorted(ordered, key=position_order)[: len(numbers)] == sorted(
        numbers, key=lambda one: (int(one), one)
    )
