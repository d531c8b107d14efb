"""etcd's messages: as the stubs of etcetra 0.1.19 write and read them, and whatever else comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends_etcd import requests, responses
from asyncbackends_etcd.protobuf import (
    DecodeError,
    content,
    fields_of,
    integer,
    signed,
    varint,
)

KEY, END = b"ns/a", b"ns/a0"
LEASE = 1 << 62

HEADER = "0a1c08ffffffffffffffffff0110808080808080808080011887ad4b2009"
KEY_VALUE = "0a046e732f61100518f0a20420032a0576616c756530a7cc89ffeadc01"
RANGED = bytes.fromhex(f"{HEADER}121d{KEY_VALUE}12070a056e732f61301801204d")
TRANSACTED = bytes.fromhex(
    f"{HEADER}10011a4c0a4a{HEADER}121d{KEY_VALUE}12070a056e732f61301801204d1a20121e{HEADER}"
    f"1a221a20{HEADER}1002"
)
WATCHED = bytes.fromhex(
    f"{HEADER}10ffffffffffffffffff0118012001282c32026e6f38015a210801121d{KEY_VALUE}"
    f"5a3e121d{KEY_VALUE}1a1d{KEY_VALUE}"
)
"""Written by protobuf 4.25 with etcetra's descriptors."""
COMPARES = (
    "0a101a046e732f6120008204056e732f61300a0a08011a046e732f6120000a0b10011a046e732f6128ac02"
    "0a0c10021a046e732f6130f0a2040a14080210021a046e732f61300c8204056e732f61300a0d080210031a046e"
    "732f613a01020a0a10041a046e732f614000"
)
PUT = "170a046e732f61120576616c756518808080808080808040"

INTEGERS = st.integers(-(2**63), 2**63 - 1)


def test_requests_are_those_of_the_stubs() -> None:
    compares = [
        requests.is_absent(KEY, END),
        requests.is_present(KEY),
        requests.created_at(KEY, 300),
        requests.modified_at(KEY, 70_000),
        requests.nothing_since(KEY, END, 11),
        requests.value_below(KEY, b"\x02"),
        requests.lease_is_none(KEY),
    ]
    put = requests.put(KEY, b"value", lease_id=LEASE)
    writes = [put, requests.delete(KEY, END), requests.delete(KEY)]
    reads = [requests.read(requests.range_of(KEY))]
    written = requests.txn(compares, writes, [*reads, put])
    assert written.hex() == (
        f"{COMPARES}121912{PUT}120f1a0d0a046e732f6112056e732f613012081a060a046e732f61"
        f"1a080a060a046e732f611a1912{PUT}"
    )
    ranged = requests.range_of(KEY, END, limit=5, revision=7, keys_only=True, count_only=True)
    assert ranged.hex() == "0a046e732f6112056e732f61301805200740014801"
    assert requests.follow(KEY, END, start=99).hex() == "0a110a046e732f6112056e732f613018634001"
    assert requests.forget(300).hex() == "120308ac02"
    assert requests.forget(0).hex() == "1200"


def test_answers_are_those_of_the_stubs() -> None:
    found = responses.KeyValue(KEY, 5, 70_000, 3, b"value", 7_587_863_094_823)
    ranged = responses.ranged(RANGED)
    assert ranged.kvs == [found, responses.KeyValue(END)]
    assert (ranged.revision, ranged.more, ranged.count) == (1_234_567, True, 77)
    assert responses.transacted(TRANSACTED) == responses.Transacted(1_234_567, True, [ranged], 2)
    watched = responses.watched(WATCHED)
    assert (watched.watch_id, watched.created, watched.canceled) == (-1, True, True)
    assert (watched.compact_revision, watched.reason, watched.fragment) == (44, "no", True)
    assert watched.events == [responses.Event(True, found), responses.Event(False, found)]


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), INTEGERS | st.binary(max_size=300))))
def test_fields_come_back(fields: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(
        content(number, value) if isinstance(value, bytes) else integer(number, value)
        for number, value in fields
    )
    # A zero is what a missing one means.
    kept = [(number, value) for number, value in fields if value != 0]
    read = [
        (number, data if isinstance(value, bytes) else signed(found))
        for (number, found, data), (_, value) in zip(fields_of(written), kept, strict=True)
    ]
    assert read == kept


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for read in (
        responses.ranged,
        responses.transacted,
        responses.watched,
        responses.granted_lease,
        responses.kept_alive,
        responses.token,
        responses.server_version,
    ):
        try:
            read(data)
        except DecodeError:
            continue


@given(st.integers(0, len(TRANSACTED) - 1))
def test_a_cut_answer_is_refused_or_says_less(end: int) -> None:
    try:
        found = responses.transacted(TRANSACTED[:end])
    except DecodeError:
        return
    assert found != responses.transacted(TRANSACTED)


@pytest.mark.parametrize("data", [b"\x80" * 11 + b"\x01", b"\x08" + b"\xff" * 11, b"\x0b", b"\x0a"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        fields_of(data)


def test_integers_of_other_widths_are_passed_over() -> None:
    assert fields_of(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x05") == [(3, 5, b"")]


def test_an_integer_has_64_bits() -> None:
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    assert signed(2**64 - 1) == -1
