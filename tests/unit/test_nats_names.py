"""Names as tokens of NATS: no two are the same, and each comes back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from asyncbackends_nats.names import LONGEST, Names, short, text_of, token

NAMES = st.text("ABCabc019_.-:/@", min_size=1, max_size=200)
TOKEN = re.compile(r"[A-Za-z0-9_=]+")


@given(NAMES | st.just(""))
def test_token_comes_back(name: str) -> None:
    assert TOKEN.fullmatch(token(name))
    assert text_of(token(name)) == name


@given(st.text(max_size=50))
def test_whatever_text_comes_back(name: str) -> None:
    encodable = name.encode("utf-8", "replace").decode()
    assert TOKEN.fullmatch(token(encodable))
    assert text_of(token(encodable)) == encodable


@given(NAMES, NAMES)
def test_no_two_names_are_one_stream(one: str, other: str) -> None:
    names = Names("space")
    assert (names.stream(one) == names.stream(other)) is (one == other)
    assert (names.subject("x", one) == names.subject("x", other)) is (one == other)
    assert len(names.stream(one)) <= 255
    assert "." not in names.stream(one)


@given(NAMES, NAMES | st.just(""))
def test_place_of_a_subject(exchange: str, key: str) -> None:
    names = Names("space")
    assert names.place(names.subject(exchange, key).encode()) == (exchange, key)
    # A second look takes it from memory.
    assert names.place(names.subject(exchange, key).encode()) == (exchange, key)


def test_names_as_operators_see_them() -> None:
    names = Names("contrail")
    assert names.stream("vnc_config.object-update") == "AB-contrail-vnc_config=2Eobject=2Dupdate"
    assert names.subjects("a.b") == "ab.contrail.a=2Eb.>"
    assert names.subject("a", "") == "ab.contrail.a.="
    assert names.record("q-1") == "abq.contrail.q=2D1"
    assert names.register == "AB-contrail"
    assert Names("").stream("a") == "AB-=-a"
    assert Names("").subject("a", "k") == "ab.=.a.k"


def test_long_names_are_cut_and_told_apart() -> None:
    one, other = (short(token("-" * 150 + end)) for end in "ab")
    assert one != other
    assert len(one) == len(other) == LONGEST
    assert short("n" * LONGEST) == "n" * LONGEST


def test_foreign_subjects_have_a_place_too() -> None:
    names = Names("space")
    assert names.place(b"ab.space.x.a.b") == ("x", "a.b")
    assert names.place(b"other") == ("", "")
    assert text_of("=ZZ%41") == "%ZZ%41"
