"""A connection of HTTP/2 and gRPC's calls over it, against frames written by hand."""

import asyncio
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends_etcd import http2_frames as frames
from asyncbackends_etcd.grpc_channel import GrpcChannel, MessageReader, RpcError, framed
from asyncbackends_etcd.http2_connection import MOST_STREAMS, Http2Connection
from asyncbackends_etcd.http2_frames import Frame, FrameReader, Http2Error, frame
from asyncbackends_etcd.http2_headers import HeaderReader, request_block
from asyncbackends_etcd.http2_stream import StreamBrokenError

BLOCK = request_block("/a.B/C", "host:1", secure=False, headers={"x": "y"}, token="t")  # noqa: S106  # none


class Wires(asyncio.Transport):
    """What a connection writes to, and may find over."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Server:
    """The far end: what it was sent, as frames, and what it answers."""

    def __init__(self) -> None:
        self.wires = Wires()
        self.lost: list[str] = []
        self.connection = Http2Connection(lambda reason, _: self.lost.append(reason))
        self.channel = GrpcChannel(self.connection)
        self.encoder = Encoder()
        self.reader = FrameReader()
        self.tasks: list[asyncio.Task[list[bytes]]] = []
        self.connection.connection_made(self.wires)

    async def heard(self) -> list[Frame]:
        """Give the frames since the last call."""
        for _ in range(3):
            await asyncio.sleep(0)
        data, self.wires.written = self.wires.written, b""
        return self.reader.feed(data.removeprefix(frames.PREFACE))

    async def greet(self, **settings: int) -> None:
        await self.heard()
        names = {"window": frames.INITIAL_WINDOW_SIZE, "streams": frames.MAX_CONCURRENT_STREAMS}
        told = {names[name]: value for name, value in settings.items()}
        self.say(frames.settings_frame(told))
        await self.connection.greeted
        assert [each[:2] for each in await self.heard()] == [(frames.SETTINGS, frames.ACK)]

    def say(self, *data: bytes) -> None:
        self.connection.data_received(b"".join(data))

    def ask(self, *messages: bytes) -> asyncio.Task[list[bytes]]:
        task = asyncio.ensure_future(self.channel.unary(BLOCK, *messages))
        self.tasks.append(task)
        return task

    def head(self, stream: int, *, ends: bool = False, **headers: str) -> bytes:
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        block = self.encoder.encode(pairs if ends else [(":status", "200"), *pairs])
        flags = frames.END_HEADERS | (frames.END_STREAM if ends else 0)
        return frame(frames.HEADERS, flags, stream, block)

    def answer(self, stream: int, message: bytes, status: int = 0, words: str = "") -> bytes:
        data = frame(frames.DATA, 0, stream, framed(message))
        end = self.head(stream, ends=True, grpc_status=str(status), grpc_message=words)
        return self.head(stream) + data + end


@pytest.fixture
async def server() -> Server:
    server = Server()
    await server.greet()
    return server


async def broken(task: asyncio.Task[list[bytes]]) -> StreamBrokenError:
    with pytest.raises(StreamBrokenError) as caught:
        await task
    return caught.value


async def test_it_begins_as_a_client() -> None:
    server = Server()
    await asyncio.sleep(0)
    assert server.wires.written.startswith(frames.PREFACE)
    (kind, _, stream, payload), window = await server.heard()
    assert (kind, stream) == (frames.SETTINGS, 0)
    assert frames.settings_of(payload)[2] == 0, "nothing is to be pushed"
    assert window[0] == frames.WINDOW_UPDATE


async def test_a_call_is_headers_and_a_message(server: Server) -> None:
    task = server.ask(b"question")
    head, data = await server.heard()
    assert dict(Decoder().decode(head[3], raw=True)) == {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/a.B/C",
        b":authority": b"host:1",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        b"x": b"y",
        b"token": b"t",
    }
    assert data == (frames.DATA, frames.END_STREAM, 1, b"\0\0\0\0\x08question")
    server.say(server.answer(1, b"answer"))
    assert await task == [b"answer"]
    assert await server.heard() == [], "what has ended is not cancelled"


@given(cut=st.lists(st.integers(1, 40), max_size=40), size=st.integers(0, 70_000))
def test_an_answer_may_come_in_any_pieces(cut: list[int], size: int) -> None:
    async def run() -> None:
        server = Server()
        await server.greet()
        task = server.ask(b"q")
        await server.heard()
        message = bytes(size)
        body = framed(message)
        parts = [body[at : at + frames.MOST_FRAME] for at in range(0, len(body), frames.MOST_FRAME)]
        said = server.head(1) + b"".join(frame(frames.DATA, 0, 1, part) for part in parts)
        said += server.head(1, ends=True, grpc_status="0")
        for length in cut:
            server.say(said[:length])
            said = said[length:]
        server.say(said)
        assert await task == [message]

    asyncio.run(run())


async def test_an_error_is_told_with_its_words(server: Server) -> None:
    first, second = server.ask(b"q"), server.ask(b"q")
    await server.heard()
    server.say(server.answer(1, b"", 5, "not%20here"))
    # A server that has nothing to say says it all in its headers.
    pairs = [(":status", "200"), ("grpc-status", "7"), ("grpc-message", "gr%C3%BCn")]
    only = server.encoder.encode(pairs)
    server.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 3, only))
    for task, code, words in ((first, 5, "not here"), (second, 7, "grün")):
        with pytest.raises(RpcError) as caught:
            await task
        assert (caught.value.code, caught.value.details) == (code, words)


async def test_another_http_status_is_an_error(server: Server) -> None:
    task = server.ask(b"q")
    await server.heard()
    block = server.encoder.encode([(":status", "503")])
    server.say(frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    with pytest.raises(RpcError, match="503"):
        await task


@pytest.mark.parametrize("answers", [[], [b"1", b"2"]])
async def test_one_answer_is_one(server: Server, answers: list[bytes]) -> None:
    task = server.ask(b"q")
    await server.heard()
    data = b"".join(frame(frames.DATA, 0, 1, framed(each)) for each in answers)
    server.say(server.head(1), data, server.head(1, ends=True, grpc_status="0"))
    with pytest.raises(RpcError, match="answers came"):
        await task


async def test_several_calls_at_once(server: Server) -> None:
    task = server.ask(b"1", b"2", b"3")
    assert {stream for _, _, stream, _ in await server.heard()} == {1, 3, 5}
    server.say(server.answer(5, b"c"), server.answer(1, b"a"), server.answer(3, b"b"))
    assert await task == [b"a", b"b", b"c"]
    task = server.ask(b"1", b"2")
    await server.heard()
    server.say(server.answer(7, b"", 14, "no"))
    with pytest.raises(RpcError):
        await task
    assert (await server.heard())[0][0] == frames.RST_STREAM, "the other one is cancelled"


async def test_cancelling_leaves_nothing(server: Server) -> None:
    task = server.ask(b"q")
    await server.heard()
    task.cancel()
    reset = (await server.heard())[0]
    assert reset == (frames.RST_STREAM, 0, 1, (8).to_bytes(4))
    # What was on its way still counts, and means nothing.
    server.say(server.answer(1, b"late"))
    again = server.ask(b"q")
    await server.heard()
    server.say(server.answer(3, b"a"))
    assert await again == [b"a"]


async def test_no_more_is_sent_than_the_windows_have_room_for() -> None:
    server = Server()
    await server.greet(window=10)
    task = server.ask(b"x" * 95)
    _, data = await server.heard()
    assert data[1:] == (0, 1, framed(b"x" * 95)[:10])
    other = server.ask(b"y")
    assert [each[3] for each in await server.heard()][1] == framed(b"y")
    server.say(frames.window_frame(1, 50))
    assert [len(each[3]) for each in await server.heard()] == [50]
    server.say(frames.settings_frame({frames.INITIAL_WINDOW_SIZE: 1000}))
    rest = [each for each in await server.heard() if each[0] == frames.DATA]
    assert [(each[1], len(each[3])) for each in rest] == [(frames.END_STREAM, 40)]
    server.say(server.answer(3, b"b"), server.answer(1, b"a"))
    assert (await task, await other) == ([b"a"], [b"b"])


async def test_the_window_of_all_is_kept() -> None:
    server = Server()
    await server.greet(window=1_000_000)
    task = server.ask(b"x" * 100_000)
    sent = sum(len(each[3]) for each in await server.heard() if each[0] == frames.DATA)
    assert sent == 65_535
    server.say(frames.window_frame(0, 1_000_000))
    rest = [each for each in await server.heard() if each[0] == frames.DATA]
    assert sum(len(each[3]) for each in rest) == 100_005 - sent
    assert rest[-1][1] == frames.END_STREAM
    server.say(server.answer(1, b""))
    assert await task == [b""]


async def test_no_more_calls_at_once_than_the_server_takes() -> None:
    server = Server()
    await server.greet(streams=2)
    tasks = [server.ask(bytes([number])) for number in range(4)]
    assert {each[2] for each in await server.heard()} == {1, 3}
    tasks[2].cancel()
    await asyncio.sleep(0)
    server.say(server.answer(1, b"a"))
    assert {each[2] for each in await server.heard()} == {5}
    server.say(server.answer(5, b"d"), server.answer(3, b"b"))
    assert [await tasks[number] for number in (0, 1, 3)] == [[b"a"], [b"b"], [b"d"]]


async def test_more_calls_than_may_be_on_their_way_wait(server: Server) -> None:
    tasks = [server.ask(b"q") for _ in range(MOST_STREAMS + 5)]
    assert len({each[2] for each in await server.heard()}) == MOST_STREAMS
    for number in range(MOST_STREAMS + 5):
        await asyncio.sleep(0)
        server.say(server.answer(2 * number + 1, b"a"))
    assert await asyncio.gather(*tasks) == [[b"a"]] * (MOST_STREAMS + 5)


@pytest.mark.parametrize(("code", "heard"), [(7, False), (2, True)])
async def test_a_reset_says_whether_it_was_heard(server: Server, code: int, heard: bool) -> None:
    task = server.ask(b"q")
    await server.heard()
    server.say(frame(frames.RST_STREAM, 0, 1, code.to_bytes(4)))
    assert (await broken(task)).heard is heard
    assert server.lost == []


async def test_a_server_that_goes_away_lets_what_it_has_heard_end(server: Server) -> None:
    first, second = server.ask(b"1"), server.ask(b"2")
    await server.heard()
    server.say(frame(frames.GOAWAY, 0, 0, (1).to_bytes(4) + bytes(4)))
    assert len(server.lost) == 1
    assert (await broken(second)).heard is False
    assert (await broken(server.ask(b"3"))).heard is False
    server.say(server.answer(1, b"a"))
    assert await first == [b"a"]


async def test_the_end_of_the_connection_says_what_was_heard() -> None:
    server = Server()
    await server.greet(window=3)
    part = server.ask(b"part")
    await server.heard()
    server.say(frames.settings_frame({frames.INITIAL_WINDOW_SIZE: 100}))
    await server.heard()
    server.say(frames.settings_frame({frames.INITIAL_WINDOW_SIZE: 3}))
    whole = part
    part = server.ask(b"part")
    await server.heard()
    server.wires.closed = True
    unsent = server.ask(b"")
    await asyncio.sleep(0)
    server.connection.connection_lost(ConnectionResetError("reset"))
    assert [(await broken(each)).heard for each in (whole, part, unsent)] == [True, False, False]
    assert len(server.lost) == 1
    assert "reset" in server.lost[0]


async def test_a_ping_is_answered(server: Server) -> None:
    server.say(frame(frames.PING, 0, 0, b"12345678"))
    await asyncio.sleep(0.05)
    assert (frames.PING, frames.ACK, 0, b"12345678") in await server.heard()


async def test_large_answers_are_taken_note_of(server: Server) -> None:
    task = server.ask(b"q")
    await server.heard()
    message = bytes(20_000_000)
    body = framed(message)
    server.say(server.head(1))
    grown = {0: 0, 1: 0}
    for at in range(0, len(body), frames.MOST_FRAME):
        server.say(frame(frames.DATA, 0, 1, body[at : at + frames.MOST_FRAME]))
        if at % (64 * frames.MOST_FRAME) == 0:
            for kind, _, stream, payload in await server.heard():
                assert kind == frames.WINDOW_UPDATE
                grown[stream] += int.from_bytes(payload)
    assert grown[0] > 8_000_000
    assert grown[1] > 16_000_000
    server.say(server.head(1, ends=True, grpc_status="0"))
    assert await task == [message]


async def test_headers_may_go_on_in_another_frame(server: Server) -> None:
    task = server.ask(b"q")
    await server.heard()
    block = server.encoder.encode([(":status", "200"), ("grpc-status", "0"), ("long", "x" * 100)])
    server.say(server.head(1), frame(frames.DATA, 0, 1, framed(b"a")))
    server.say(frame(frames.HEADERS, frames.END_STREAM, 1, block[:5]))
    server.say(frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[5:]))
    assert await task == [b"a"]


@pytest.mark.parametrize(
    "said",
    [
        frame(frames.DATA, 0, 1, bytes(frames.MOST_FRAME + 1)),
        frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(4)),
        frame(frames.CONTINUATION, frames.END_HEADERS, 1, b""),
        frame(frames.HEADERS, 0, 1, b"\x88") + frame(frames.PING, 0, 0, bytes(8)),
        frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        frame(frames.SETTINGS, 0, 0, bytes(5)),
        frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
        frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f"),
        frame(frames.DATA, 0x8, 1, b"\x05abc"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3,
    ],
)
async def test_who_breaks_the_rules_is_given_up(server: Server, said: bytes) -> None:
    task = server.ask(b"q")
    await server.heard()
    server.say(said)
    assert (await broken(task)).heard
    assert server.wires.closed
    assert len(server.lost) == 1
    server.say(server.answer(1, b"late"))


async def test_it_ends_when_told_so(server: Server) -> None:
    task = server.ask(b"q")
    await server.heard()
    closing = asyncio.ensure_future(server.connection.close())
    await asyncio.sleep(0.01)
    server.connection.connection_lost(None)
    await closing
    await broken(task)
    assert server.lost == [], "who ends it knows"


def test_what_is_no_message_of_grpc_is_refused() -> None:
    with pytest.raises(RpcError, match="compresses"):
        MessageReader().feed(b"\x01\0\0\0\x01x")
    with pytest.raises(RpcError, match="bytes"):
        MessageReader().feed(b"\0\xff\xff\xff\xff")


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 30))
def test_messages_may_come_in_any_pieces(messages: list[bytes], size: int) -> None:
    data = b"".join(map(framed, messages))
    reader = MessageReader()
    found = [
        message for at in range(0, len(data), size) for message in reader.feed(data[at : at + size])
    ]
    assert found == messages


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=4)))
def test_headers_are_read_whether_or_not_they_were_kept(
    blocks: list[list[tuple[str, str]]],
) -> None:
    encoder, reader = Encoder(), HeaderReader()
    for pairs in blocks:
        wanted = {name.encode(): value.encode() for name, value in pairs}
        assert reader.read(encoder.encode(pairs)) == wanted


def test_a_long_token_is_written_whole() -> None:
    token = "t" * 700
    block = request_block("/x", "[::1]:1", secure=True, headers={}, token=token)
    assert dict(Decoder().decode(block, raw=True))[b"token"] == token.encode()


def test_frames_larger_than_allowed_are_refused() -> None:
    with pytest.raises(Http2Error):
        FrameReader(10).feed(frame(frames.DATA, 0, 1, bytes(11)))
    long = frames.header_frames(1, bytes(range(50)), 20)
    kinds = [(kind, flags, len(payload)) for kind, flags, _, payload in FrameReader().feed(long)]
    assert kinds == [
        (frames.HEADERS, 0, 20),
        (frames.CONTINUATION, 0, 20),
        (frames.CONTINUATION, frames.END_HEADERS, 10),
    ]
