"""What the mysql engine makes of a server's answers: rows, errors, facts."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    ResourceExhaustedError,
    SchemaVersionError,
    TlsFailedError,
    WriteContentionError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.sql.server import Contended
from asyncbackends_mysql import text_protocol
from asyncbackends_mysql.driver_errors import ServerError, is_lost, is_refusal, ours, refusal
from asyncbackends_mysql.link import LoginRefused, check_plugin
from asyncbackends_mysql.session_setup import facts_of
from asyncbackends_mysql.text_protocol import Answers

LONG, TEXT, BLOB = 8, 253, 252
UTF8, BINARY = 45, 63
MORE = 8


def length(number: int) -> bytes:
    for first, size, bound in ((None, 1, 251), (0xFC, 2, 1 << 16), (0xFD, 3, 1 << 24)):
        if number < bound:
            return (b"" if first is None else bytes([first])) + number.to_bytes(size, "little")
    return b"\xfe" + number.to_bytes(8, "little")


def framed(payload: bytes) -> bytes:
    """Give a payload as packets; a whole one goes on in the next."""
    whole, framed = text_protocol.WHOLE, b""
    while True:
        part, payload = payload[:whole], payload[whole:]
        framed += len(part).to_bytes(3, "little") + b"\x00" + part
        if len(part) < whole:
            return framed


def ok(status: int = 2) -> bytes:
    return framed(b"\x00" + length(300) + length(70_000) + status.to_bytes(2, "little") + b"\0\0")


def end(status: int) -> bytes:
    return framed(b"\xfe\0\0" + status.to_bytes(2, "little"))


def error(code: int, words: str) -> bytes:
    return framed(b"\xff" + code.to_bytes(2, "little") + b"#42000" + words.encode())


def cell(value: object) -> bytes:
    if value is None:
        return b"\xfb"
    data = value if isinstance(value, bytes) else str(value).encode()
    return length(len(data)) + data


def column(kind: int, charset: int) -> bytes:
    names = b"".join(length(len(name)) + name for name in (b"def", b"", b"t", b"t", b"c", b"c"))
    return framed(
        names + b"\x0c" + charset.to_bytes(2, "little") + bytes(4) + bytes([kind]) + bytes(5)
    )


COLUMNS = (column(LONG, BINARY), column(TEXT, UTF8), column(BLOB, BINARY))


def result(rows: Iterable[Sequence[object]], status: int = 2) -> bytes:
    body = b"".join(framed(b"".join(map(cell, row))) for row in rows)
    return framed(length(len(COLUMNS))) + b"".join(COLUMNS) + end(status) + body + end(status)


class Pieces:
    """Gives bytes in pieces of random sizes."""

    def __init__(self, data: bytes, chance: random.Random) -> None:
        self._data = data
        self._chance = chance

    async def read(self, n: int = -1) -> bytes:
        size = self._chance.choice([1, 3, 50, 5000, 1 << 18])
        piece, self._data = self._data[:size], self._data[size:]
        return piece


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**64 - 1),
        st.none() | st.text(st.characters(codec="utf-8"), max_size=300),
        st.none() | st.binary(max_size=300),
    ),
    max_size=20,
)


@given(st.lists(ROWS, min_size=1, max_size=3), st.randoms(use_true_random=False))
async def test_rows_are_read_whatever_pieces_they_come_in(
    results: list[list[tuple[int | None, str | None, bytes | None]]], chance: random.Random
) -> None:
    data = ok(MORE) + b"".join(result(rows, MORE) for rows in results[:-1]) + result(results[-1])
    answers = Answers(Pieces(data + ok(), chance))
    found = await answers.results()
    assert [[tuple(row) for row in rows] for rows in found] == results
    assert await answers.results() == []


@pytest.mark.parametrize("size", [250, 251, 65_535, 65_536, 1 << 17])
async def test_long_values_are_read(size: int) -> None:
    rows = [(1, "x" * size, b"y" * size), (2, None, None)]
    answers = Answers(Pieces(result(rows), random.Random(1)))
    assert [tuple(row) for row in (await answers.results())[0]] == rows


@pytest.mark.parametrize("size", [90, 99, 100, 101, 350])
async def test_values_that_need_several_packets_are_read(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_protocol, "WHOLE", 100)
    rows = [(1, "x" * size, b""), (2, "", b"y" * size)]
    answers = Answers(Pieces(result(rows), random.Random(1)))
    assert [tuple(row) for row in (await answers.results())[0]] == rows


@pytest.mark.parametrize("rows", [[], [(1, "a", b"")]])
async def test_an_error_is_the_last_answer(rows: list[tuple[int, str, bytes]]) -> None:
    cut_off = result(rows)[: -len(end(2))]
    for data in (ok(MORE), result(rows, MORE), cut_off):
        answers = Answers(Pieces(data + error(1690, "no") + ok(), random.Random(1)))
        with pytest.raises(ServerError, match="error 1690: no"):
            await answers.results()
        assert await answers.results() == []


async def test_an_end_in_the_middle_is_a_lost_link() -> None:
    data = result([(1, "a", b"")])
    for at in range(len(data)):
        with pytest.raises(ServerError) as caught:
            await Answers(Pieces(data[:at], random.Random(at))).results()
        assert is_lost(caught.value)


async def test_a_server_gets_no_file() -> None:
    with pytest.raises(ServerError, match="file"):
        await Answers(Pieces(framed(b"\xfb/etc/passwd"), random.Random(1))).results()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1045, AuthenticationFailedError),
        (1049, ConnectionFailedError),
        (1044, AccessDeniedError),
        (1142, AccessDeniedError),
        (1290, AccessDeniedError),
        (1146, SchemaVersionError),
        (1114, ResourceExhaustedError),
        (1213, WriteContentionError),
        (1205, WriteContentionError),
        (1406, InvalidRequestError),
        (2013, ConnectionLostError),
        (1927, ConnectionLostError),
        (4031, ConnectionLostError),
    ],
)
def test_errors_are_told_by_their_code(code: int, kind: type[Exception]) -> None:
    assert type(ours(ServerError(code, "said"))) is kind


def test_a_full_disk_is_told_by_the_words_of_a_common_code() -> None:
    words = 'Got error 28 "No space left on device" from storage engine InnoDB'
    assert isinstance(ours(ServerError(1030, words)), ResourceExhaustedError)
    assert not isinstance(ours(ServerError(1030, "Got error 5")), ResourceExhaustedError)


def test_words_that_may_repeat_a_value_are_not_repeated() -> None:
    for code in (1062, 1064, 1366, 1406):
        assert "secret" not in str(ours(ServerError(code, "Duplicate entry 'secret'")))
    assert "tester" in str(ours(ServerError(1142, "CREATE command denied to user 'tester'")))


def test_contention_is_one_error_however_it_comes() -> None:
    assert isinstance(ours(Contended("deadlock")), WriteContentionError)
    assert ours(KeyError("a bug")) is None


def test_only_what_never_gets_better_is_a_refusal() -> None:
    for code in (1045, 1049, 1044, 1130, 3118):
        assert refusal(ServerError(code, "")) is not None
    for code in (1040, 1129, 1213, 2003, 2013):
        assert refusal(ServerError(code, "")) is None
    assert refusal(ConnectionRefusedError()) is None
    assert isinstance(refusal(TlsFailedError("no")), TlsFailedError)


def test_a_unit_is_refused_by_keys_and_by_its_own_checks() -> None:
    assert all(is_refusal(ServerError(code, "")) for code in (1062, 1451, 1452, 1048, 1690))
    assert not is_refusal(ServerError(1213, ""))


@pytest.mark.parametrize("plugin", ["mysql_clear_password", b"dialog", "mysql_old_password", None])
def test_the_password_is_shown_to_nobody(plugin: str | bytes | None) -> None:
    with pytest.raises(LoginRefused) as caught:
        check_plugin(plugin)
    assert isinstance(caught.value.error, AuthenticationFailedError)


def test_the_usual_ways_to_log_in_are_taken() -> None:
    for plugin in ("mysql_native_password", b"caching_sha2_password", "client_ed25519", ""):
        check_plugin(plugin)


def facts_row(**others: object) -> list[object]:
    row: dict[str, object] = {
        "version": "10.11.19-MariaDB-0+deb12u1",
        "packet": 16777216,
        "read_only": "0",
        "innodb_read_only": "0",
        "flush": 1,
        "binlog": "0",
        "sync": 0,
        "identity": "host 3306 1",
    }
    return [*(row | others).values()]


def test_a_server_says_who_it_is_and_what_it_takes() -> None:
    facts = facts_of(facts_row())
    assert (facts.server.product, facts.server.version) == ("MariaDB", "10.11.19")
    assert facts.guarantees == {Guarantee.SURVIVES_POWER_LOSS}
    assert facts.limits.value_bytes == 4177920
    assert not facts.read_only
    assert facts_of(facts_row(version="9.7.4-2")).server.product == "MySQL"


@pytest.mark.parametrize("others", [{"flush": 2}, {"binlog": "1", "sync": 0}])
def test_a_server_that_does_not_wait_for_its_disk_promises_nothing(
    others: dict[str, object],
) -> None:
    assert facts_of(facts_row(**others)).guarantees == frozenset()


def test_a_server_that_is_read_only_says_so() -> None:
    for name in ("read_only", "innodb_read_only"):
        assert facts_of(facts_row(**{name: "1"})).read_only


@pytest.mark.parametrize("version", ["5.7.44-log", "10.3.39-MariaDB", "nonsense"])
def test_an_old_server_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match="too old"):
        facts_of(facts_row(version=version))
