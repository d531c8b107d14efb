"""Lists become statements that start at the narrowest index, and never skip rows to get on."""

from itertools import product
from typing import Any

import pytest

from asyncbackends import ObjectType, RefType, Schema
from asyncbackends.object_model.listing import Listing, listing
from asyncbackends.object_model.views import type_view
from asyncbackends.sql.listing import SOURCES, ListQuery
from asyncbackends.sql.statements import Statements
from tests.unit.plain_dialect import PlainDialect

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",), refs={"policy": RefType()}, indexed=("mtu", "state")
        ),
    }
)
VIEW = type_view(SCHEMA, "network")
UUIDS = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 6)]

ANCHORS: list[list[str] | None] = [None, UUIDS[:1], UUIDS[:3]]
FILTERS: list[dict[str, list[Any]] | None] = [
    None,
    {"mtu": [1]},
    {"mtu": [1, 2]},
    {"mtu": [1], "state": ["up", "down"]},
]


def query(**restrictions: Any) -> tuple[ListQuery, Listing]:
    wanted = listing(VIEW, **restrictions)
    return ListQuery(Statements(PlainDialect(), ""), wanted), wanted


@pytest.mark.parametrize(
    ("parents", "back_refs", "uuids", "filters"),
    [*product(ANCHORS, ANCHORS, ANCHORS, FILTERS)],
)
def test_parameters_stand_at_their_marks(
    parents: list[str] | None,
    back_refs: list[str] | None,
    uuids: list[str] | None,
    filters: dict[str, list[Any]] | None,
) -> None:
    made, wanted = query(
        parent_uuids=parents, back_ref_uuids=back_refs, obj_uuids=uuids, filters=filters
    )
    for after, limit in product((None, UUIDS[4]), (None, 11)):
        _, neutral, given = made.uuids(after, limit)
        statements = [made.page(after, limit), made.documents(after, 500), (neutral, given)]
        for text, parameters in [*statements, made.count()]:
            assert text.count("?") == len(parameters)
            # A list stands where a list is asked for, in their order.
            marks = [before.endswith(" IN ") for before in text.split("?")[:-1]]
            assert [isinstance(one, list) for one in parameters] == marks
            assert "OFFSET" not in text
            assert wanted.obj_type in parameters
        assert neutral.endswith("LIMIT 11") == (limit is not None)
        assert (after in given) == (after is not None)


@pytest.mark.parametrize(
    ("restrictions", "source"),
    [
        ({}, "type"),
        ({"obj_uuids": UUIDS}, "uuids"),
        ({"parent_uuids": UUIDS[:1], "filters": {"mtu": [1]}}, "parent"),
        ({"parent_uuids": UUIDS, "obj_uuids": UUIDS}, "parents"),
        ({"parent_uuids": UUIDS[:1], "back_ref_uuids": UUIDS[1:2]}, "back_ref"),
        ({"back_ref_uuids": UUIDS[1:4]}, "back_refs"),
        ({"filters": {"mtu": [1]}}, "indexed"),
        ({"filters": {"mtu": [1, 2], "state": ["up"]}}, "indexed some"),
    ],
)
def test_list_starts_at_the_narrowest_index(restrictions: dict[str, Any], source: str) -> None:
    made, _ = query(**restrictions)
    text, _ = made.page(None, 5)
    assert SOURCES[source].rows.format("") in text


def test_statements_are_made_once() -> None:
    sql = Statements(PlainDialect(), "")
    wanted = listing(VIEW, parent_uuids=UUIDS[:1], limit=5)
    first, second = ListQuery(sql, wanted), ListQuery(sql, wanted)
    assert first.page(None, 6)[0] is second.page(None, 6)[0]
    assert first.count()[0] is second.count()[0]
    assert first.documents(None, 5)[0] is second.documents(None, 5)[0]
