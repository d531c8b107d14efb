"""The postgres engine's pure parts: neutral SQL in PostgreSQL's words, and units as calls."""

import re

import pytest

from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.sql.effects import (
    CREATED,
    NOBODY,
    Effects,
    Guard,
    NewChange,
    NewKvRow,
    NewObject,
    NewRef,
    NewShare,
)
from asyncbackends_postgres.applying import PARTS, unit_call
from asyncbackends_postgres.dialect import DIALECT
from asyncbackends_postgres.engine import PostgresEngine

ONE = "00000000-0000-0000-0000-00000000000a"
TWO = "00000000-0000-0000-0000-00000000000b"
SCRIPTS = PostgresEngine().tables(ServerInfo("PostgreSQL", "15"))


@pytest.mark.parametrize(
    ("neutral", "rendered"),
    [
        ("SELECT a FROM ~object WHERE b = ?", 'SELECT a FROM "ns".object WHERE b = $1'),
        ("SELECT ID(o.uuid), TEXT(o.fq)", "SELECT CAST(o.uuid AS text), o.fq"),
        (
            "SELECT ID(coalesce(a, b)), ID(c)",
            "SELECT CAST(coalesce(a, b) AS text), CAST(c AS text)",
        ),
        ("o.fq IN ? AND o.type = ?", "o.fq = ANY ($1::text[]) AND o.type = $2"),
        (
            "o.parent_uuid IN ? AND uuid IN ?",
            (
                "o.parent_uuid = ANY (CAST($1::text[] AS uuid[]))"
                " AND uuid = ANY (CAST($2::text[] AS uuid[]))"
            ),
        ),
        ("x IN (SELECT j.uuid FROM ~indexed j)", 'x IN (SELECT j.uuid FROM "ns".indexed j)'),
        ("a = '?' AND b = ? AND c = ''", "a = '?' AND b = $1 AND c = ''"),
        ("~object o FORCE(object_type) WHERE x", '"ns".object o WHERE x'),
        ("SELECT 1 LOCK(update)", "SELECT 1 FOR UPDATE"),
        ("SELECT 1 LOCK(share)", "SELECT 1 FOR KEY SHARE"),
        ("SELECT x FROM a WHERE y !~ '^z'", "SELECT x FROM a WHERE y !~ '^z'"),
    ],
)
def test_rendered(neutral: str, rendered: str) -> None:
    assert DIALECT.rendered(neutral, "ns") == rendered


def test_without_namespace_names_are_bare() -> None:
    assert DIALECT.rendered("SELECT a FROM ~object", "") == "SELECT a FROM object"
    assert DIALECT.rendered("CREATE SCHEMA ~", "") == "SELECT 1"


@pytest.mark.parametrize("namespace", ["ns", ""])
def test_scripts_are_only_named(namespace: str) -> None:
    prefix = f'"{namespace}".' if namespace else ""
    for statement in SCRIPTS[1:]:
        named = re.sub(r"~(?=\w)", prefix, statement)
        assert DIALECT.rendered(statement, namespace) == named


def test_uuids_are_their_own_parameters() -> None:
    assert DIALECT.id(ONE) == ONE


def test_a_unit_names_only_what_it_has() -> None:
    statement, parameters = unit_call(
        Effects(stamp=7, guards=[Guard(ONE, "net", None), Guard(TWO, "net", 3)]), "ns"
    )
    assert statement == (
        'SELECT counter_before, unit_time FROM "ns".apply_1(unit_stamp => $1,'
        " unit_revisions => $2, guard_uuids => CAST($3::text[] AS uuid[]),"
        " guard_types => $4::text[], guard_revisions => CAST($5::text[] AS bigint[]))"
    )
    assert parameters == [7, 0, (ONE, TWO), ("net", "net"), [None, "3"]]


def test_single_rows_and_bare_uuids() -> None:
    unit = Effects(stamp=0, fence=("f", 1, 2), gone=[ONE, TWO], appended=(ONE, "list", "1"))
    assert unit_call(unit, "ns")[1][2:] == [
        ("f",),
        ["1"],
        ["2"],
        (ONE, TWO),
        (ONE,),
        ("list",),
        ("1",),
    ]


def test_the_text_is_made_once_for_each_set_of_parts() -> None:
    one, two = Effects(stamp=0, gone=[ONE]), Effects(stamp=1, gone=[TWO, ONE])
    assert unit_call(one, "ns")[0] is unit_call(two, "ns")[0]
    assert unit_call(one, "ns")[0] is not unit_call(one, "other")[0]


def test_every_part_has_a_column_for_each_field() -> None:
    full = Effects(
        stamp=0,
        revisions=1,
        objects=[NewObject(ONE, "net", "n", NOBODY, True, None, None, None)],
        refs=[NewRef(ONE, "net", "n", "net", TWO, None, "null", False, True)],
        shares=[NewShare("net", "tenant", "", ONE, None)],
        kv_rows=[NewKvRow("t", "k", "{}", 0, 1)],
        changes=[NewChange(1, CREATED, "net", ONE)],
    )
    statement, parameters = unit_call(full, "ns")
    assert statement.count(" => ") == len(parameters)
    assert [field for field, _ in PARTS] == [
        field for field in Effects.__struct_fields__ if field not in {"stamp", "revisions"}
    ]


def test_the_function_takes_what_a_unit_names() -> None:
    function = next(text for text in SCRIPTS if "FUNCTION ~apply_1" in text)
    head, _, body = function.partition("OUT counter_before")
    declared = re.findall(r"^    (\w+) (\w+)\[\]", head, re.MULTILINE)
    assert declared == [column for _, columns in PARTS for column in columns]
    assert all(re.search(rf"\b{name}\b", body) for name, _ in declared)
