"""NATS frames, however they are cut on their way."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends_nats.frames import FrameReader, LostStepError

Taken = tuple[bytes, bytes, bytes, bytes]


class Taking:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.taken: list[Taken | bytes] = []
        self.turns = 0

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self.taken.append((subject, reply, headers, body))

    def turn_over(self) -> None:
        self.turns += 1

    def control(self, line: bytes) -> None:
        self.taken.append(line)


BODIES = st.binary(max_size=40) | st.just(b"MSG a 1 3\r\nabc\r\n")
MESSAGES = st.tuples(st.sampled_from([b"a", b"a.b"]), st.sampled_from([b"", b"r.1"]), BODIES)


def written(message: tuple[bytes, bytes, bytes], *, headers: bytes = b"") -> bytes:
    subject, reply, body = message
    words = [b"HMSG" if headers else b"MSG", subject, b"1", *([reply] if reply else [])]
    if headers:
        words.append(str(len(headers)).encode())
    words.append(str(len(headers) + len(body)).encode())
    return b" ".join(words) + b"\r\n" + headers + body + b"\r\n"


def read(pieces: Sequence[bytes]) -> Taking:
    taking = Taking()
    reader = FrameReader(taking)
    reader.receivers[b"1"] = taking
    for piece in pieces:
        reader.feed(piece)
    return taking


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_cuts_make_no_difference(
    messages: list[tuple[bytes, bytes, bytes]], cuts: list[int], with_headers: bool
) -> None:
    headers = b"NATS/1.0\r\na: b\r\n\r\n" if with_headers else b""
    stream = b"PING\r\n".join(written(one, headers=headers) for one in messages)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[one:two] for one, two in pairwise(places)]
    expected: list[Taken | bytes] = []
    for subject, reply, body in messages:
        expected += [(subject, reply, headers, body), b"PING"]
    assert read(pieces).taken == expected[:-1]


def test_receivers_hear_of_the_end_of_a_turn_once() -> None:
    one = written((b"a", b"", b"x"))
    assert read([one * 3]).turns == 1
    # What came ahead of a line is told ahead of it.
    assert read([one + b"-ERR 'x'\r\n" + one]).turns == 2


def test_messages_of_others_go_by() -> None:
    assert read([b"MSG a 9 2\r\nxx\r\nHMSG a 9 r 4 5\r\nabcdx\r\n+OK\r\n"]).taken == [b"+OK"]


def test_stopped_reader_hands_on_nothing() -> None:
    taking = Taking()
    reader = FrameReader(taking)
    reader.receivers[b"1"] = taking
    reader.feed(written((b"a", b"", b"x"))[:-3])
    reader.stop()
    reader.feed(b"x\r\nPING\r\n")
    assert taking.taken == []


@pytest.mark.parametrize(
    "frame",
    [
        b"MSG a 1 -9\r\n",
        b"HMSG a 1 0 -9\r\n",
        b"HMSG a 1 -4 2\r\nxx\r\n",
        b"HMSG a 1 4 2\r\nxx\r\n",
    ],
)
def test_length_that_cannot_be_is_no_protocol(frame: bytes) -> None:
    with pytest.raises(LostStepError):
        read([frame])


def test_line_without_an_end_is_no_protocol() -> None:
    with pytest.raises(LostStepError):
        read([b"x" * (1024 * 1024 + 1)])
