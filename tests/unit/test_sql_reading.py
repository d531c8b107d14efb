"""Objects are put together from rows in whatever order a server gives them."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends import ALL_FIELDS, MapProperty, ObjectType, RefType, Schema
from asyncbackends.object_model.assembling import assemble
from asyncbackends.object_model.positions import position_sort_key
from asyncbackends.object_model.views import type_view
from asyncbackends.protocols.values import FieldNames
from asyncbackends.sql.reading import (
    BACK_REF,
    CHILD,
    ELEMENT,
    HEAD,
    REF,
    assembled,
    elements_alone,
    elements_by_field,
    objects_statement,
    page_statement,
    wanted_parts,
)
from asyncbackends.sql.statements import Statements
from tests.unit.plain_dialect import PlainDialect

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",),
            lists={"rules": None},
            maps={"notes": MapProperty()},
            refs={"policy": RefType()},
        ),
        "port": ObjectType(parents=("network",), refs={"network": RefType()}),
    }
)
VIEW = type_view(SCHEMA, "network")
A, B, P, Q, R = (f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 6))
Rows = list[tuple[Any, ...]]

ROWS: Rows = [
    (HEAD, A, '["d","a"]', "project", P, '{"mtu":1}', "7 1000000 2000000"),
    (HEAD, B, '["d","b"]', None, None, None, "9 1 2"),
    *(
        (ELEMENT, A, "rules", position_sort_key(str(at)), f"{at}", None, None)
        for at in (0, 2, 10, 100)
    ),
    (ELEMENT, A, "notes", "k/1", '{"key":"k/1"}', None, None),
    (ELEMENT, A, "notes", "a", '{"key":"a"}', None, None),
    (REF, A, "policy", Q, '["q"]', "null", None),
    (REF, A, "policy", R, None, '{"n":1}', None),
    (BACK_REF, A, "port", R, '["r"]', "null", None),
    (CHILD, A, "port", R, '["r"]', None, None),
    (CHILD, B, "port", Q, '["q"]', None, None),
    # Parts of what is not there, or of another type.
    (ELEMENT, R, "rules", position_sort_key("0"), "0", None, None),
    (REF, Q, "policy", P, '["p"]', "null", None),
]


@given(st.integers())
def test_order_of_rows_does_not_matter(seed: int) -> None:
    rows = list(ROWS)
    random.Random(seed).shuffle(rows)
    selection = VIEW.select(ALL_FIELDS)
    found = {uuid: assemble(VIEW, selection, one) for uuid, one in assembled(VIEW, rows).items()}
    assert found == {
        A: {
            "uuid": A,
            "fq_name": ["d", "a"],
            "parent_type": "project",
            "parent_uuid": P,
            "mtu": 1,
            "rules": [0, 2, 10, 100],
            "notes": [{"key": "a"}, {"key": "k/1"}],
            "policy_refs": [
                {"to": ["q"], "uuid": Q, "attr": None},
                {"uuid": R, "attr": {"n": 1}},
            ],
            "port_back_refs": [{"to": ["r"], "uuid": R, "attr": None}],
            "ports": [{"to": ["r"], "uuid": R}],
        },
        B: {"uuid": B, "fq_name": ["d", "b"], "ports": [{"to": ["q"], "uuid": Q}]},
    }
    assert (found[A].revision, found[B].revision) == (7, 9)
    assert found[A].created.timestamp() == 1
    assert found[A].last_modified.timestamp() == 2


def test_elements_by_field() -> None:
    stored = assembled(VIEW, ROWS)[A]
    assert elements_by_field(stored, ["rules", "notes"]) == {
        "rules": [("0", "0"), ("2", "2"), ("10", "10"), ("100", "100")],
        "notes": [("k/1", '{"key":"k/1"}'), ("a", '{"key":"a"}')],
    }


@pytest.mark.parametrize(
    ("field_names", "names"),
    [
        (None, ["head", "elements", "refs"]),
        (ALL_FIELDS, ["head", "elements", "refs", "back_refs", "children"]),
        ([], ["head without document"]),
        (["mtu"], ["head"]),
        (["uuid", "fq_name"], ["head without document"]),
        (["rules"], ["head without document", "some elements"]),
        (["policy_refs", "ports"], ["head without document", "some refs", "children"]),
        (["port_back_refs", "mtu"], ["head", "back_refs"]),
    ],
)
def test_only_wanted_parts_are_read(field_names: FieldNames, names: list[str]) -> None:
    assert list(wanted_parts(VIEW, VIEW.select(field_names)).names) == names


def test_types_without_collections_and_refs_are_read_by_their_head_alone() -> None:
    view = type_view(SCHEMA, "project")
    assert wanted_parts(view, view.select(None)).names == ("head",)


def test_filters_need_the_document_whatever_is_wanted() -> None:
    assert wanted_parts(VIEW, elements_alone(["rules"]), document=True).names[0] == "head"


@pytest.mark.parametrize("field_names", [None, ALL_FIELDS, ["rules", "policy_refs", "ports"]])
@pytest.mark.parametrize("uuids", [[A], [A, B]])
def test_one_statement_with_a_parameter_for_each_mark(
    field_names: FieldNames, uuids: list[str]
) -> None:
    sql = Statements(PlainDialect(), "")
    parts = wanted_parts(VIEW, VIEW.select(field_names))
    text, parameters = objects_statement(sql, parts, uuids)
    assert text.count("?") == len(parameters)
    assert text.count(" UNION ALL ") == len(parts.names) - 1
    assert text is objects_statement(sql, parts, uuids)[0]
    page = ("SELECT o.uuid AS uuid FROM ~object o WHERE o.type = ?", ["network"])
    text, parameters = page_statement(sql, parts, "key", *page)
    assert text.count("?") == len(parameters)
    assert text is page_statement(sql, parts, "key", *page)[0]
