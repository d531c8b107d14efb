"""The outbox keeps order, its bound and its word about what became of each message."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.receipt import OutboxReceipt
from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.clock import ManualClock
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionLostError,
    ExchangeNotFoundError,
    OperationTimeoutError,
    OutboxFullError,
    PublishRejectedError,
    PublishUnconfirmedError,
)

GONE = ConnectionLostError("gone")


def message(name: str) -> OutgoingMessage:
    return OutgoingMessage("e", "", b"x", False, {}, name, None, None, 0.0, None, False)


class ScriptedLink:
    """Notes what is sent and answers when it is told to."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.sent: list[str] = []
        self.writable = True
        self.writes = 0

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        self.writes += 1
        self.sent += [one.message_id for one in messages]

    async def create_exchange(self, name: str, *, durable: bool, kind: object) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Bench:
    """An outbox on a clock that is turned by hand."""

    def __init__(
        self, messages: int = 1000, size: int = 1_000_000, *, dedupes: bool = False
    ) -> None:
        self.clock = ManualClock()
        self.outbox = Outbox(self.clock, messages, size, engine="scripted", dedupes=dedupes)

    def link(self) -> ScriptedLink:
        link = ScriptedLink(self.outbox)
        self.outbox.attach(link)
        return link

    def publish(self, name: str, timeout: float = 30.0) -> "asyncio.Task[str]":
        return asyncio.create_task(self.outbox.publish(message(name), 1, timeout))

    def put(self, name: str) -> OutboxReceipt:
        return OutboxReceipt(self.outbox, self.outbox.put(message(name), 1))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_messages_of_one_turn_are_one_write() -> None:
    bench = Bench()
    link = bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(40)]
    await turns()
    assert link.sent == [f"m{number}" for number in range(40)]
    # The first goes at once, the rest together.
    assert link.writes == 2
    bench.outbox.confirmed(40, up_to=True)
    assert await asyncio.gather(*tasks) == link.sent
    assert len(bench.outbox) == 0


async def test_confirms_may_come_in_any_order() -> None:
    bench = Bench()
    bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(3)]
    await turns()
    bench.outbox.confirmed(3)
    bench.outbox.confirmed(1)
    await turns()
    assert [task.done() for task in tasks] == [True, False, True]
    bench.outbox.confirmed(3, up_to=True)
    assert await tasks[1] == "m1"


async def test_unanswered_messages_are_sent_again_in_order() -> None:
    bench = Bench()
    first = bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(5)]
    await turns()
    bench.outbox.confirmed(2)
    bench.outbox.detach()
    late = bench.publish("late")
    await turns()
    assert not late.done()
    second = bench.link()
    await turns()
    assert first.sent == ["m0", "m1", "m2", "m3", "m4"]
    assert second.sent == ["m0", "m2", "m3", "m4", "late"]
    bench.outbox.confirmed(5, up_to=True)
    assert await asyncio.gather(*tasks, late) == [*first.sent, "late"]


async def test_refusal_is_the_messages_own() -> None:
    bench = Bench()
    bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(3)]
    await turns()
    bench.outbox.refused(2, PublishRejectedError("full"))
    bench.outbox.confirmed(3, up_to=True)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == "m0"
    assert isinstance(results[1], PublishRejectedError)
    assert results[2] == "m2"


@pytest.mark.parametrize("dedupes", [False, True])
async def test_refusal_of_a_second_sending_says_nothing_of_the_first(dedupes: bool) -> None:
    bench = Bench(dedupes=dedupes)
    bench.link()
    task = bench.publish("m0")
    await turns()
    bench.outbox.detach()
    bench.link()
    bench.outbox.refused(1, PublishRejectedError("full"))
    with pytest.raises(PublishRejectedError if dedupes else PublishUnconfirmedError):
        await task


async def test_deadline_before_sending_takes_it_out() -> None:
    bench = Bench()
    task = bench.publish("late", timeout=2)
    await turns()
    await bench.clock.advance(2)
    with pytest.raises(OperationTimeoutError) as caught:
        await task
    assert not caught.value.maybe_applied
    assert len(bench.outbox) == 0
    assert bench.link().sent == []


async def test_deadline_after_sending_is_unconfirmed_and_never_sent_again() -> None:
    bench = Bench()
    bench.link()
    task, other = bench.publish("sent", timeout=2), bench.publish("other", timeout=60)
    await turns()
    bench.outbox.detach()
    await bench.clock.advance(2)
    with pytest.raises(PublishUnconfirmedError) as caught:
        await task
    assert caught.value.message_id == "sent"
    assert caught.value.maybe_applied
    assert bench.link().sent == ["other"]
    bench.outbox.confirmed(1)
    assert await other == "other"


async def test_cancelling_before_sending_takes_it_out() -> None:
    bench = Bench()
    task = bench.publish("cancelled")
    await turns()
    task.cancel()
    await turns()
    assert len(bench.outbox) == 0
    assert bench.link().sent == []


async def test_cancelling_after_sending_forgets_it() -> None:
    bench = Bench()
    bench.link()
    task, other = bench.publish("cancelled"), bench.publish("other")
    await turns()
    task.cancel()
    await turns()
    assert len(bench.outbox) == 1
    bench.outbox.detach()
    assert bench.link().sent == ["other"]
    bench.outbox.confirmed(1)
    await other


async def test_full_outbox_lets_in_in_order() -> None:
    bench = Bench(messages=2)
    link = bench.link()
    tasks = [bench.publish(f"m{number}") for number in range(4)]
    await turns()
    assert link.sent == ["m0", "m1"]
    with pytest.raises(OutboxFullError):
        _ = bench.put("overtaker")
    bench.outbox.confirmed(1)
    await turns()
    assert link.sent == ["m0", "m1", "m2"]
    with pytest.raises(OutboxFullError):
        _ = bench.put("overtaker")
    tasks[3].cancel()
    await turns()
    bench.outbox.confirmed(3, up_to=True)
    _ = bench.put("next")
    await turns()
    assert link.sent[-1] == "next"


async def test_full_outbox_until_the_deadline() -> None:
    bench = Bench(messages=1)
    task, waiting = bench.publish("m0"), bench.publish("m1", timeout=3)
    await turns()
    await bench.clock.advance(3)
    with pytest.raises(OutboxFullError):
        await waiting
    assert not task.done()
    bench.outbox.close(GONE)
    with pytest.raises(BackendClosedError):
        await task


async def test_bytes_are_bounded_too() -> None:
    bench = Bench(size=10)
    bench.outbox.put(message("a"), 6)
    with pytest.raises(OutboxFullError):
        bench.outbox.put(message("b"), 5)
    bench.outbox.put(message("c"), 4)


async def test_nothing_is_sent_while_the_link_does_not_take_it() -> None:
    bench = Bench()
    link = bench.link()
    link.writable = False
    _ = bench.put("m0")
    _ = bench.put("m1")
    await turns()
    assert link.sent == []
    link.writable = True
    bench.outbox.writable()
    await turns()
    assert link.sent == ["m0", "m1"]


async def test_culprit_is_found_and_the_others_are_stored_in_order() -> None:
    bench = Bench()
    names = ["m0", "m1", "bad", "m3", "m4"]
    tasks = {name: bench.publish(name) for name in names}
    await turns()
    stored: list[str] = []
    for _ in range(20):
        link = bench.link()
        done = 0
        while True:
            await turns()
            new = link.sent[done:]
            if not new:
                break
            if "bad" in new:
                # The server takes what was before it, and closes the link without an answer.
                bench.outbox.search_culprit(GONE)
                bench.outbox.detach()
                break
            done += len(new)
            stored += [name for name in new if name not in stored]
            bench.outbox.confirmed(done, up_to=True)
        if all(task.done() for task in tasks.values()):
            break
    assert stored == ["m0", "m1", "m3", "m4"]
    with pytest.raises(PublishRejectedError):
        await tasks["bad"]
    # From here on many go in one write again.
    link = bench.link()
    for number in range(10):
        _ = bench.put(f"n{number}")
    await turns()
    assert len(link.sent) == 10


async def test_culprit_keeps_a_telling_error() -> None:
    bench = Bench()
    bench.link()
    task = bench.publish("lonely")
    await turns()
    bench.outbox.search_culprit(ExchangeNotFoundError("no exchange e"))
    bench.outbox.detach()
    with pytest.raises(ExchangeNotFoundError):
        await task


async def test_flush_waits_for_what_is_in() -> None:
    bench = Bench()
    bench.link()
    _ = bench.put("m0")
    flushing = asyncio.create_task(bench.outbox.flush(5))
    await turns()
    _ = bench.put("m1")
    await turns()
    bench.outbox.confirmed(1)
    await flushing
    with pytest.raises(OperationTimeoutError):
        await asyncio.gather(bench.outbox.flush(1), bench.clock.advance(1))
    assert len(bench.outbox) == 1


async def test_failures_that_nobody_awaited_are_told_once() -> None:
    bench = Bench(messages=3)
    bench.link()
    for count in range(5):
        _ = bench.put(f"m{count}")
        await turns()
        bench.outbox.refused(count + 1, PublishRejectedError(str(count)))
    assert [str(error) for error in bench.outbox.failures()] == ["2", "3", "4"]
    assert bench.outbox.failures() == []


async def test_awaited_receipt_takes_its_failure() -> None:
    bench = Bench()
    bench.link()
    receipt = bench.put("m0")
    await turns()
    bench.outbox.refused(1, PublishRejectedError("no"))
    assert receipt.done()
    with pytest.raises(PublishRejectedError):
        await receipt
    assert bench.outbox.failures() == []


async def test_cancelled_receipt_is_still_sent() -> None:
    bench = Bench()
    bench.link()
    receipt = bench.put("m0")

    async def wait() -> str:
        return await receipt

    waiting = asyncio.create_task(wait())
    await turns()
    waiting.cancel()
    await turns()
    assert not receipt.done()
    bench.outbox.confirmed(1)
    assert await receipt == "m0"


async def test_own_messages_have_room_and_hear_how_they_ended() -> None:
    bench = Bench(messages=1)
    bench.link()
    heard: list[BackendError | None] = []
    _ = bench.put("m0")
    bench.outbox.put(message("copy"), 1, heard.append)
    await turns()
    bench.outbox.confirmed(2, up_to=True)
    assert heard == [None]


async def test_close_ends_everything() -> None:
    bench = Bench(messages=2)
    sent, waiting = bench.publish("sent"), None
    bench.link()
    await turns()
    bench.outbox.detach()
    waiting, room = bench.publish("waiting"), bench.publish("room")
    await turns()
    bench.outbox.close(GONE)
    with pytest.raises(BackendClosedError) as first:
        await sent
    with pytest.raises(BackendClosedError) as second:
        await waiting
    with pytest.raises(BackendClosedError):
        await room
    assert (first.value.maybe_applied, second.value.maybe_applied) == (True, False)
    assert len(bench.outbox) == 0


KINDS = ("publish", "publish", "put", "turn", "confirm", "confirm_up_to", "refuse", "cancel")
LINKS = ("lose", "attach", "time", "stop", "go")
EVENTS = st.lists(st.sampled_from((*KINDS, *LINKS)), max_size=60)


@given(events=EVENTS)
def test_any_history_keeps_the_rules(events: list[str]) -> None:
    asyncio.run(_play(events))


async def _play(events: list[str]) -> None:
    bench = Bench(messages=6)
    link: ScriptedLink | None = None
    number, answered = 0, 0
    tasks: dict[str, asyncio.Task[str]] = {}
    calls: list[str] = []
    first_sent: list[str] = []
    final: set[str] = set()
    for event in [*events, "attach", "go", "turn"]:
        if event == "publish":
            number += 1
            calls.append(f"m{number}")
            tasks[calls[-1]] = bench.publish(calls[-1], timeout=5 + number % 3)
            await turns()
        elif event == "put" and len(bench.outbox) < 6 and not any_waits(bench, tasks):
            number += 1
            calls.append(f"m{number}")
            _ = bench.put(calls[-1])
        elif event == "turn":
            await turns()
        elif event == "confirm" and link is not None and answered < len(link.sent):
            answered += 1
            bench.outbox.confirmed(answered)
            final.add(link.sent[answered - 1])
        elif event == "confirm_up_to" and link is not None:
            answered = len(link.sent)
            bench.outbox.confirmed(answered, up_to=True)
            final.update(link.sent)
        elif event == "refuse" and link is not None and answered < len(link.sent):
            answered += 1
            bench.outbox.refused(answered, PublishRejectedError("no"))
            final.add(link.sent[answered - 1])
        elif event == "cancel" and tasks:
            next(reversed(tasks.values())).cancel()
            await turns()
        elif event == "lose" and link is not None:
            bench.outbox.detach()
            link = None
        elif event == "attach" and link is None:
            link, answered = bench.link(), 0
            assert not final & set(link.sent), "what was answered is not sent again"
        elif event == "time":
            await bench.clock.advance(3)
        elif event in {"stop", "go"} and link is not None:
            link.writable = event == "go"
            bench.outbox.writable()
            await turns()
        if link is not None:
            first_sent += [name for name in link.sent if name not in first_sent]
            assert link.sent == sorted(link.sent, key=calls.index), "order is kept on each link"
        assert len(bench.outbox) <= 6
    assert first_sent == sorted(first_sent, key=calls.index), "first copies are in order"
    bench.outbox.close(GONE)
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert all(isinstance(one, (str, BackendError, asyncio.CancelledError)) for one in results)
    assert len(bench.outbox) == 0


def any_waits(bench: Bench, tasks: dict[str, "asyncio.Task[str]"]) -> bool:
    return sum(not task.done() for task in tasks.values()) >= 6
