"""Pure rules of the schema: its file form, what it refuses, what is a superset."""

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncbackends.errors import ConfigurationError
from asyncbackends.schema import NO_PARENT, MapProperty, ObjectType, RefType, Schema, reconcile
from tests.unit.json_strategies import texts

pytestmark = pytest.mark.promise("object.rules-hold-for-any-value")

type_names = st.text(string.ascii_letters, min_size=1, max_size=3).filter(
    lambda name: name != NO_PARENT
)
fields = texts.filter(bool)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Any schema whose names do not collide."""
    names = draw(st.lists(type_names, max_size=4, unique=True))
    some_names = st.lists(st.sampled_from(names), unique=True) if names else st.just([])
    types: dict[str, ObjectType] = {}
    for name in names:
        free = draw(st.lists(fields, max_size=6, unique=True))
        properties, lists, maps = free[:2], free[2:4], free[4:]
        parents = draw(some_names)
        types[name] = ObjectType(
            parents=(*parents, *draw(st.sampled_from([(), (NO_PARENT,)]))),
            properties=draw(st.sampled_from([None, tuple(properties)])),
            lists={field: draw(st.sampled_from([None, "list", "ü"])) for field in lists},
            maps={field: draw(map_properties) for field in maps},
            refs={target: draw(ref_types) for target in draw(some_names)},
            indexed=tuple(draw(st.sampled_from([properties, []]))),
        )
    try:
        return Schema(types)
    except ConfigurationError:
        # Names collide: children, refs and fields share one space.
        return Schema({name: ObjectType() for name in names})


map_properties = st.builds(MapProperty, fields, st.sampled_from([None, "pair"]))
ref_types = st.builds(RefType, st.booleans(), st.booleans())


@given(schemas())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_schema_comes_back_from_its_file(tmp_path: Path, schema: Schema) -> None:
    file = tmp_path / "schema.toml"
    file.write_text(schema.to_toml(), "utf-8")
    assert Schema.from_toml(file) == schema
    assert Schema.from_dict(schema.to_dict()) == schema


@given(schemas())
def test_schema_is_a_superset_of_itself(schema: Schema) -> None:
    assert schema.difference(schema) is None
    assert reconcile(schema, schema) == reconcile(None, schema) == reconcile(schema, None) == schema


@given(schemas(), st.data())
def test_schema_without_one_type_is_no_superset(schema: Schema, data: st.DataObject) -> None:
    free = [
        name
        for name in schema.types
        if not any(
            name in {*other.parents, *other.refs, *other.derived_children}
            for one, other in schema.types.items()
            if one != name
        )
    ]
    if free:
        gone = data.draw(st.sampled_from(free))
        smaller = Schema({name: one for name, one in schema.types.items() if name != gone})
        assert schema.difference(smaller) is None
        assert f"type {gone!r}" in (smaller.difference(schema) or "")
        with pytest.raises(ConfigurationError, match=gone):
            reconcile(smaller, schema)


@pytest.mark.parametrize(
    ("types", "problem"),
    [
        ({"a-b": ObjectType()}, "type name"),
        ({NO_PARENT: ObjectType()}, "type name"),
        ({"a": ObjectType(parents=("b",))}, "parents: 'b'"),
        ({"a": ObjectType(refs={"b": RefType()})}, "refs: 'b'"),
        ({"a": ObjectType(derived_children=("a",))}, "derived_children: 'a'"),
        ({"a": ObjectType(properties=("uuid",))}, "'uuid'"),
        ({"a": ObjectType(properties=("x", "x"))}, "'x'"),
        ({"a": ObjectType(properties=("x",), lists={"x": None})}, "'x'"),
        ({"a": ObjectType(lists={"x": None}, maps={"x": MapProperty()})}, "'x'"),
        ({"a": ObjectType(properties=("a_refs",), refs={"a": RefType()})}, "'a_refs'"),
        ({"a": ObjectType(properties=("bs",)), "b": ObjectType(parents=("a",))}, "'bs'"),
        ({"a": ObjectType(properties=("y",), indexed=("x",))}, "indexed: 'x'"),
        ({"a": ObjectType(lists={"x": None}, indexed=("x",))}, "indexed: 'x'"),
    ],
)
def test_schema_that_contradicts_itself_is_refused(
    types: dict[str, ObjectType], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match="schema type") as refusal:
        Schema(types)
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("types = 5", "`types`"),
        ("[kinds.a]", "kinds"),
        ("[types.a]\ncolour = 1", "type 'a'"),
        ("[types.a]\nproperties = 'x'", "properties"),
        ("[types.a]\nparents = ['b']", "'b'"),
        ("[types.a\n[types.b]", "line 1"),
    ],
)
def test_file_at_fault_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=r"broken\.toml") as refusal:
        Schema.from_toml(file)
    assert reason in str(refusal.value)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        Schema.from_toml(tmp_path / "absent.toml")
    tmp_path.joinpath("binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"binary\.toml"):
        Schema.from_toml(tmp_path / "binary.toml")


WIDE: dict[str, Any] = {
    "properties": ("x", "y"),
    "parents": ("p", NO_PARENT),
    "lists": {"l": None},
    "maps": {"m": MapProperty()},
    "refs": {"p": RefType()},
    "indexed": ("x",),
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"properties": ("x",)}, "'y'"),
        ({"parents": (NO_PARENT,)}, "'p'"),
        ({"parents": ("p",)}, NO_PARENT),
        ({"lists": {}}, "'l'"),
        ({"lists": {"l": "wrapper"}}, "'l'"),
        ({"maps": {"m": MapProperty(key="name")}}, "'m'"),
        ({"refs": {}}, "'p'"),
        ({"refs": {"p": RefType(attr=False)}}, "'p'"),
        ({"indexed": ()}, "'x'"),
        ({"properties": ("x",), "lists": {"l": None, "y": None}}, "'y'"),
    ],
    ids=str,
)
def test_narrower_schema_names_type_and_field(change: dict[str, Any], problem: str) -> None:
    stored = Schema({"p": ObjectType(), "a": ObjectType(**WIDE)})
    narrower = Schema({"p": ObjectType(), "a": ObjectType(**{**WIDE, **change})})
    with pytest.raises(ConfigurationError, match="type 'a'") as refusal:
        reconcile(narrower, stored)
    assert problem in str(refusal.value)
