"""From the columns of OpenContrail to objects: pure rules."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import read_column_form, read_exim_form
from asyncbackends.interchange.column_names import Column, attr_of, split_column
from asyncbackends.interchange.converting import Converter
from asyncbackends.interchange.findings import Findings, Issue
from asyncbackends.interchange.inferring import SchemaSketch
from asyncbackends.interchange.ordering import type_groups
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.reverse_links import compare_links, compare_names, read_names
from asyncbackends.interchange.scanning import Index, scan
from asyncbackends.schema import MapProperty, ObjectType, RefType, Schema
from tests.data.generate_dumps import (
    ABSENT,
    cloud,
    column_form,
    damaged,
    exim_form,
    uuid_of,
)

U = "0f000000-0000-4000-8000-00000000000{}"


def converted(
    content: object, schema: Schema | None = None
) -> tuple[list[ObjectRecord], Schema, Findings]:
    """Convert a dump that was decoded already."""
    findings, index = Findings(), Index()
    buffer = json.dumps(content).encode()
    reader = read_column_form if isinstance(content, list) else None
    dump = (
        reader(buffer, "a dump")
        if reader is not None
        else read_exim_form(buffer, "a dump", findings)
    )
    named = read_names(dump, findings)
    list(scan(dump, named, findings, index))
    compare_names(named, index, findings)
    compare_links(named, index, findings)
    inferred = index.sketch.infer()
    converter = Converter(
        dump,
        index,
        schema or inferred.schema,
        findings,
        dropped=inferred.dropped,
        present={},
    )
    return list(converter.records(converter.order())), inferred.schema, findings


def one_row(columns: dict[str, Any], **others: dict[str, Any]) -> list[dict[str, Any]]:
    """A dump of an object and some others of type ``thing``."""
    rows = {U.format(1): columns} | {U.format(key[1:]): row for key, row in others.items()}
    return [{"operation": "db_sync", "OBJ_FQ_NAME_TABLE": {}, "db": rows}]


def row(name: str, obj_type: str = "thing", **columns: str) -> dict[str, Any]:
    return {
        "type": json.dumps(obj_type),
        "fq_name": json.dumps([name]),
        **{column.replace("__", ":"): text for column, text in columns.items()},
    }


def without_names(record: ObjectRecord) -> dict[str, Any]:
    """A record's object; refs as sets of what they hold."""
    return record.object


@pytest.mark.parametrize("form", [column_form, exim_form])
def test_every_object_is_converted_as_it_was_described(form: Any) -> None:
    made = cloud()
    records, _, findings = converted(form(made))
    expected = {thing.uuid: thing.expected() for thing in made.things}
    assert findings.damaged == []
    assert findings.warnings == {}
    assert {record.uuid for record in records} == expected.keys()
    for record in records:
        wanted = expected[record.uuid]
        for refs in (value for field, value in wanted.items() if field.endswith("_refs")):
            for ref in refs:
                del ref["to"]
                if ref["attr"] is None:
                    del ref["attr"]
        assert record.object == wanted


def test_parents_stand_before_their_children() -> None:
    records, _, _ = converted(column_form(cloud()))
    seen: set[str] = set()
    for record in records:
        assert record.object.get("parent_uuid", "") in {*seen, ""}
        seen.add(record.uuid)


def test_lists_are_in_the_order_of_numbers_and_keep_positions_of_their_own() -> None:
    records, _, _ = converted(column_form(cloud()))
    alarms = {record.object["fq_name"][-1]: record for record in records if record.type == "alarm"}
    rules = alarms["disk-usage"].object["alarm_rules"]
    assert [rule["and_list"][0]["operand1"] for rule in rules] == [str(n) for n in range(12)]
    assert alarms["disk-usage"].positions == {}
    assert alarms["node-down"].positions == {"alarm_rules": ["0", "2", "10", "abc"]}


def test_inferred_schema_is_the_one_behind_the_columns() -> None:
    _, schema, _ = converted(column_form(cloud()))
    port = schema.types["virtual_machine_interface"]
    assert port.parents == ("project",)
    assert port.maps == {"virtual_machine_interface_bindings": MapProperty(key="key")}
    assert sorted(port.refs) == [
        "routing_instance",
        "security_group",
        "virtual_machine_interface",
        "virtual_network",
    ]
    assert schema.types["alarm"].lists == {"alarm_rules": None}
    assert schema.types["domain"].parents == ()


def test_a_parent_is_optional_where_some_have_none() -> None:
    child = row("a", "leaf", parent_type='"thing"', **{f"parent__thing__{U.format(1)}": "null"})
    records, schema, _ = converted(one_row(row("top"), n2=child, n3=row("b", "leaf")))
    assert schema.types["leaf"].parents == ("thing", "config_root")
    assert len(records) == 3


def test_the_key_of_a_map_is_the_field_that_holds_it_everywhere() -> None:
    columns = {
        "propm__pairs__a": '{"name": "a", "other": "a"}',
        "propm__pairs__b:c": '{"name": "b:c", "other": "x"}',
    }
    records, schema, findings = converted(one_row(row("it", **columns)))
    assert schema.types["thing"].maps == {"pairs": MapProperty(key="name")}
    assert [pair["name"] for pair in records[0].object["pairs"]] == ["a", "b:c"]
    assert findings.damaged == []


def test_wrappers_come_back_with_a_schema() -> None:
    schema = Schema(
        {
            "thing": ObjectType(
                properties=(),
                lists={"rules": "or_list"},
                maps={"pairs": MapProperty(key="key", wrapper="pair")},
            )
        }
    )
    columns = {"propl__rules__0": "1", "propm__pairs__k": '{"key": "k"}'}
    records, _, _ = converted(one_row(row("it", **columns)), schema)
    assert records[0].object["rules"] == {"or_list": [1]}
    assert records[0].object["pairs"] == {"pair": [{"key": "k"}]}


def test_a_ref_that_one_end_alone_stores_is_loaded_at_both() -> None:
    holder = row("a", **{f"ref__thing__{U.format(2)}": '{"attr": 1}'})
    records, _, findings = converted(one_row(holder, n2=row("b")))
    refs = {record.object["fq_name"][0]: record.object["thing_refs"] for record in records}
    assert refs == {
        "a": [{"uuid": U.format(2), "attr": 1}],
        "b": [{"uuid": U.format(1), "attr": 1}],
    }
    assert findings.warning_counts == {"refs of one type at one end only": 1}


def test_where_two_ends_disagree_the_first_by_uuid_is_taken() -> None:
    first = row("a", **{f"ref__thing__{U.format(2)}": '{"attr": 1}'})
    second = row("b", **{f"ref__thing__{U.format(1)}": '{"attr": 2}'})
    records, _, findings = converted(one_row(first, n2=second))
    assert [record.object["thing_refs"][0]["attr"] for record in records] == [1, 1]
    assert findings.warning_counts == {"refs whose ends disagree": 1}


def test_every_kind_of_damage_is_found_where_it_is() -> None:
    made = cloud()
    _, _, findings = converted(damaged(made))
    network, second = made.of("virtual_network")[:2]
    where = {(issue.row, issue.column) for issue in findings.damaged}
    domain = made.of("domain")[0]
    third = made.of("virtual_network")[2]
    assert where == {
        ("no-uuid", ""),
        (uuid_of("text"), ""),
        (uuid_of("untyped"), "type"),
        (uuid_of("nameless"), "fq_name"),
        (uuid_of("half"), "type"),
        (domain.uuid.upper(), ""),
        (f"virtual_network {uuid_of('namesake')}", "fq_name"),
        (f"project {uuid_of('orphan')}", f"parent:domain:{ABSENT}"),
        (f"network_ipam {uuid_of('grandchild')}", f"parent:project:{uuid_of('orphan')}"),
        (f"virtual_network {network.uuid}", f"ref:network_ipam:{ABSENT}"),
        (f"virtual_network {network.uuid}", f"ref:network_ipam:{second.uuid}"),
        (f"virtual_network {network.uuid}", "ref:network_ipam:no-uuid"),
        (f"virtual_network {second.uuid}", "prop:broken"),
        (f"virtual_network {second.uuid}", "prop:too_large"),
        (f"virtual_network {second.uuid}", "prop:with_nul"),
        (f"virtual_network {second.uuid}", "prop:not_text"),
        (f"virtual_network {second.uuid}", "propl:cut"),
        (
            f"virtual_machine_interface {made.of('virtual_machine_interface')[0].uuid}",
            "propm:virtual_machine_interface_bindings:other",
        ),
        (f"project {made.of('project')[0].uuid}", "prop:virtual_networks"),
        (f"alarm {made.of('alarm')[0].uuid}", "prop:alarm_rules"),
        (f"alarm {uuid_of('lost')}", ""),
        (f"floating_ip {uuid_of('lost address')}", ""),
    }
    assert all(issue.reason for issue in findings.damaged)
    assert findings.warning_counts["refs whose ends disagree"] == 1
    assert findings.warning_counts["reverse columns without a link"] == 1
    odd = findings.warnings["reverse columns without a link"][0]
    assert odd.row == f"virtual_network {third.uuid}"


def test_a_circle_of_parents_is_damage() -> None:
    first = row("a", **{f"parent__thing__{U.format(2)}": "null"})
    second = row("b", **{f"parent__thing__{U.format(1)}": "null"})
    records, _, findings = converted(one_row(first, n2=second))
    assert records == []
    assert findings.damaged_count == 2


def test_names_that_collide_are_reported_and_links_keep_theirs() -> None:
    columns = {"prop__uuid": "1", "prop__leafs": "1", "prop__thing_refs": "1"}
    child = row("x", "leaf", **{f"parent__thing__{U.format(1)}": "null"})
    peer = row("b", **{f"ref__thing__{U.format(1)}": "{}"})
    records, _, findings = converted(one_row(row("a", **columns), n2=child, n3=peer))
    assert len(records) == 3
    assert {issue.column for issue in findings.damaged} == {
        "prop:uuid",
        "prop:leafs",
        "prop:thing_refs",
    }


names = st.sampled_from(
    ["a", "b", "as", "a_ref", "b_ref", "a_back_ref", "a_refs", "b_back_refs", "uuid", "fq_name"]
)


@given(
    st.lists(
        st.tuples(names, st.sampled_from(["prop", "propl", "propm", "ref", "parent"]), names),
        max_size=30,
    )
)
def test_whatever_is_seen_a_schema_can_be_inferred(seen: list[tuple[str, str, str]]) -> None:
    sketch = SchemaSketch()
    for obj_type, kind, name in seen:
        kept = sketch.type(obj_type)
        if kind == "ref":
            kept.refs.add(name)
        elif kind == "parent":
            kept.add_parent(name)
        else:
            column = Column(kind, name, "0")  # type: ignore[arg-type]  # sampled from its values
            kept.add_field(column, '{"key": "0"}')
    schema = sketch.infer().schema
    assert schema.types.keys() == sketch.types.keys()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("prop:id_perms", Column("prop", "id_perms", "")),
        ("propl:rules:10", Column("propl", "rules", "10")),
        ("propm:bindings:a:b", Column("propm", "bindings", "a:b")),
        (f"backref:instance-ip:{ABSENT}", Column("backref", "instance_ip", ABSENT, dashed=True)),
        (f"relaxbackref:{ABSENT}", Column("relaxbackref", "", ABSENT)),
        ("META:latest_col_ts", None),
        ("UUID", None),
    ],
)
def test_column_names_are_taken_apart(column: str, expected: Column | None) -> None:
    assert split_column(column) == expected


@pytest.mark.parametrize("column", ["ref:thing", "ref:thing:no-uuid", "propl:rules", "propl:r:"])
def test_a_broken_column_name_is_refused(column: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_column(column)


@pytest.mark.parametrize(
    ("data", "attr"),
    [
        ({"attr": None, "is_weakref": False}, None),
        ({"attr": {"a": 1}}, {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ({}, None),
        (None, None),
        ("old", "old"),
    ],
)
def test_old_ref_data_is_the_attr_itself(data: object, attr: object) -> None:
    assert attr_of(data) == attr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[{", "cut off"),
        (b'[{"db": nul}]', "not JSON"),
        (b'[{"other": {}}]', "no known form"),
        (b"[]", "0 entries"),
        (b'[{"db": {}}, {"db": {}}]', "2 entries"),
        (b'[{"db": ' + b"[" * 10_000, "a dump"),
    ],
)
def test_what_is_no_column_dump_is_refused_in_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        read_column_form(content, "a dump")


@pytest.mark.parametrize("content", [b"{}", b'{"cassandra": {}}', b'{"cassandra": []}', b'{"cas'])
def test_what_is_no_exim_dump_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="a dump"):
        read_exim_form(content, "a dump", Findings())


def test_types_are_grouped_with_parents_first() -> None:
    schema = Schema(
        {
            "a": ObjectType(parents=("z",)),
            "folder": ObjectType(parents=("folder", "z", "config_root")),
            "left": ObjectType(parents=("right", "config_root")),
            "right": ObjectType(parents=("left",)),
            "z": ObjectType(refs={"a": RefType()}),
        }
    )
    assert type_groups(schema) == [("z",), ("a",), ("folder",), ("left", "right")]


def test_issues_read_as_one_line() -> None:
    assert str(Issue("row", "column", "why")) == "row: column: why"
    assert str(Issue("row", "", "why")) == "row: why"
