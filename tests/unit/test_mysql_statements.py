"""What the mysql engine sends: literals, neutral SQL in its words, units as packets."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import InvalidRequestError
from asyncbackends.sql.effects import (
    CREATED,
    DELETED,
    NOBODY,
    UPDATED,
    Effects,
    Guard,
    NewChange,
    NewElement,
    NewKvRow,
    NewObject,
    NewRef,
    NewShare,
    RefKey,
    Target,
)
from asyncbackends.sql.server import Refused
from asyncbackends_mysql.applying import packets
from asyncbackends_mysql.dialect import DIALECT, id_literal, literal, text_literal
from asyncbackends_mysql.unit_statements import unit_statements

A, B, C = (str(UUID(int=number)) for number in (1, 2, 3))
ENOUGH = 16 * 1024 * 1024
TEXTS = st.text(st.characters(codec="utf-8"))


def packet(effects: Effects, *, alone: bool = True) -> list[str]:
    (text,) = packets(effects, unit_statements("n"), ENOUGH, alone=alone)
    return text.split(";")


def unit(**parts: Any) -> Effects:
    return Effects(stamp=7, **parts)


def new_object(uuid: str, fq: str = "[]", parent: str | None = None, **others: Any) -> NewObject:
    return NewObject(
        uuid, "net", fq, NOBODY, True, "net" if parent else None, parent, None
    )._replace(**others)


@given(TEXTS)
def test_text_is_sent_as_bytes_in_hexadecimal(text: str) -> None:
    for sent in (text_literal(text), literal(text)):
        found = re.fullmatch(r"x'([0-9a-f]*)'", sent)
        assert found is not None
        assert bytes.fromhex(found[1]).decode() == text


def test_every_sort_of_parameter_has_a_literal() -> None:
    uuid = str(uuid4())
    assert literal(DIALECT.id(uuid)) == id_literal(uuid) == f"x'{UUID(uuid).hex}'"
    assert [literal(value) for value in (5, -1, None, "", True)] == ["5", "-1", "NULL", "x''", "1"]
    assert literal([b"\x01", b"\x02"]) == "(x'01',x'02')"
    assert literal(("a", "b")) == "(x'61',x'62')"


def test_neutral_sql_is_rendered_with_the_namespace() -> None:
    text = DIALECT.rendered(
        "SELECT ID(o.uuid), TEXT(COALESCE(o.fq, '50%')) FROM ~object o FORCE(object_type)"
        " WHERE o.uuid IN ? AND o.type = ? LOCK(share)",
        "site",
    )
    assert text % (literal([b"\x01"]), literal("net")) == (
        "SELECT LOWER(INSERT(INSERT(INSERT(INSERT(HEX(o.uuid), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'),"
        " 24, 0, '-')), CONVERT(COALESCE(o.fq, '50%') USING utf8mb4) FROM `site_object` o"
        " FORCE INDEX (object_type) WHERE o.uuid IN (x'01') AND o.type = x'6e6574'"
        " LOCK IN SHARE MODE"
    )
    assert DIALECT.rendered("SELECT 1 FROM ~kv LOCK(update)", "") == (
        "SELECT 1 FROM `kv` FOR UPDATE"
    )


def test_a_unit_is_one_packet_with_the_counter_last() -> None:
    sent = packet(
        unit(
            revisions=2,
            objects=[new_object(A, '["a"]')],
            documents=[(A, "{}")],
            elements=[NewElement(A, "list", "1", "2")],
            refs=[NewRef(A, "net", '["a"]', "net", B, '["b"]', "null", False, False)],
            targets=[Target("net", B, None)],
            changes=[NewChange(1, CREATED, "net", A), NewChange(2, UPDATED, "net", B)],
        )
    )
    heads = [statement.partition(" (")[0].partition("= ")[0].strip() for statement in sent]
    assert heads[0] == "START TRANSACTION"
    assert heads[1] == "SET @c"
    assert heads[-2:] == ["COMMIT", "SELECT LAST_INSERT_ID(), @n"]
    counter = heads.index("UPDATE `n_counter` SET revision")
    assert heads[counter + 1 : -2] == ["INSERT INTO `n_state`", "INSERT INTO `n_changes`"]
    for table in ("object", "doc", "elem", "ref"):
        assert 1 < heads.index(f"INSERT INTO `n_{table}`") < counter
    assert "(stamp <> 7)" in sent[counter]
    assert "LAST_INSERT_ID() + 2" in sent[counter + 1]


def test_inside_a_transaction_nothing_begins_or_ends_one() -> None:
    sent = packet(unit(useragent=[("a", "1")]), alone=False)
    assert len(sent) == 3
    assert sent[0].startswith("SET @c = ")
    assert sent[-1] == "SELECT (SELECT revision FROM `n_counter` WHERE id = 1), @n"


def test_a_unit_without_revisions_compares_the_stamp_too() -> None:
    sent = packet(unit(useragent=[("a", "1")]))
    assert "(SELECT stamp FROM `n_counter` WHERE id = 1) <> 7" in sent[1]


def test_rows_are_locked_before_anything_is_changed_and_in_order() -> None:
    sent = packet(
        unit(
            revisions=1,
            guards=[Guard(C, "net", None), Guard(A, "net", 5), Guard(B, "net", None)],
            needed_refs=[(A, "net", B)],
            refs_gone=[RefKey(A, B)],
            changes=[NewChange(1, UPDATED, "net", A)],
        )
    )
    assert f"uuid IN ({id_literal(B)},{id_literal(C)})" in sent[1]
    assert f"uuid = {id_literal(A)} AND revision = 5" in sent[1]
    assert sent[1].endswith(" FOR UPDATE) <> 3)")
    # Only then is looked what is there, and only then anything taken away.
    assert "`n_ref`" in sent[2]
    assert " <> 1" in sent[2]
    assert sent[3].startswith("DELETE r FROM `n_ref` r")


def test_a_fence_is_compared_and_raised_first() -> None:
    sent = packet(unit(fence=("lock", 2, 3), guards=[Guard(A, "net", None)]))
    assert "epoch > 2 OR epoch = 2 AND token > 3" in sent[1]
    assert sent[2].startswith("INSERT INTO `n_fence`")
    assert "`n_state`" in sent[3]


def test_what_is_given_by_its_name_is_found_once() -> None:
    parent = new_object(A, '["p","a"]', parent_type="net", parent_fq='["p"]')
    ref = NewRef(A, "net", None, "net", None, '["p"]', "1", False, False)
    sent = packet(unit(objects=[parent], refs=[ref]))
    finders = [statement for statement in sent if statement.startswith("SET @p0")]
    assert len(finders) == 1
    assert "@p0 IS NULL" in sent[2]
    assert sum(",@p0," in statement for statement in sent) == 2


def test_parents_are_put_before_their_children() -> None:
    objects = [new_object(C, "c", B), new_object(B, "b", A), new_object(A, "a")]
    put = next(text for text in packet(unit(objects=objects)) if "INTO `n_object`" in text)
    assert put.index(f"({id_literal(A)}") < put.index(f"({id_literal(B)}")
    assert put.index(f"({id_literal(B)}") < put.index(f"({id_literal(C)}")


def test_of_two_for_one_key_the_last_one_holds() -> None:
    sent = packet(
        unit(
            shares=[NewShare("net", "t", "i", A, 7), NewShare("net", "t", "i", A, None)],
            useragent=[("k", None), ("k", "v")],
        )
    )
    kinds = [statement.split(" FROM ")[0].split(" (")[0] for statement in sent[2:-2]]
    assert kinds == ["DELETE h", "INSERT INTO `n_useragent`"]


def test_a_deleted_object_gets_no_state() -> None:
    changes = [NewChange(1, UPDATED, "net", A), NewChange(2, DELETED, "net", A)]
    sent = packet(unit(revisions=2, gone=[A], changes=changes))
    assert not any("INTO `n_state`" in text or "UPDATE `n_state`" in text for text in sent)
    assert any(text.startswith("DELETE o FROM `n_object`") for text in sent)


def test_rows_of_columns_get_their_revisions_from_the_counter() -> None:
    rows = [NewKvRow("t", "a", "{}", 0, 1), NewKvRow("t", "b", "{}", 5, 2)]
    rows += [NewKvRow("t", "c", None, 6, 0), NewKvRow("t", "d", None, 0, 0)]
    sent = packet(unit(revisions=2, kv_rows=rows))
    assert "revision = 5" in sent[1]
    assert "revision = 6" in sent[1]
    assert "<> 2 OR " in sent[1]
    assert "<> 0" in sent[1]
    tail = [text for text in sent if text.startswith("UPDATE `n_kv`")]
    assert [re.findall(r"LAST_INSERT_ID\(\) \+ (\d)", text) for text in tail] == [["1"], ["2"]]
    assert sent.index(tail[0]) > next(i for i, text in enumerate(sent) if "`n_counter`" in text)


@pytest.mark.parametrize(
    "parts",
    [
        {"guards": [Guard(A, "net", 1), Guard(A, "net", 2)]},
        {"targets": [Target("net", A, None), Target("port", A, None)]},
        {"targets": [Target("net", A, "a"), Target("net", A, "b")]},
        {"objects": [new_object(A, parent_type="net")]},
    ],
)
def test_a_unit_that_contradicts_itself_is_not_sent(parts: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        packet(unit(**parts))


def test_what_is_expected_twice_is_looked_for_once() -> None:
    targets = [Target("net", A, None), Target("net", A, "a"), Target("net", A, None)]
    guards = [Guard(A, "net", None), Guard(A, "net", 4)]
    sent = packet(unit(revisions=1, targets=targets, guards=guards))
    assert sent[1].count(" <> 1") == 2
    assert "revision = 4" in sent[1]


def test_a_long_unit_is_several_packets_of_whole_statements() -> None:
    documents = [(str(UUID(int=number)), "x" * 40_000) for number in range(20)]
    limit = 200_000
    sent = packets(unit(revisions=1, documents=documents), unit_statements("n"), limit, alone=True)
    assert len(sent) > 5
    assert all(len(text) <= limit for text in sent)
    assert sent[0].startswith("START TRANSACTION;")
    assert sent[-1].endswith("COMMIT;SELECT LAST_INSERT_ID(), @n")
    joined = ";".join(sent)
    assert joined.count("78" * 40_000) == 20


def test_many_rows_are_looked_for_a_few_at_a_time() -> None:
    guards = [Guard(str(UUID(int=number)), "net", None) for number in range(450)]
    sent = packet(unit(revisions=1, guards=guards))
    assert sent[1].count("FOR UPDATE") == 3
    assert sent[1].count("<> 200") == 4
    assert sent[1].count("<> 50") == 2


def test_a_row_that_no_packet_takes_is_an_error_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequestError, match="max_allowed_packet"):
        packets(unit(documents=[(A, "x" * 60_000)]), unit_statements("n"), 100_000, alone=True)


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_packets_are_plain_ascii_whatever_is_written(rows: list[tuple[str, str]]) -> None:
    effects = unit(useragent=list(rows), kv_rows=[NewKvRow(a, b, a, 0, 1) for a, b in rows])
    for text in packets(effects, unit_statements("n"), ENOUGH, alone=True):
        assert text.isascii()
        assert "\\" not in text
